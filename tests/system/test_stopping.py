"""Stopping rules: those of alkit against numbers computed by hand, and those of other plugins."""

import math
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest

import alkit
from alkit import RoundResult
from alkit.configuration import registry
from alkit.stopping import Advice, stopping_advice
from alkit.stopping import rule as stopping_rule


def agreeing(*kappas):
    """Return a history with these agreements, the first of which is round 0's."""
    return [RoundResult(number, (), 10 + number, agreement=kappa) for number, kappa in enumerate(kappas)]


def curve(x, y, metric="dice", held_out=0):
    return [
        RoundResult(number, (), int(n), {} if value is None else {metric: value, "iou": 0.5}, n_held_out=held_out)
        for number, (n, value) in enumerate(zip(x, y, strict=True))
    ]


def law(x, error=0.1, rate=0.5, decay=0.5):
    """Return the paper's curve, (1 - a) - b x^c."""
    return (1 - error) - rate * np.asarray(x, float) ** -decay


X = [25, 36, 64, 100]  # with the law above 0.8, 0.8167, 0.8375, 0.85


def point(name, dist, value):
    made = EntryPoint(name, value, "alkit.stopping_rules")
    vars(made).update(dist=SimpleNamespace(name=dist, version="1"))
    return made


@pytest.fixture
def installed(monkeypatch):
    """Pretend these stopping rules are installed, and no strategy."""
    return lambda *points: monkeypatch.setattr(
        registry, "entry_points", lambda group: points if group == "alkit.stopping_rules" else ()
    )


# Stabilising predictions.


@pytest.mark.parametrize(
    ("kappas", "stop", "mean"),
    [
        ([None, 0.98, 0.99, 1.0], True, 0.99),
        ([None, 0.99, 0.99, 0.99], True, 0.99),
        ([None, 0.98, 0.99, 0.999], False, 2.969 / 3),
        ([None, 0.1, 0.2, 0.99, 0.99, 0.99], True, 0.99),
        ([None, 0.99, 0.99, 0.99, 0.5], False, 2.48 / 3),
    ],
)
def test_stabilising_predictions_stop_when_the_mean_of_the_last_three_agreements_reaches_the_threshold(
    kappas, stop, mean
):
    advice = stopping_rule("stabilising-predictions").advise(agreeing(*kappas), 35)
    assert advice.stop is stop
    assert advice.figures["mean agreement"] == pytest.approx(mean, abs=1e-12)
    assert advice.figures["least agreement"] == min(kappas[-3:])
    assert f"{mean:.4f}" in advice.reason


def test_stabilising_predictions_can_be_adjusted():
    history = agreeing(None, 0.2, 0.9, 0.92)
    assert stopping_rule("stabilising-predictions", window=2, threshold=0.9).advise(history, 1).stop is True
    assert stopping_rule("stabilising-predictions", window=3, threshold=0.9).advise(history, 1).stop is False


@pytest.mark.parametrize(
    ("kappas", "words"),
    [
        ([], "needs 3 agreements, and there are 0"),
        ([None], "needs 3 agreements, and there are 0"),
        ([None, None], "needs a stop set"),
        ([None, 1.0, 1.0], "needs 3 agreements, and there are 2"),
        ([None, 1.0, 1.0, 1.0, None], "agreement of round 4 was not measured"),
        ([None, 1.0, math.nan, 1.0], "agreement of round 2 is nan"),
    ],
)
def test_stabilising_predictions_state_what_is_missing(kappas, words):
    advice = stopping_rule("stabilising-predictions").advise(agreeing(*kappas), 35)
    assert advice.stop is None
    assert words in advice.reason
    assert advice.figures == {"window": 3, "threshold": 0.99}


# Expected gain.


def test_expected_gain_finds_a_known_curve_and_extrapolates_it():
    advice = stopping_rule("expected-gain").advise(curve(X, law(X)), 300)
    assert advice.figures["gain"] == pytest.approx(0.025, abs=1e-6)  # 0.9 - 0.5 / 20 less 0.9 - 0.5 / 10
    assert advice.figures["plateau"] == pytest.approx(0.9, abs=1e-6)
    assert advice.figures["low"] == pytest.approx(0.025, abs=1e-5)
    assert advice.figures["high"] == pytest.approx(0.025, abs=1e-5)
    assert advice.stop is False


