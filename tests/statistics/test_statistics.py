import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alkit.errors import ConfigurationError
from alkit.statistics import (
    MINIMUM_SEEDS,
    aubc,
    estimate,
    holm,
    labels_saved,
    labels_to_reach,
    mean_curve,
    paired,
    penalty_matrix,
    share_of_ceiling,
    variance_parts,
)

values = st.floats(-1, 1).map(lambda value: round(value, 6))
several = st.lists(values, min_size=MINIMUM_SEEDS, max_size=12).filter(lambda found: np.std(found) > 1e-3)


def runs_of(*values, labels=300):
    return {seed: {labels: value} for seed, value in enumerate(values)}


# Means and intervals.


@given(several, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_interval_and_test_are_those_of_scipy(found, confidence):
    known = stats.ttest_1samp(found, 0)
    interval = known.confidence_interval(confidence)
    ours = estimate(found, confidence=confidence)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.p == pytest.approx(known.pvalue)
    assert (ours.mean, ours.sd, ours.n) == pytest.approx((np.mean(found), np.std(found, ddof=1), len(found)))


@pytest.mark.parametrize("n", range(1, MINIMUM_SEEDS))
def test_below_five_seeds_there_is_neither_interval_nor_test(n):
    found = estimate(np.arange(n) / 10)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert (found.sd is None) == (n == 1)
    assert estimate(np.arange(MINIMUM_SEEDS) / 10).p is not None


@pytest.mark.parametrize(("value", "p"), [(0.1, 0.0), (-0.3, 0.0), (0.0, 1.0)])
def test_equal_values_have_no_spread_and_the_test_goes_to_its_limit(value, p):
    found = estimate([value] * 6)
    assert (found.sd, found.p) == (0, p)
    assert found.low == found.mean == found.high == pytest.approx(value)


@pytest.mark.parametrize(("value", "p"), [(0.1 + 0.2, 0.0), (-0.3, 0.0)])
def test_what_only_rounding_tells_apart_is_equal(value, p):
    found = estimate([value, 0.3 * np.sign(value), value, value, value])
    assert (found.sd, found.p) == (0, p)


def test_differences_that_are_only_rounding_are_no_finding():
    a = {seed: {300: seed / 70 + 0.1 + 0.1 - 0.2} for seed in range(6)}
    b = {seed: {300: 0.1 * seed / 7} for seed in range(6)}
    gaps = [a[seed][300] - b[seed][300] for seed in range(6)]
    assert np.std(gaps) > 0
    found = paired(a, b, labels=300)
    assert (found.sd, found.p) == (0, 1)
    assert paired(runs_of(*gaps), runs_of(*[0] * 6), labels=300).sd > 0, "small is not rounding where all is small"


def test_a_rare_finding_has_a_p_that_is_small_and_not_zero():
    found = [1, 1, 1, 1, 1.000001]
    assert estimate(found).p == pytest.approx(stats.ttest_1samp(found, 0).pvalue)
    assert 0 < estimate(found).p < 1e-20


@pytest.mark.parametrize("wrong", [[], [0.1, math.nan], [math.inf] * 5, [[0.1, 0.2]]])
def test_what_has_no_mean_is_an_error(wrong):
    with pytest.raises(ConfigurationError, match="no mean"):
        estimate(wrong)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_is_between_zero_and_one(confidence):
    with pytest.raises(ConfigurationError, match="confidence"):
        estimate([0.1, 0.2], confidence=confidence)


def test_a_mean_curve_has_the_labels_that_all_seeds_have():
    runs = {0: {370: 0.9, 300: 0.5, 335: 0.6}, 1: {300: 0.7, 335: 0.8}}
    curve = mean_curve(runs)
    assert list(curve) == [300, 335]
    assert curve[335].mean == pytest.approx(0.7)
    assert curve[300].sd == pytest.approx(np.std([0.5, 0.7], ddof=1))


@pytest.mark.parametrize("runs", [{}, {0: {300: 0.5}, 1: {335: 0.5}}])
def test_seeds_without_common_labels_have_no_mean_curve(runs):
    with pytest.raises(ConfigurationError, match="in common"):
        mean_curve(runs)


# The area under the budget curve.


@given(st.dictionaries(st.integers(1, 1000), values, min_size=2, max_size=10))
def test_the_area_is_between_the_lowest_and_the_highest_and_moves_with_the_curve(curve):
    area = aubc(curve)
    assert min(curve.values()) - 1e-9 <= area <= max(curve.values()) + 1e-9
    assert aubc({labels: value + 1 for labels, value in curve.items()}) == pytest.approx(area + 1)


def test_the_area_by_hand():
    assert aubc({500: 1.0, 100: 0.0, 200: 1.0}) == pytest.approx((100 * 0.5 + 300 * 1) / 400)


@pytest.mark.parametrize("curve", [{}, {300: 0.5}, {300: 0.5, 400: math.nan}])
def test_a_point_and_what_is_not_finite_have_no_area(curve):
    with pytest.raises(ConfigurationError):
        aubc(curve)


# Paired differences.


@given(several, st.randoms(use_true_random=False))
def test_a_difference_is_the_paired_t_test_of_scipy_and_turns_round(found, random):
    others = [random.random() for _ in found]
    known = stats.ttest_rel(found, others)
    ours, back = (
        paired(*pair, labels=300) for pair in ((runs_of(*found), runs_of(*others)), (runs_of(*others), runs_of(*found)))
    )
    assert ours.p == pytest.approx(known.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(known.confidence_interval()))
    assert (back.mean, back.low, back.high) == pytest.approx((-ours.mean, -ours.high, -ours.low))


@given(several, st.lists(values, min_size=12, max_size=12), st.sampled_from([-3.0, 0.5, 1.0, 40.0]))
def test_what_a_seed_does_to_both_methods_is_taken_out(gains, luck, scale):
    def runs(gains, scale=1.0):
        return {seed: {300: scale * (luck[seed] + gain)} for seed, gain in enumerate(gains)}

    still = estimate(gains)
    found = paired(runs(gains), runs([0] * len(gains)), labels=300)
    assert (found.mean, found.sd, found.p) == pytest.approx((still.mean, still.sd, still.p), abs=1e-9)
    other = paired(runs(gains, scale), runs([0] * len(gains), scale), labels=300)
    assert (other.mean, other.sd, other.p) == pytest.approx(
        (scale * still.mean, abs(scale) * still.sd, still.p), abs=1e-9
    )


def test_only_common_seeds_are_compared_each_with_itself():
    a = {3: {300: 0.9}, 1: {300: 0.5}, 7: {300: 0.1}}
    b = {1: {300: 0.4}, 3: {300: 0.6}, 5: {300: 0.0}}
    found = paired(a, b, labels=300)
    assert (found.n, found.mean) == (2, pytest.approx((0.3 + 0.1) / 2))


def test_without_a_number_of_labels_areas_over_the_common_ones_are_compared():
    a = {0: {100: 0.2, 200: 0.4, 300: 9.0}, 1: {100: 0.4, 200: 0.4}}
    b = {0: {100: 0.1, 200: 0.1}, 1: {100: 0.2, 200: 0.4}}
    assert paired(a, b).mean == pytest.approx(((0.3 - 0.1) + (0.4 - 0.3)) / 2)


def test_runs_that_cannot_be_compared_are_an_error():
    with pytest.raises(ConfigurationError, match="no seed"):
        paired({0: {300: 0.1}}, {1: {300: 0.1}}, labels=300)
    with pytest.raises(ConfigurationError, match="no mean"):
        paired(runs_of(np.float64(math.inf), 0.2), runs_of(np.float64(math.inf), 0.2), labels=300)
    with pytest.raises(ConfigurationError, match="335"):
        paired(runs_of(0.1, 0.2), runs_of(0.1, 0.2), labels=335)


# Many tests.


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


def test_what_was_not_tested_stays_so_and_does_not_count():
    assert holm({"few": None, "b": 0.02, "a": 0.01}) == {"few": None, "b": 0.02, "a": 0.02}


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_not_corrected(wrong):
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
def test_a_level_is_between_zero_and_one(level):
    with pytest.raises(ConfigurationError, match="level"):
        penalty_matrix({"a": runs_of(*[0.5] * 5)}, level=level)


def test_a_stricter_level_asks_for_more():
    methods = {"a": runs_of(0.1, 0.2, 0.3, 0.4, 0.5), "b": runs_of(*[0.0] * 5)}
    p = paired(methods["a"], methods["b"], labels=300).p
    assert penalty_matrix(methods, level=p * 1.01)["a"]["b"] == 1
    assert penalty_matrix(methods, level=p * 0.99)["a"]["b"] == 0


# Labels saved, and the ceiling.


def test_labels_are_counted_to_the_first_crossing():
    bumpy = {300: 0.5, 400: 0.7, 500: 0.6, 600: 0.9}
    assert labels_to_reach(bumpy, 0.6) == 350
    assert labels_to_reach(bumpy, 0.7) == 400
    assert labels_to_reach(bumpy, 0.8) == pytest.approx(500 + 100 * 2 / 3)
    assert labels_to_reach(bumpy, 0.3) == 300
    assert labels_to_reach(bumpy, 0.91) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_to_reach_is_finite(value):
    with pytest.raises(ConfigurationError, match="reached"):
        labels_to_reach({300: 0.5}, value)


@given(st.dictionaries(st.integers(1, 999), values, min_size=1, max_size=8), values)
def test_the_curve_has_the_value_where_it_is_said_to_reach_it(curve, value):
    there = labels_to_reach(curve, value)
    labels = sorted(curve)
    if there is None:
        assert max(curve.values()) < value
    else:
        at = np.interp(there, labels, [curve[n] for n in labels])
        assert at >= value - 1e-6
        assert there == labels[0] or at == pytest.approx(value, abs=1e-6)


def test_seeds_that_are_not_seen_to_cross_the_value_are_counted_and_not_averaged():
    a = {0: {300: 0.6, 400: 0.8}, 1: {300: 0.8, 400: 0.8}, 2: {300: 0.1, 400: 0.2}, 9: {300: 1.0}}
    b = {0: {300: 0.6, 400: 0.7}, 1: {300: 0.6, 400: 0.8}, 2: {300: 0.7, 400: 0.8}}
    for seed in (3, 4):
        a[seed], b[seed] = {300: 0.9}, {300: 0.1}
    found = labels_saved(a, b, 0.7)
    assert (found.n, found.reached_a, found.reached_b, found.began_a, found.began_b) == (5, 4, 3, 3, 1)
    assert found.saved.n == 1
    assert found.saved.mean == pytest.approx(400 - 350)
    assert labels_saved(a, b, 0.95).saved is None
    with pytest.raises(ConfigurationError, match="no seed"):
        labels_saved({0: {1: 0.5}}, {1: {1: 0.5}}, 0.5)


def test_labels_saved_have_an_interval_only_where_no_seed_is_censored():
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
    with pytest.raises(ConfigurationError, match="no seed"):
        share_of_ceiling(runs, {7: 0.8}, labels=615)
    with pytest.raises(ConfigurationError, match="positive"):
        share_of_ceiling(runs, {0: 0.0}, labels=615)
    with pytest.raises(ConfigurationError, match="positive"):
        share_of_ceiling(runs, {0: math.inf}, labels=615)


# Parts of a variance.


def test_the_parts_of_a_table_by_hand():
    # Rows 1, 3, 5 and columns -1, 1 about their mean of 3, and one residual pattern of +-0.5.
    table = {(i, c): 3 + (i - 1) * 2 + (2 * c - 1) for i in range(3) for c in range(2)}
    exact = variance_parts(table)
    assert (exact.initial, exact.choice, exact.residual) == pytest.approx((4, 2, 0), abs=1e-12)
    pattern = {(0, 0): 0.5, (0, 1): -0.5, (2, 0): -0.5, (2, 1): 0.5}
    noisy = variance_parts({pair: value + pattern.get(pair, 0) for pair, value in table.items()})
    residual = sum(value**2 for value in pattern.values()) / (2 * 1)
    assert (noisy.initial, noisy.choice, noisy.residual) == pytest.approx(
        (4 - residual / 2, 2 - residual / 3, residual)
    )


def test_the_parts_of_simulated_tables_are_on_the_average_those_they_were_made_with():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        initial, choice, rest = (rng.normal(0, sd, size) for sd, size in ((0.3, (8, 1)), (0.2, (1, 6)), (0.1, (8, 6))))
        parts = variance_parts(dict(np.ndenumerate(initial + choice + rest)))
        found.append((parts.initial, parts.choice, parts.residual))
    assert np.mean(found, axis=0) == pytest.approx((0.09, 0.04, 0.01), rel=0.1)


def test_the_intervals_of_simulated_tables_hold_what_they_were_made_with_as_often_as_they_say():
    rng = np.random.default_rng(2)
    true = {"initial": 0.3**2, "choice": 0.0, "residual": 0.1**2}
    held = dict.fromkeys(true, 0)
    for _ in range(400):
        table = rng.normal(0, 0.3, (5, 1)) + rng.normal(0, 0.1, (5, 4))
        for name, (low, high) in variance_parts(dict(np.ndenumerate(table)), confidence=0.9).intervals.items():
            held[name] += low <= true[name] <= high
    assert all(0.86 <= count / 400 <= 1 for count in held.values())
    assert held["initial"] / 400 < 0.94, "an interval that always holds says nothing"


def test_the_intervals_hold_the_estimates():
    rng = np.random.default_rng(3)
    for _ in range(50):
        parts = variance_parts(dict(np.ndenumerate(rng.normal(0, 1, (4, 3)))))
        for name, (low, high) in parts.intervals.items():
            assert 0 <= low <= getattr(parts, name)
            assert getattr(parts, name) <= high or name in parts.below_zero


def test_a_part_below_zero_is_given_as_zero_and_named():
    alternating = {(i, c): float((i + c) % 2) for i in range(2) for c in range(2)}
    parts = variance_parts(alternating)
    assert (parts.initial, parts.choice) == (0, 0)
    assert parts.residual == pytest.approx(1)
    assert parts.below_zero == ("initial", "choice")
    assert variance_parts({(i, c): value + 9 * i for (i, c), value in alternating.items()}).below_zero == ("choice",)
    assert variance_parts({(i, c): value + 9 * c for (i, c), value in alternating.items()}).below_zero == ("initial",)
    assert variance_parts({(i, c): value + 9 * (i + c) for (i, c), value in alternating.items()}).below_zero == ()


def test_a_table_without_rest_has_none_below_zero():
    assert variance_parts({(i, c): 0.1 * i for i in range(3) for c in range(4)}).below_zero == ()


@pytest.mark.parametrize(
    "table",
    [
        {},
        {(0, 0): 0.1, (1, 0): 0.2},
        {(0, 0): 0.1, (0, 1): 0.2},
        {(0, 0): 0.1, (0, 1): 0.2, (1, 0): 0.3},
        {(0, 0): 0.1, (0, 1): 0.2, (1, 0): 0.3, (1, 1): math.nan},
    ],
)
def test_an_incomplete_table_is_not_divided(table):
    with pytest.raises(ConfigurationError):
        variance_parts(table)
