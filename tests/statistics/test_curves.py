"""Learning curves: their mean over seeds, and the area under them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alkit.errors import ConfigurationError
from alkit.statistics import (
    aubc,
    mean_curve,
)

values = st.floats(-1, 1).map(lambda value: round(value, 6))


def test_a_mean_curve_has_the_numbers_of_labels_that_all_seeds_have():
    runs = {0: {370: 0.9, 300: 0.5, 335: 0.6}, 1: {300: 0.7, 335: 0.8}}
    curve = mean_curve(runs)
    assert list(curve) == [300, 335]
    assert curve[335].mean == pytest.approx(0.7)
    assert curve[300].sd == pytest.approx(np.std([0.5, 0.7], ddof=1))


@pytest.mark.parametrize("runs", [{}, {0: {300: 0.5}, 1: {335: 0.5}}])
def test_seeds_without_common_labels_have_no_mean_curve(runs):
    with pytest.raises(ConfigurationError, match="in common"):
        mean_curve(runs)


@given(st.dictionaries(st.integers(1, 1000), values, min_size=2, max_size=10))
def test_the_area_is_between_the_extremes_and_shifts_with_the_curve(curve):
    area = aubc(curve)
    assert min(curve.values()) - 1e-9 <= area <= max(curve.values()) + 1e-9
    assert aubc({labels: value + 1 for labels, value in curve.items()}) == pytest.approx(area + 1)


def test_the_area_by_hand():
    assert aubc({500: 1.0, 100: 0.0, 200: 1.0}) == pytest.approx((100 * 0.5 + 300 * 1) / 400)


@pytest.mark.parametrize("curve", [{}, {300: 0.5}, {300: 0.5, 400: math.nan}])
def test_an_area_needs_two_points_and_finite_values(curve):
    with pytest.raises(ConfigurationError):
        aubc(curve)