def test_expected_gain_stops_if_even_the_upper_bound_is_below_the_threshold():
    history = curve(X, law(X))  # 8 more labels: 0.9 - 0.5 / sqrt(108) less 0.85 is 0.00189
    advice = stopping_rule("expected-gain").advise(history, 8)
    assert advice.figures["gain"] == pytest.approx(0.05 - 0.5 / math.sqrt(108), abs=1e-6)
    assert advice.stop is True
    assert "8 more labels are expected to add 0.0019 dice" in advice.reason
    assert "less than the threshold 0.002" in advice.reason
    assert stopping_rule("expected-gain", threshold=0.0018).advise(history, 8).stop is False


def test_only_the_labels_of_the_batch_that_would_be_trained_on_count():
    held = stopping_rule("expected-gain").advise(curve(X, law(X), held_out=25), 125)
    assert held.figures["gain"] == pytest.approx(0.05 - 0.5 / math.sqrt(200), abs=1e-6)  # 100 of 125
    audit = alkit.values.AuditFigures({}, 25, 900, tuple(f"i{number:02}" for number in range(25)))
    audited = [replace(result, audit=audit) for result in curve(X, law(X))]
    assert stopping_rule("expected-gain").advise(audited, 125).figures == held.figures


def test_the_interval_equals_the_delta_method_computed_by_hand():
    x = np.array([20, 40, 60, 80, 100, 120, 140])
    y = law(x) + np.array([0.004, -0.003, 0.002, -0.001, 0.002, -0.002, 0.001])
    figures = stopping_rule("expected-gain", confidence=0.9).advise(curve(x, y), 60).figures
    best = np.inf, 0.0, 0.0, 0.0
    for decay in np.linspace(0.3, 0.7, 4001):  # a slow and obvious fit: linear for each decay
        design = np.stack([np.ones(7), -(x**-decay)], axis=1)
        weights = np.arange(1, 8) / 7
        top, rate = np.linalg.solve(design.T @ (weights[:, None] * design), design.T @ (weights * y))
        cost = weights @ (y - design @ [top, rate]) ** 2
        best = min(best, (cost, top, rate, decay))
    cost, top, rate, decay = best
    assert figures["plateau"] == pytest.approx(top, abs=1e-4)
    assert figures["gain"] == pytest.approx(rate * (140**-decay - 200**-decay), abs=1e-5)
    slopes = np.stack([np.ones(7), -(x**-decay), rate * x**-decay * np.log(x)], axis=1)
    covariance = np.linalg.inv(slopes.T @ (weights[:, None] * slopes)) * cost / (7 - 3)
    gain = np.array([0, 140**-decay - 200**-decay, rate * (200**-decay * np.log(200) - 140**-decay * np.log(140))])
    half = 2.1318467863266495 * np.sqrt(gain @ covariance @ gain)  # the 95 % point of Student's t with 4 degrees
    assert figures["high"] - figures["gain"] == pytest.approx(half, rel=1e-2)
    assert figures["gain"] - figures["low"] == pytest.approx(half, rel=1e-2)


def test_expected_gain_gives_no_advice_if_the_threshold_is_inside_the_interval():
    x = [20, 40, 60, 80, 100, 120]
    y = law(x, decay=1.0) + np.array([0.004, -0.006, 0.005, -0.005, 0.004, -0.003])
    advice = stopping_rule("expected-gain").advise(curve(x, y), 20)
    assert advice.stop is None
    assert advice.figures["gain"] < 0.002 < advice.figures["high"]
    assert "more rounds are needed" in advice.reason


def test_the_interval_covers_the_gain_of_a_noisy_power_law_about_as_often_as_its_confidence_level():
    rng = np.random.default_rng(0)
    x = np.arange(50, 550, 50)
    true = float(law(550) - law(500))
    rule, hits, trials = stopping_rule("expected-gain"), 0, 0
    for _ in range(200):
        figures = rule.advise(curve(x, law(x) + rng.normal(0, 0.002, len(x))), 50).figures
        if "gain" in figures:
            hits, trials = hits + (figures["low"] <= true <= figures["high"]), trials + 1
    assert trials > 190
    assert 0.85 < hits / trials <= 1.0


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([], [], "no round has been measured"),
        ([10, 20], [None, None], "no round has been measured"),
        ([10, 20, 30], [0.5, 0.6, 0.65], "needs 4 rounds with different numbers of labels, and there are 3"),
        ([10, 20, 20, 20], [0.5, 0.6, 0.61, 0.6], "and there are 2"),
        ([10, 20, 30, 40], [0.5, None, 0.6, 0.62], "and there are 3"),
        ([10, 20, 30, 40], [0.5, 0.6, math.nan, 0.7], "dice of round 2 is nan"),
        ([10, 20, 30, 40, 50], [0.8] * 5, "does not rise"),
        ([10, 20, 30, 40, 50], [0.0] * 5, "does not rise"),
        ([10, 20, 30, 40, 50], [1.0] * 5, "does not rise"),
        ([10, 20, 30, 40, 50], [0.8, 0.78, 0.75, 0.7, 0.6], "does not rise"),
        ([10, 20, 30, 40, 50, 60], [0.70, 0.75, 0.69, 0.74, 0.70, 0.72], "does not rise"),
        ([20, 30, 40, 50, 60, 70], [0.80, 0.81, 0.805, 0.808, 0.81, 0.809], "jumps once and is flat"),
        ([20, 40, 80, 160, 320], [0.1, 0.103, 0.106, 0.109, 0.112], "rises without bending"),
    ],
)
def test_expected_gain_gives_the_reason_if_there_is_no_fit(x, y, words):
    advice = stopping_rule("expected-gain").advise(curve(x, y), 35)
    assert advice.stop is None
    assert words in advice.reason
    assert "gain" not in advice.figures


