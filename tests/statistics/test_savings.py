"""Labels saved, and the share of the ceiling."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alkit.errors import ConfigurationError
from alkit.statistics import (
    labels_saved,
    labels_to_reach,
    share_of_ceiling,
)

values = st.floats(-1, 1).map(lambda value: round(value, 6))


def test_labels_are_counted_to_the_first_crossing():
    bumpy = {300: 0.5, 400: 0.7, 500: 0.6, 600: 0.9}
    assert labels_to_reach(bumpy, 0.6) == 350
    assert labels_to_reach(bumpy, 0.7) == 400
    assert labels_to_reach(bumpy, 0.8) == pytest.approx(500 + 100 * 2 / 3)
    assert labels_to_reach(bumpy, 0.3) == 300
    assert labels_to_reach(bumpy, 0.91) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_value_to_reach_must_be_finite(value):
    with pytest.raises(ConfigurationError, match="value must be a finite number"):
        labels_to_reach({300: 0.5}, value)


@given(st.dictionaries(st.integers(1, 999), values, min_size=1, max_size=8), values)
def test_the_curve_has_the_value_at_its_labels_to_reach(curve, value):
    there = labels_to_reach(curve, value)
    labels = sorted(curve)
    if there is None:
        assert max(curve.values()) < value
    else:
        at = np.interp(there, labels, [curve[n] for n in labels])
        assert at >= value - 1e-6
        assert there == labels[0] or at == pytest.approx(value, abs=1e-6)


def test_censored_seeds_are_counted_and_not_averaged():
    a = {0: {300: 0.6, 400: 0.8}, 1: {300: 0.8, 400: 0.8}, 2: {300: 0.1, 400: 0.2}, 9: {300: 1.0}}
    b = {0: {300: 0.6, 400: 0.7}, 1: {300: 0.6, 400: 0.8}, 2: {300: 0.7, 400: 0.8}}
    for seed in (3, 4):
        a[seed], b[seed] = {300: 0.9}, {300: 0.1}
    found = labels_saved(a, b, 0.7)
    assert (found.n, found.reached_a, found.reached_b, found.began_a, found.began_b) == (5, 4, 3, 3, 1)
    assert found.saved.n == 1
    assert found.saved.mean == pytest.approx(400 - 350)
    assert labels_saved(a, b, 0.95).saved is None
    with pytest.raises(ConfigurationError, match="must have a seed in common"):
        labels_saved({0: {1: 0.5}}, {1: {1: 0.5}}, 0.5)


def test_saved_labels_have_an_interval_only_if_no_seed_is_censored():
    def runs(*ends):
        return {seed: {300: 0.5, 400: end} for seed, end in enumerate(ends)}

    fast, slow = runs(0.8, 0.9, 0.85, 0.7, 0.75, 0.8), runs(0.7, 0.7, 0.8, 0.65, 0.7, 0.7)
    found = labels_saved(fast, slow, 0.6).saved
    gaps = [10 / (a[400] - 0.5) - 10 / (b[400] - 0.5) for a, b in zip(slow.values(), fast.values(), strict=True)]
    assert (found.mean, found.p) == pytest.approx((np.mean(gaps), stats.ttest_1samp(gaps, 0).pvalue))
    slow[5] = {300: 0.6, 400: 0.7}
    censored = labels_saved(fast, slow, 0.6)
    assert (censored.saved.n, censored.began_b) == (5, 1)
    assert (censored.saved.low, censored.saved.high, censored.saved.p) == (None, None, None)


def test_the_share_of_the_ceiling_is_taken_seed_by_seed():
    runs = {0: {615: 0.4}, 1: {615: 0.6}, 2: {300: 0.1}}
    found = share_of_ceiling(runs, {0: 0.8, 1: 0.8, 2: 0.8}, labels=615)
    assert (found.n, found.mean) == (2, pytest.approx((0.5 + 0.75) / 2))
    with pytest.raises(ConfigurationError, match="must have a seed in common"):
        share_of_ceiling(runs, {7: 0.8}, labels=615)
    with pytest.raises(ConfigurationError, match="ceiling must be positive and finite"):
        share_of_ceiling(runs, {0: 0.0}, labels=615)
    with pytest.raises(ConfigurationError, match="ceiling must be positive and finite"):
        share_of_ceiling(runs, {0: math.inf}, labels=615)
