"""The cost of labels: known coefficients are found again."""

import math

import numpy as np
import pytest

import alkit
from alkit.statistics import fit_cost
from alkit.statistics.costs import fit_correction


def outlines(n, rng):
    area = rng.uniform(0.02, 0.4, n)
    return np.column_stack([area, rng.uniform(2, 4, n) * np.sqrt(area)])


def test_known_coefficients_and_levels_are_found_in_spite_of_pauses():
    rng = np.random.default_rng(0)
    shapes, who = outlines(200, rng), rng.integers(0, 2, 200)
    level = np.array([1.0, 2.0])[who]
    took = (8 + 25 * shapes[:, 1] + 10 * shapes[:, 0]) * level * rng.lognormal(0, 0.15, 200)
    took[::20] *= 20  # the phone rang
    cost = fit_cost(took.tolist(), [("ann", "ben")[k] for k in who], [tuple(row) for row in shapes.tolist()])
    assert cost.levels["ben"] / cost.levels["ann"] == pytest.approx(2, rel=0.08)
    ann = cost.levels["ann"]
    assert cost.per_border * ann == pytest.approx(25, rel=0.2)
    typical = cost.fixed + 0.15 * cost.per_area + 1.2 * cost.per_border
    assert typical * ann == pytest.approx(8 + 1.5 + 30, rel=0.05)
    assert 0.1 < cost.scatter < 0.25


def test_few_labels_cost_the_median():
    assert fit_cost([20.0, 25.0, 600.0]).expected((0.1, 2.0)) == pytest.approx(25)
    cost = fit_cost([30.0] * 19, outlines=[(0.1 * k, 1.0) for k in range(19)])
    assert not cost.by_outline
    assert cost.expected((0.5, 9.0)) == pytest.approx(30)


def test_outlines_that_explain_nothing_are_not_used():
    rng = np.random.default_rng(1)
    took = rng.lognormal(3, 0.4, 100)
    cost = fit_cost(took.tolist(), outlines=[tuple(row) for row in outlines(100, rng).tolist()])
    assert not cost.by_outline
    assert cost.expected() == pytest.approx(took.mean(), rel=0.1)  # the mean, not the median


def test_who_labelled_last_labels_next():
    cost = fit_cost([10.0] * 40 + [40.0] * 40, ["ann"] * 40 + ["ben"] * 40)
    assert cost.levels == pytest.approx({"ann": 0.5, "ben": 2.0})
    assert cost.expected() == pytest.approx(40)


def test_an_outline_beyond_all_labels_is_not_extrapolated():
    shapes = [(0.1, 0.1 * k) for k in range(1, 41)]
    cost = fit_cost([10 + 20 * border for _, border in shapes], outlines=shapes)
    assert cost.expected((0.1, 100.0)) == pytest.approx(cost.expected((0.1, 4.0)))


def test_an_image_about_which_nothing_is_known_has_the_usual_outline():
    shapes = [(0.1, 0.1 * k) for k in range(1, 41)]
    cost = fit_cost([10 + 20 * border for _, border in shapes], outlines=shapes)
    assert cost.expected() == pytest.approx(cost.expected((0.1, 2.05)))


def test_the_interval_of_many_labels_covers_their_time():
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(60):
        cost = fit_cost(rng.lognormal(3, 0.5, 40).tolist())
        low, high = cost.interval(50)
        true = rng.lognormal(3, 0.5, 50).sum()
        hits.append(low <= true / (50 * cost.expected()) <= high)
    assert 0.65 <= np.mean(hits) <= 0.95


@pytest.mark.parametrize("took", [[], [0.0], [1.0, float("nan")]], ids=range(3))
def test_seconds_must_be_positive(took):
    with pytest.raises(alkit.errors.ConfigurationError, match="seconds must be one or more positive numbers"):
        fit_cost(took)


def test_lengths_must_agree():
    with pytest.raises(alkit.errors.ConfigurationError, match="must have one length"):
        fit_cost([1.0, 2.0], ["ann"])


def test_predictions_that_tell_nothing_cost_the_mean_and_good_ones_what_they_say():
    rng = np.random.default_rng(3)
    actual = rng.uniform(20, 100, 50)
    good = fit_correction(actual.tolist(), (actual + rng.normal(0, 1, 50)).tolist())
    assert good.apply(80.0) == pytest.approx(80, abs=1)
    useless = fit_correction(actual.tolist(), rng.uniform(190, 210, 50).tolist())
    assert useless.apply(230.0) == pytest.approx(actual.mean(), abs=15)
    assert good.apply(1000.0) == actual.max()  # not extrapolated


@pytest.mark.parametrize("level", [3.0, 1 / 3])
def test_labels_of_people_with_few_do_not_bend_the_cost_of_those_with_many(level):
    rng, rows = np.random.default_rng(0), []
    for name, n, own in [*((f"new {k}", 7, level) for k in range(5)), ("ann", 60, 1.0)]:  # ann labels next
        for border in rng.uniform(0.2, 2, n).tolist():
            rows.append((own * (10 + 20 * border) * math.exp(rng.normal(0, 0.2)), name, (0.1, border)))
    cost = fit_cost(*map(list, zip(*rows, strict=True)))
    assert cost.by_outline
    for border in (0.3, 1.9):
        assert cost.expected((0.1, border)) == pytest.approx(10 + 20 * border, rel=0.2)
