"""Intervals of means over images: exact cases, groups, and coverage in simulations."""

import numpy as np
import pytest
from scipy import stats

import alkit
from alkit.statistics import interval_of


def test_interval_of_zeros_and_ones_is_that_of_jeffreys():
    for hits, n in [(9, 12), (38, 40), (3, 20)]:
        found = interval_of([1.0] * hits + [0.0] * (n - hits))
        low, high = stats.beta.ppf([0.025, 0.975], hits + 0.5, n - hits + 0.5)
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.012)


def test_interval_of_perfect_values_leaves_room_for_failures_nobody_has_seen():
    few, many = interval_of([1.0] * 10), interval_of([1.0] * 40)
    assert few.high == many.high == few.value == 1
    assert few.low < 0.85 < many.low < 0.96


def test_equal_values_have_equal_intervals_and_the_order_of_groups_does_not_matter():
    values = np.random.default_rng(1).beta(8, 2, 30)
    assert interval_of(values) == interval_of(list(values))
    assert interval_of(values, [str(row) for row in range(30)]).clusters == 30


def test_images_of_one_group_count_as_one():
    rng = np.random.default_rng(0)
    means = np.clip(rng.normal(0.8, 0.1, 10), 0, 1)
    values, groups = np.repeat(means, 4), [f"g{row // 4}" for row in range(40)]
    apart, together = interval_of(values), interval_of(values, groups)
    assert together.n == apart.n == 40
    assert together.clusters == 10
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_values_that_are_missing_do_not_count():
    found = interval_of([0.5, np.nan, 0.7, np.nan])
    assert (found.n, found.clusters, round(found.value, 6)) == (2, 2, 0.6)


def test_differences_have_no_interval_from_fewer_than_five_groups():
    assert interval_of([0.1, -0.2, 0.1, 0.3], bounds=None).low is None
    found = interval_of([0.1, -0.2, 0.1, 0.3, 0.2], bounds=None)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"values": []}, "values must be finite"),
        ({"values": [np.nan]}, "values must be finite"),
        ({"values": [1.5]}, r"values must be in \[0, 1\]"),
        ({"values": [0.5], "groups": ["a", "b"]}, "groups must have one entry"),
        ({"values": [0.5], "confidence": 1.0}, "confidence must be"),
    ],
)
def test_wrong_arguments_are_errors_that_name_them(given, words):
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        interval_of(**given)


@pytest.mark.slow
@pytest.mark.parametrize("n", [12, 20, 40])
def test_intervals_cover_the_mean_of_overlaps_with_rare_failures(n):
    rng = np.random.default_rng(5)

    def draw(size):
        return np.where(rng.random(size) < 0.05, 0, rng.beta(30, 2, size))

    truth = draw(1_000_000).mean()
    found = [interval_of(draw(n)) for _ in range(300)]
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.93