def test_expected_gain_uses_the_main_metric_or_the_given_one():
    history = curve(X, law(X), metric="accuracy")
    assert "accuracy" in stopping_rule("expected-gain").advise(history, 300).reason
    said = stopping_rule("expected-gain", metric="dice").advise(history, 300)
    assert "no round has the metric 'dice'" in said.reason
    assert "iou does not rise" in stopping_rule("expected-gain", metric="iou").advise(history, 300).reason.replace(
        "the ", ""
    )


@pytest.mark.parametrize("seed", range(40))
def test_expected_gain_gives_finite_figures_for_any_curve(seed):
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.integers(1, 60, rng.integers(4, 25)))
    y = np.clip(
        law(x, *rng.uniform(0, 1, 2), rng.uniform(0, 3)) + rng.normal(0, rng.choice([0, 0.01, 0.2]), len(x)), 0, 1
    )
    advice = stopping_rule("expected-gain").advise(curve(x, y), 20)
    assert advice.reason
    if advice.stop is not None:
        assert 0 <= advice.figures["gain"] <= advice.figures["plateau"] <= 1
        assert advice.stop == (advice.figures["high"] < 0.002)


# Errors.


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("stabilising-predictions", {"window": 0}, "window must be an integer >= 1: got 0"),
        ("stabilising-predictions", {"threshold": 0.0}, r"threshold must be a number in \(0, 1\]: got 0.0"),
        ("stabilising-predictions", {"threshold": 1.01}, r"threshold must be a number in \(0, 1\]: got 1.01"),
        ("stabilising-predictions", {"windows": 2}, "stopping rule 'stabilising-predictions' has no parameter"),
        ("stabilising-predictions", {"window": "3"}, "window of stopping rule .* must be of type"),
        ("expected-gain", {"threshold": 0.0}, "threshold must be a finite number > 0: got 0.0"),
        ("expected-gain", {"threshold": math.inf}, "threshold must be a finite number > 0: got inf"),
        ("expected-gain", {"confidence": 1.0}, r"confidence must be a number in \(0, 1\): got 1.0"),
        ("expected-gains", {}, "stopping rule 'expected-gains' is not installed. Try: 'expected-gain'"),
    ],
)
def test_a_wrong_rule_or_parameter_is_an_error(name, parameters, words):
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        stopping_rule(name, **parameters)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((1, "because"), "stop must be True, False or None: got 1"),
        ((True, " "), "reason must be a sentence: got ' '"),
        ((True, None), "reason must be a string: got None"),
        ((None, "because", {"gain": math.inf}), r"figures\['gain'\] must be a finite number: got inf"),
        ((None, "because", {"gain": "much"}), r"figures\['gain'\] must be a number: got 'much'"),
    ],
)
def test_an_advice_is_checked(said, words):
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        Advice(*said)


@pytest.mark.parametrize(
    ("metric", "values", "words"),
    [
        ("hd95", [9.0, 5.0, 4.0, 3.5], "hd95 falls while a model improves"),
        ("ece", [0.2, 0.1, 0.08, 0.07], "ece falls while a model improves"),
        ("found", [1.0, 2.0, 2.5, 2.8], "the found of round 1 is 2, and the rule needs a metric of at most 1"),
    ],
    ids=range(3),
)
def test_a_metric_that_falls_or_is_above_one_has_no_expected_gain(metric, values, words):
    rounds = [alkit.RoundResult(j, (), 10 * 2**j, {metric: value, "dice": 0.9}) for j, value in enumerate(values)]
    advice = stopping_rule("expected-gain").advise(rounds, 10)
    assert advice.stop is None
    assert words in advice.reason


