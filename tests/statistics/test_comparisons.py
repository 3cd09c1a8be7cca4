"""Comparisons within seeds, corrected p-values, and the penalty matrix."""

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
    holm,
    paired_difference,
    penalty_matrix,
)

values = st.floats(-1, 1).map(lambda value: round(value, 6))
several = st.lists(values, min_size=MINIMUM_SEEDS, max_size=12).filter(lambda found: np.std(found) > 1e-3)


def runs_of(*values, labels=300):
    return {seed: {labels: value} for seed, value in enumerate(values)}


def test_differences_by_rounding_count_as_zero():
    a = {seed: {300: seed / 70 + 0.1 + 0.1 - 0.2} for seed in range(6)}
    b = {seed: {300: 0.1 * seed / 7} for seed in range(6)}
    gaps = [a[seed][300] - b[seed][300] for seed in range(6)]
    assert np.std(gaps) > 0
    found = paired_difference(a, b, labels=300)
    assert (found.sd, found.p) == (0, 1)
    assert paired_difference(runs_of(*gaps), runs_of(*[0] * 6), labels=300).sd > 0, (
        "small is not rounding where all is small"
    )


@given(several, st.randoms(use_true_random=False))
def test_a_difference_is_the_paired_t_test_of_scipy_and_antisymmetric(found, random):
    others = [random.random() for _ in found]
    known = stats.ttest_rel(found, others)
    ours, back = (
        paired_difference(*pair, labels=300)
        for pair in ((runs_of(*found), runs_of(*others)), (runs_of(*others), runs_of(*found)))
    )
    assert ours.p == pytest.approx(known.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(known.confidence_interval()))
    assert (back.mean, back.low, back.high) == pytest.approx((-ours.mean, -ours.high, -ours.low))


@given(several, st.lists(values, min_size=12, max_size=12), st.sampled_from([-3.0, 0.5, 1.0, 40.0]))
def test_an_effect_of_the_seed_on_both_methods_does_not_count(gains, luck, scale):
    def runs(gains, scale=1.0):
        return {seed: {300: scale * (luck[seed] + gain)} for seed, gain in enumerate(gains)}

    still = estimate(gains)
    found = paired_difference(runs(gains), runs([0] * len(gains)), labels=300)
    assert (found.mean, found.sd, found.p) == pytest.approx((still.mean, still.sd, still.p), abs=1e-9)
    other = paired_difference(runs(gains, scale), runs([0] * len(gains), scale), labels=300)
    assert (other.mean, other.sd, other.p) == pytest.approx(
        (scale * still.mean, abs(scale) * still.sd, still.p), abs=1e-9
    )


def test_only_common_seeds_are_compared():
    a = {3: {300: 0.9}, 1: {300: 0.5}, 7: {300: 0.1}}
    b = {1: {300: 0.4}, 3: {300: 0.6}, 5: {300: 0.0}}
    found = paired_difference(a, b, labels=300)
    assert (found.n, found.mean) == (2, pytest.approx((0.3 + 0.1) / 2))


def test_without_a_number_of_labels_areas_over_the_common_ones_are_compared():
    a = {0: {100: 0.2, 200: 0.4, 300: 9.0}, 1: {100: 0.4, 200: 0.4}}
    b = {0: {100: 0.1, 200: 0.1}, 1: {100: 0.2, 200: 0.4}}
    assert paired_difference(a, b).mean == pytest.approx(((0.3 - 0.1) + (0.4 - 0.3)) / 2)


def test_runs_that_cannot_be_compared_are_an_error():
    with pytest.raises(ConfigurationError, match="both methods must have a seed in common"):
        paired_difference({0: {300: 0.1}}, {1: {300: 0.1}}, labels=300)
    with pytest.raises(ConfigurationError, match="values must be one or more finite numbers"):
        paired_difference(runs_of(np.float64(math.inf), 0.2), runs_of(np.float64(math.inf), 0.2), labels=300)
    with pytest.raises(ConfigurationError, match="335"):
        paired_difference(runs_of(0.1, 0.2), runs_of(0.1, 0.2), labels=335)


def test_holm_by_hand():
    # Four values: .01 x 4, .02 x 3, .03 x 2 = .06, and .04 x 1, which may not be less than .06.
    assert holm({"d": 0.04, "a": 0.01, "c": 0.03, "b": 0.02}) == pytest.approx(
        {"d": 0.06, "a": 0.04, "c": 0.06, "b": 0.06}
    )
    assert list(holm({"z": 0.9, "a": 0.8})) == ["z", "a"]
    assert holm({"z": 0.9, "a": 0.8}) == {"z": 1, "a": 1}
    assert holm({}) == {}


@given(st.dictionaries(st.integers(), st.floats(0, 1), min_size=1, max_size=10), st.floats(0.001, 0.5))
def test_holm_rejects_what_its_step_down_procedure_rejects(p, level):
    corrected = holm(p)
    rejected = set()
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        if p[name] * (len(p) - rank) > level:
            break
        rejected.add(name)
    assert {name for name, value in corrected.items() if value <= level} == rejected
    assert all(value >= p[name] for name, value in corrected.items())


def test_missing_tests_stay_missing_and_do_not_count():
    assert holm({"few": None, "b": 0.02, "a": 0.01}) == {"few": None, "b": 0.02, "a": 0.02}


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_p_values_out_of_range_are_an_error(wrong):
    with pytest.raises(ConfigurationError, match="p-values"):
        holm({"a": 0.5, "b": wrong})


def test_the_penalty_matrix_counts_the_budgets_at_which_one_beats_the_other():
    rng = np.random.default_rng(0)
    noise = {seed: rng.normal(0, 0.01, 4) for seed in range(6)}
    gains = {"a": (0.5, 0.5, 0.5, 0), "b": (0, 0, 0, 0), "c": (-0.5, 0, 0, 0.5)}
    methods = {
        name: {
            seed: dict(zip((1, 2, 3, 4), gain + noise[seed] + rng.normal(0, 0.01, 4), strict=True)) for seed in range(6)
        }
        for name, gain in gains.items()
    }
    methods["few"] = {seed: methods["a"][seed] for seed in range(MINIMUM_SEEDS - 1)}
    matrix = penalty_matrix(methods)
    slow = {
        (a, b): sum(
            stats.ttest_rel(
                *([run[labels] for run in methods[name].values()] for name in (a, b)), alternative="two-sided"
            ).pvalue
            < 0.05
            and np.mean([methods[a][s][labels] - methods[b][s][labels] for s in range(6)]) > 0
            for labels in (1, 2, 3, 4)
        )
        / 4
        for a in gains
        for b in gains
        if a != b
    }
    assert {(a, b): matrix[a][b] for a, b in slow} == slow
    assert (slow["a", "b"], slow["b", "a"], slow["c", "a"]) == (0.75, 0, 0.25)
    assert all(matrix[name][name] is None and matrix[name]["few"] is None for name in gains)


@pytest.mark.parametrize("level", [0, 5, math.nan])
def test_level_must_be_between_zero_and_one(level):
    with pytest.raises(ConfigurationError, match=r"level must be a number in \(0, 1\)"):
        penalty_matrix({"a": runs_of(*[0.5] * 5)}, level=level)


def test_a_win_needs_a_p_value_below_the_level():
    methods = {"a": runs_of(0.1, 0.2, 0.3, 0.4, 0.5), "b": runs_of(*[0.0] * 5)}
    p = paired_difference(methods["a"], methods["b"], labels=300).p
    assert penalty_matrix(methods, level=p * 1.01)["a"]["b"] == 1
    assert penalty_matrix(methods, level=p * 0.99)["a"]["b"] == 0
