"""Stopping rules that read the stop set: they fire on plateaus, and not while the model still learns."""

import math

import pytest

import alkit
from alkit.stopping import rule

RISING = [{"uncertainty": 0.8**n, "changed": 0.8 / n, "overlap": 1 - 0.6 / n} for n in range(1, 7)]
PLATEAU = [*RISING, *[{"uncertainty": 0.03, "changed": 0.02, "overlap": 0.98}] * 3]
NAMES = ("overall-uncertainty", "classification-change", "delta-f")


def history(figures):
    return [alkit.RoundResult(n, (), 10 * n + 10, stability=some) for n, some in enumerate(figures)]


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_fires_on_a_plateau_and_not_on_a_rising_curve(name):
    for rounds in range(4, len(RISING) + 1):
        assert rule(name).advise(history(RISING[:rounds]), 10).stop is False
    assert rule(name).advise(history(PLATEAU), 10).stop is True


@pytest.mark.parametrize(
    ("name", "key"), list(zip(NAMES, ("uncertainty", "changed", "overlap"), strict=True)), ids=NAMES
)
def test_a_rule_says_what_is_missing(name, key):
    for figures, words in [
        ([], "and there are 0"),
        ([{}, {}], "nothing was measured on a stop set"),
        ([*PLATEAU, {}], "round 9 has no such figure"),
        ([*PLATEAU, {key: math.nan}], "round 9 has no such figure"),
    ]:
        advice = rule(name).advise(history(figures), 10)
        assert advice.stop is None
        assert words in advice.reason


def test_every_round_of_the_window_counts():
    last = [{"changed": value, "overlap": 1 - value} for value in (0.01, 0.06, 0.01)]
    assert rule("delta-f").advise(history(last), 10).stop is False
    assert rule("classification-change").advise(history(last), 10).stop is False
    assert rule("classification-change", window=1).advise(history(last), 10).stop is True
    assert rule("delta-f", threshold=0.07).advise(history(last), 10).stop is True


def test_an_uncertainty_that_stays_high_is_no_advice():
    for figures in ([0.3], [0.3, 0.29], [0.3, 0.32]):
        advice = rule("overall-uncertainty").advise(history([{"uncertainty": value} for value in figures]), 10)
        assert advice.stop is None


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("overall-uncertainty", {"threshold": 0.0}, "threshold must be"),
        ("classification-change", {"window": 0}, "window must be an integer >= 1"),
        ("classification-change", {"threshold": 1.0}, "threshold must be"),
        ("delta-f", {"threshold": 1.0}, "threshold must be"),
    ],
)
def test_wrong_parameters_are_errors(name, parameters, words):
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        rule(name, **parameters)
