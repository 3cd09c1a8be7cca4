"""What the next labels are expected to bring, and the recommendation with its evidence."""

import pytest

from alkit import RoundResult
from alkit.report.costs import RecordedCost
from alkit.report.outlook import make_outlook
from alkit.report.recommendation import recommend
from alkit.statistics import forecast
from alkit.statistics.costs import LabelCost
from alkit.stopping import Advice

LABELS = [10, 20, 40, 60, 80, 100]
RISING = [0.9 - 0.9 * n**-0.5 for n in LABELS]
FLAT = [0.80, 0.812, 0.809, 0.811, 0.810, 0.811]
COST = RecordedCost(LabelCost(90.0, scatter=0.4, n=50), 0, 50)


def rounds(values, labels=LABELS, metric="dice", **more):
    return [
        RoundResult(k, (), n, {metric: value}, **more) for k, (n, value) in enumerate(zip(labels, values, strict=False))
    ]


def test_hours_are_turned_into_labels_and_a_metric():
    found = make_outlook(rounds(RISING), {}, 30, COST, hours=6.0)
    assert found.labels == 240
    assert 200 < found.labels_low < 240 < found.labels_high < 290
    assert found.forecast.labels == pytest.approx(340, rel=0.02)
    told = found.sentences
    assert told[0].startswith(
        "A label takes 90 s on average, by estimates from the times of 50 files: 6.0 h suffice for"
    )
    assert told[1].startswith("6.0 h more: dice 0.8")
    assert "(80% interval). The fitted curve is at 0.81 now." in told[1]
    assert told[-1].startswith("Go on: 200 labels in all are expected to add 0.0")


def test_a_batch_has_hours_and_two_annotators_need_twice_as_many():
    one, two = (make_outlook(rounds(RISING), {}, 40, COST, annotators=n) for n in (1, 2))
    assert (one.hours, two.hours) == (1.0, 2.0)
    assert one.hours_low < 1 < one.hours_high
    assert one.forecast == two.forecast
    assert "40 more images (1.0 h): dice" in one.sentences[1]
    assert make_outlook(rounds(RISING), {}, 40, COST, hours=100.0, left=7).labels == 7


def test_without_times_there_are_no_hours():
    found = make_outlook(rounds(RISING), {}, 40, None)
    assert (found.hours, found.per_label) == (None, None)
    assert found.sentences[0].startswith("40 more images: dice")
    untimed = make_outlook(rounds(RISING), {}, 40, None, hours=6.0)
    assert "no time of a label is known" in untimed.why_not


def test_labels_that_are_kept_apart_are_not_trained_on():
    whole, held = (make_outlook(rounds(RISING, n_held_out=n), {}, 100, None).forecast.labels for n in (0, 100))
    assert (whole, held) == (200, 150)


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (rounds([0.7, 0.75]), "needs 3 rounds"),
        (rounds([9.0, 7.0, 6.0], metric="hd95"), "hd95 falls while a model improves"),
        ([RoundResult(0, (), 10)], "no round was measured"),
        ([*rounds([0.7, 0.72, 0.74], n_held_out=5), RoundResult(3, (), 60, {"dice": 0.8})], "and there are 1"),
    ],
    ids=range(4),
)
def test_a_forecast_that_is_missing_has_a_reason(history, words):
    found = make_outlook(history, {}, 30, COST)
    assert words in found.why_not
    assert f"No forecast: {found.why_not}." in found.sentences
    assert found.sentences[-1] == "Go on: nothing tells yet that the labels are enough."


def test_an_own_metric_that_falls_is_not_forecast():
    falling = rounds([0.95, 0.85, 0.75, 0.68, 0.62, 0.58], metric="loss")
    found = make_outlook(falling, {}, 30, None, directions={"loss": True})
    assert (found.forecast, found.recommendation.stop) == (None, False)
    assert found.why_not.startswith("loss falls while a model improves")
    assert make_outlook(rounds(RISING, metric="loss"), {}, 30, None, directions={"loss": False}).forecast is not None


def test_few_rounds_are_said():
    assert "It has 3 rounds, so this says little" in make_outlook(rounds(RISING[:3]), {}, 9, None).sentences[0]


STOP, ON = Advice(True, "."), Advice(False, ".")


@pytest.mark.parametrize(
    ("advice", "values", "stop", "words"),
    [
        ({}, RISING, False, "Go on: 150 labels in all are expected to add 0.0"),
        ({"delta-f": STOP}, RISING, False, ", although delta-f would stop."),
        ({"expected-gain": STOP}, RISING, None, "Not clear: 150 labels"),
        ({"delta-f": ON}, None, False, "Go on: delta-f would continue."),
        ({"delta-f": STOP, "overall-uncertainty": STOP}, None, True, "They look at predictions only"),
        (
            {"expected-gain": STOP, "delta-f": ON},
            None,
            True,
            "would stop, although delta-f would continue.",
        ),
        ({"budget": STOP}, None, True, "You may stop: budget would stop."),
    ],
    ids=range(7),
)
def test_a_recommendation_names_its_evidence_and_what_was_measured_counts_more(advice, values, stop, words):
    found = recommend(advice, None if values is None else forecast(LABELS, values, 150), "dice")
    assert found.stop is stop
    assert words in found.text


def test_a_plateau_is_a_reason_to_stop_and_so_is_an_empty_pool():
    flat = make_outlook(rounds(FLAT), {}, 5, None).recommendation
    assert flat.text.startswith("You may stop: 200 labels in all are expected to add 0.001 dice")
    assert make_outlook(rounds(FLAT[:5]), {}, 5, None).recommendation.stop is False  # too few rounds
    assert make_outlook(rounds(RISING), {}, 1, None).recommendation.stop is False  # a small batch is no reason
    assert recommend({"expected-gain": ON}, None, None, left=0).stop is True
