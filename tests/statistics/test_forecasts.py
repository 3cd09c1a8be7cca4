"""Forecasts of learning curves."""

import numpy as np
import pytest

import alkit
from alkit.statistics import forecast, why_no_forecast

LABELS = [10, 20, 40, 60, 80, 100]


def law(x, top=0.9, short=0.9, decay=0.5):
    return top - short * np.asarray(x, float) ** -decay


def test_a_smooth_curve_is_continued():
    found = forecast(LABELS, law(LABELS).tolist(), 200)
    assert found.value == pytest.approx(law(200), abs=0.01)
    assert found.low < law(200) < found.high
    assert found.gain == pytest.approx(law(200) - law(100), abs=0.01)
    assert found.level == pytest.approx(law(100), abs=0.005)
    assert found.rounds == 6


def test_the_interval_covers_the_next_rounds_of_noisy_curves_as_often_as_it_says():
    rng = np.random.default_rng(0)
    ahead, hits = [150, 200], []
    older = (100 / np.array([*LABELS, *ahead])).clip(1) ** 0.7  # rounds with fewer labels scatter more
    for _ in range(60):
        top, scatter = rng.uniform(0.75, 0.95), rng.uniform(0.004, 0.014)
        truth = law([*LABELS, *ahead], top, rng.uniform(0.4, 1), rng.uniform(0.4, 1))
        seen = truth + older * rng.normal(0, scatter, len(truth))
        if why_no_forecast(LABELS, seen[:6]) is None:
            found = [forecast(LABELS, seen[:6].tolist(), x) for x in ahead]
            hits += [one.low <= value <= one.high for one, value in zip(found, seen[6:], strict=True)]
    assert len(hits) > 100
    assert 0.72 <= np.mean(hits) <= 0.95


def test_a_plateau_gains_nothing_and_a_rising_curve_does():
    flat = forecast(LABELS, [0.80, 0.812, 0.809, 0.811, 0.810, 0.811], 200)
    rising = forecast(LABELS, law(LABELS).tolist(), 200)
    assert abs(flat.gain) < 0.005 < rising.gain_low


def test_fewer_rounds_and_more_labels_give_wider_intervals():
    values = law(LABELS).tolist()

    def width(rounds, x):
        found = forecast(LABELS[:rounds], values[:rounds], x)
        return found.high - found.low

    assert width(3, 80) > width(5, 160)
    assert width(6, 400) > width(6, 200) > width(6, 110)


def test_unknown_numbers_of_labels_widen_the_interval():
    values = law(LABELS).tolist()
    one, several = forecast(LABELS, values, 250), forecast(LABELS, values, [110, 250, 390])
    assert several.high - several.low > one.high - one.low
    assert several.labels == 250


def test_an_interval_stays_between_zero_and_one():
    found = forecast(LABELS, [0.9, 0.95, 0.97, 0.99, 0.995, 0.999], 1000, confidence=0.99)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("labels", "values", "words"),
    [
        ([10, 20], [0.6, 0.7], "needs 3 rounds with different numbers of labels, and there are 2"),
        ([10, 20, 20], [0.6, 0.7, 0.7], "and there are 2"),
        ([10, 20, 30], [0.6, 0.7, 2.0], "at most 1"),
        ([10, 20, 30], [0.6, 0.7, np.nan], "finite"),
        ([10, 20, 30], [0.2, 0.3, 0.3], "may stay flat and then jump"),
    ],
    ids=range(5),
)
def test_a_curve_that_cannot_be_forecast_says_why(labels, values, words):
    assert words in why_no_forecast(labels, values)
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        forecast(labels, values, 100)


def test_wrong_numbers_are_errors():
    with pytest.raises(alkit.errors.ConfigurationError, match="at must be at least the last number of labels, 100"):
        forecast(LABELS, law(LABELS).tolist(), 50)
    with pytest.raises(alkit.errors.ConfigurationError, match="labels must be positive, and as many as values"):
        forecast([10, 20, 30], [0.7, 0.8], 50)
    with pytest.raises(alkit.errors.ConfigurationError, match="confidence must be"):
        forecast(LABELS, law(LABELS).tolist(), 200, confidence=1.0)