def test_an_advice_holds_plain_values():
    advice = Advice(np.bool_(True), "because", {"gain": np.float32(0.5)})
    assert advice.stop is True
    assert type(advice.figures["gain"]) is float


def test_an_empty_batch_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match="next_batch must be an integer >= 1: got 0"):
        stopping_advice([], 0)


# Rules of other plugins.


def test_a_rule_of_another_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    folder = tmp_path / "stranger-2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 2\n")
    (folder / "entry_points.txt").write_text("[alkit.stopping_rules]\nbudget = strange_budget:Budget\n")
    (tmp_path / "strange_budget.py").write_text(
        "from dataclasses import dataclass\nfrom alkit.stopping import Advice\n"
        "@dataclass(frozen=True)\nclass Budget:\n    labels: int = 100\n"
        "    def advise(self, history, next_batch):\n"
        "        n = history[-1].n_labels + next_batch\n"
        "        return Advice(n > self.labels, f'{n} of {self.labels} labels', {'labels': n})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert {"budget", "expected-gain", "stabilising-predictions"} <= set(alkit.stopping.installed())
    assert "budget" not in alkit.strategies.installed()
    said = stopping_advice(agreeing(None), 91)
    assert said["budget"] == Advice(True, "101 of 100 labels", {"labels": 101.0})
    assert said["expected-gain"].stop is None
    assert stopping_rule("stranger:budget", labels=200).advise(agreeing(None), 91).stop is False
    sys.modules.pop("strange_budget")


def test_listing_the_rules_does_not_import_them(installed):
    installed(point("lazy", "a", "antigravity:fly"))
    assert list(alkit.stopping.installed()) == ["lazy"]
    assert "antigravity" not in sys.modules


def test_two_rules_with_one_name_both_give_advice_under_distinct_names(installed):
    value = "alkit_baselines.expected_gain:ExpectedGain"
    installed(point("mine", "a", value), point("mine", "b", value))
    assert list(stopping_advice([], 1)) == ["a:mine", "b:mine"]
    with pytest.raises(alkit.errors.ConfigurationError, match=r"2 distributions .* stopping rule 'mine'.*a:mine or b:"):
        stopping_rule("mine")


def test_a_stopping_rule_may_have_the_name_of_a_part_of_strategies(installed):
    installed(point("filter", "a", "alkit_baselines.expected_gain:ExpectedGain"))
    assert list(alkit.stopping.installed()) == ["filter"]


class Fails:
    """A rule that fails."""

    def advise(self, history, next_batch):
        raise ZeroDivisionError("no rounds")


class Leaves:
    """A rule that gives up as a script would."""

    def advise(self, history, next_batch):
        sys.exit("enough")


class Shrugs:
    """A rule that returns a string."""

    def advise(self, history, next_batch):
        return "stop"


class Infinite:
    """A rule with an infinite figure."""

    def advise(self, history, next_batch):
        return Advice(True, "because", {"gain": math.inf})


class Demands:
    """A rule that cannot be made without a parameter."""

    def __init__(self, budget):
        self.budget = budget


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:Rule", "cannot be imported (ModuleNotFoundError"),
        (f"{__name__}:Fails", "the rule failed (ZeroDivisionError: no rounds)"),
        (f"{__name__}:Leaves", "the rule failed (SystemExit: enough)"),
        (f"{__name__}:Shrugs", "must return an Advice: got str"),
        (f"{__name__}:Infinite", "figures['gain']"),
        (f"{__name__}:Demands", "needs a value for budget"),
        ("alkit_baselines.random:Random", "must have a method advise"),
    ],
)
def test_a_broken_rule_gives_its_error_as_the_reason_and_the_other_rules_still_advise(installed, value, words):
    installed(point("bad", "a", value), point("fine", "a", "alkit_baselines.expected_gain:ExpectedGain"))
    said = stopping_advice(curve(X, law(X)), 300)
    assert said["bad"].stop is None
    assert words in said["bad"].reason
    assert said["fine"].stop is False


def test_a_rule_sees_a_history_that_it_cannot_change(installed):
    seen = []

    class Looks:
        def advise(self, history, next_batch):
            seen.append((type(history), next_batch))
            return Advice(None, "looked")

    sys.modules[__name__].Looks = Looks
    installed(point("looks", "a", f"{__name__}:Looks"))
    stopping_advice(agreeing(None), 7)
    assert seen == [(tuple, 7)]
