"""Means over seeds: intervals and tests equal those of scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alkit.errors import ConfigurationError
from alkit.statistics import (
    MINIMUM_SEEDS,
    estimate,
)

values = st.floats(-1, 1).map(lambda value: round(value, 6))
several = st.lists(values, min_size=MINIMUM_SEEDS, max_size=12).filter(lambda found: np.std(found) > 1e-3)


@given(several, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_interval_and_test_are_those_of_scipy(found, confidence):
    known = stats.ttest_1samp(found, 0)
    interval = known.confidence_interval(confidence)
    ours = estimate(found, confidence=confidence)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.p == pytest.approx(known.pvalue)
    assert (ours.mean, ours.sd, ours.n) == pytest.approx((np.mean(found), np.std(found, ddof=1), len(found)))


@pytest.mark.parametrize("n", range(1, MINIMUM_SEEDS))
def test_fewer_than_five_seeds_give_no_interval_and_no_test(n):
    found = estimate(np.arange(n) / 10)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert (found.sd is None) == (n == 1)
    assert estimate(np.arange(MINIMUM_SEEDS) / 10).p is not None


@pytest.mark.parametrize(("value", "p"), [(0.1, 0.0), (-0.3, 0.0), (0.0, 1.0)])
def test_equal_values_have_no_deviation_and_an_extreme_p_value(value, p):
    found = estimate([value] * 6)
    assert (found.sd, found.p) == (0, p)
    assert found.low == found.mean == found.high == pytest.approx(value)


@pytest.mark.parametrize(("value", "p"), [(0.1 + 0.2, 0.0), (-0.3, 0.0)])
def test_values_that_differ_by_rounding_count_as_equal(value, p):
    found = estimate([value, 0.3 * np.sign(value), value, value, value])
    assert (found.sd, found.p) == (0, p)


def test_a_tiny_p_value_is_not_rounded_to_zero():
    found = [1, 1, 1, 1, 1.000001]
    assert estimate(found).p == pytest.approx(stats.ttest_1samp(found, 0).pvalue)
    assert 0 < estimate(found).p < 1e-20


@pytest.mark.parametrize("wrong", [[], [0.1, math.nan], [math.inf] * 5, [[0.1, 0.2]]])
def test_no_values_or_values_that_are_not_finite_are_an_error(wrong):
    with pytest.raises(ConfigurationError, match="values must be one or more finite numbers"):
        estimate(wrong)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_must_be_between_zero_and_one(confidence):
    with pytest.raises(ConfigurationError, match=r"confidence must be a number in \(0, 1\)"):
        estimate([0.1, 0.2], confidence=confidence)
