"""The summary of a campaign, its printed form and its next step, from hand-made standings and histories."""

import io
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.console import Console

from alkit.cli.tables import MEANINGS, print_campaign
from alkit.record import Recorded, Standing
from alkit.report.next_step import next_step
from alkit.report.summary import Problem, Timing, summary
from alkit.report.text import age, sparkline
from alkit.stopping import Advice
from alkit.values import Interval, Query, RoundResult, State

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
STOP, GO, OPEN = (
    Advice(True, "enough", {"gain": 0.001}),
    Advice(False, "it pays", {"gain": 0.1}),
    Advice(None, "too soon"),
)


def ago(hours):
    return (NOW - timedelta(hours=hours)).isoformat(timespec="seconds")


def said(id, annotator, kind="label", **more):
    return Recorded(id, annotator, 1, kind, "a.png" if kind == "label" else None, told_at=ago(1), **more)


def stands(id, state, *answers, asked=100.0, sent=50.0, missing=0, wanted=1, rank=0, round=0):
    query = Query(id, round, rank, ((8, 8),), wanted=wanted)
    return Standing(query, state, ago(asked), None if sent is None else ago(sent), answers, missing)


def of(*standings, history=(), advice=None, next_batch=35, **more):
    return summary(standings, history, now=NOW, advice=advice or {}, next_batch=next_batch, **more)


def shown(found, width=80, encoding="utf-8", store="c.db"):
    written = io.BytesIO()
    console = Console(width=width, color_system=None, file=io.TextIOWrapper(written, encoding, write_through=True))
    print_campaign(console, found, next_step(found, store), store)
    return written.getvalue().decode(encoding)


def words(found, **more):
    return " ".join(shown(found, **more).split())


# What is counted.


def test_a_skip_that_replaces_a_label_of_the_last_model_is_listed():
    found = of(stands("a", State.STALE, said("a", "ann", "skip", reason="two lesions")), REVISED)
    assert found.skipped == ("a",)
    assert [(skip.id, skip.reason) for skip in found.skips] == [("a", "two lesions")]


def test_labels_and_skips_are_counted_by_image_and_by_annotator():
    found = of(
        stands("a", State.CONSUMED, said("a", "ann", seconds=10.0), said("a", "bob", seconds=31.0), wanted=2),
        stands("b", State.ANSWERED, said("b", "ann", seconds=20.0), said("b", "bob", "skip", seconds=1.0), wanted=2),
        stands("c", State.SKIPPED, said("c", "ann", "skip", reason="blurred")),
        stands("d", State.REJECTED, said("d", "bob", rejected="the edge"), missing=1),
        stands("e", State.ASKED, said("e", "", "invalid", reason="no image"), missing=1),
        stands("f", State.ASKED, said("f", "ann", "withdrawal"), missing=1),
        stands("g", State.CANCELLED),
    )
    assert found.labels == 2
    assert found.skipped == ("c",)
    assert found.states == {
        State.ASKED: 2,
        State.ANSWERED: 1,
        State.CONSUMED: 1,
        State.SKIPPED: 1,
        State.REJECTED: 1,
        State.CANCELLED: 1,
    }
    rows = {who.name: (who.labels, who.skips, who.withdrawn, who.rejected, who.invalid) for who in found.annotators}
    assert rows == {"": (0, 0, 0, 0, 1), "ann": (2, 1, 1, 0, 0), "bob": (1, 1, 0, 1, 0)}


def test_the_time_of_a_label_is_the_median_over_counted_labels_with_a_time():
    found = of(
        stands("a", State.CONSUMED, said("a", "ann", seconds=10.0)),
        stands("b", State.CONSUMED, said("b", "ann", seconds=30.0)),
        stands("c", State.CONSUMED, said("c", "bob", seconds=100.0)),
        stands("d", State.CONSUMED, said("d", "bob")),
        stands("e", State.SKIPPED, said("e", "bob", "skip", seconds=1.0)),
        stands("f", State.REJECTED, said("f", "bob", seconds=999.0, rejected="no"), missing=1),
    )
    assert found.seconds == Timing(30.0, 3)
    assert [who.seconds for who in found.annotators] == [Timing(20.0, 2), Timing(100.0, 1)]
    assert "Median time for a label: 30 s (n = 3)." in shown(found)
    assert "Median time" not in shown(of(stands("d", State.CONSUMED, said("d", "bob"))))


def test_an_open_query_is_shown_with_its_age_and_the_missing_annotators():
    found = of(
        stands("a", State.PENDING, sent=None, asked=3.5, missing=1),
        stands("b", State.PARTIAL, said("b", "ann"), said("b", "cid", "skip"), missing=1, wanted=3),
        stands("c", State.REJECTED, said("c", "ann", rejected="the edge"), missing=1, sent=60.0),
        stands("d", State.ANSWERED, said("d", "ann")),
    )
    first, second, third = found.open
    assert (first.id, first.hours, first.since, first.missing) == ("a", 3.5, ago(3.5), 1)
    assert (second.hours, second.missing, second.answered_by) == (50.0, 1, ("ann", "cid"))
    assert (third.hours, third.problems) == (60.0, (Problem("ann", "rejected", "the edge"),))
    text = words(found)
    assert "pending 1 4 h being sent" in text
    assert "partial 1 2 days 1 more, after ann, cid" in text
    assert "rejected 1 2 days ann" in text
    assert "r00-0000-c ann sent back the edge" in text


def test_open_queries_waiting_for_the_same_annotators_are_one_line_with_a_range_of_ages():
    text = words(
        of(*(stands(id, State.ASKED, sent=hours, missing=1) for id, hours in zip("abc", (2, 30, 80), strict=True)))
    )
    assert "asked 3 2 h to 3 days an annotator" in text


def test_an_annotator_with_a_valid_answer_is_not_waited_for_despite_an_invalid_one():
    query = stands(
        "a", State.PARTIAL, said("a", "ann", "invalid", reason="size"), said("a", "ann"), missing=1, wanted=2
    )
    assert "partial 1 2 days 1 more, after ann" in words(of(query))


def test_the_age_respects_the_time_zone_of_the_record_and_is_never_negative():
    east = (NOW - timedelta(hours=2)).astimezone(timezone(timedelta(hours=9))).isoformat()
    query = Query("a", 0, 0, ((8, 8),))
    ahead = Standing(Query("b", 0, 1, ((8, 8),)), State.ASKED, ago(1), ago(-5), (), 1)
    found = of(Standing(query, State.ASKED, east, None, (), 1), ahead)
    assert [entry.hours for entry in found.open] == [2.0, 0.0]


def test_only_the_first_problems_are_listed_and_the_others_are_counted():
    found = of(*(stands(f"{n}", State.REJECTED, said(f"{n}", "ann", rejected="x"), missing=1) for n in range(11)))
    assert "and 3 more: see --json" in words(found)


# The learning curve.


def held_out(n):
    found = {"dice": Interval(0.5 + n / 10, 0.3, 0.9, n + 2, n + 2)}
    return RoundResult(n, (), 10 * n + 10, {"dice": 0.5 + n / 10, "iou": 0.1}, n_held_out=n + 2, intervals=found)


HELD = [held_out(n) for n in range(3)]


def test_a_note_says_that_a_hold_out_is_not_a_random_sample():
    found = of(history=HELD)
    assert (found.metric, found.measured_on, found.curve) == ("dice", "hold-out", (0.5, 0.6, 0.7))
    text = words(found)
    assert "dice is measured on labels held out at random" in text
    assert "they are not a random sample of the pool" in text
    assert "each round is measured on other images than the round before" in text
    assert "1 20 3 0.600 +0.100 [0.30, 0.90]" in text
    assert "measured on 4 labels: too few for a reliable dice" in text
    many = [*HELD, RoundResult(3, (), 90, {"dice": 0.8, "iou": 0.1}, n_held_out=10)]
    assert "too few" not in words(of(history=many))
    assert re.search("Learning curve ▁[▄▅]█", text)
    assert "Learning curve +--" in words(found, encoding="ascii")


def test_a_figure_of_few_labels_held_out_is_not_shown_without_an_interval():
    text = words(of(history=[RoundResult(0, (), 12, {"dice": 0.783}, n_held_out=3)]))
    assert "0.783" not in text
    assert "Figures from fewer than 20 images are not shown without an interval" in text


def test_metrics_are_those_of_a_test_set_even_if_answers_are_held_out():
    assert of(history=HELD, tested=True).measured_on == "test set"
    found = of(history=[RoundResult(0, (), 9, {"accuracy": 0.7})])
    assert (found.metric, found.measured_on) == ("accuracy", "test set")
    assert "accuracy is measured on a test set" in words(found)


def test_rounds_without_a_metric_have_empty_cells():
    found = of(history=[HELD[0], RoundResult(1, (), 20, {}, n_pseudo=4, agreement=0.987), HELD[2]])
    assert found.curve == (0.5, None, 0.7)
    text = words(found)
    assert "1 20 4 0 0.987" in text
    assert "2 30 0 4 0.700 +0.200" in text
    nothing = of(history=[RoundResult(0, (), 20)])
    assert (nothing.metric, nothing.measured_on, nothing.curve) == (None, None, (None,))
    assert "There are no metrics" in words(nothing)


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([None], ""),
        ([0.5], "▄"),
        ([0.1, 0.8], "▁█"),
        ([0.8, None, 0.1], "█ ▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
    ],
)
def test_a_sparkline_runs_from_the_least_to_the_greatest(values, drawn):
    assert sparkline(values) == drawn


@pytest.mark.parametrize(
    ("hours", "text"), [(0, "0 min"), (0.5, "30 min"), (1, "1 h"), (47.4, "47 h"), (47.6, "2 days"), (240, "10 days")]
)
def test_an_age_has_a_suitable_unit(hours, text):
    assert age(hours) == text


# Whether more labels are worth it.


@pytest.mark.parametrize(
    ("advice", "worth", "text"),
    [
        ({}, None, "No stopping rule is installed."),
        ({"x": OPEN, "y": OPEN}, None, "No stopping rule can tell yet."),
        ({"x": GO, "y": OPEN}, True, "Yes: x would continue."),
        ({"x": OPEN, "y": STOP}, False, "Probably not: y would stop here."),
        ({"x": STOP, "y": STOP}, False, "Probably not: x and y would stop here."),
        ({"x": STOP, "y": GO}, None, "The stopping rules disagree: x would stop, y would continue."),
    ],
)
def test_the_verdict_is_that_of_the_rules_with_an_answer(advice, worth, text):
    found = of(history=HELD, advice=advice)
    assert (found.worth, found.verdict) == (worth, text)
    assert text in words(found)


def test_each_rule_is_shown_with_its_reason_and_its_figures():
    text = words(of(history=HELD, advice={"[mine]": STOP, "open": OPEN}), width=120)
    assert "[mine] stop enough gain 0.001" in text
    assert "open cannot tell too soon" in text


# The next step.

DONE = stands("z", State.CONSUMED, said("z", "ann"))
WAITS = stands("y", State.ASKED, missing=1)
FRESH = stands("x", State.PENDING, sent=None, missing=1)
NEW = stands("w", State.ANSWERED, said("w", "ann"))
REVISED = stands("v", State.STALE, said("v", "ann"))
SKIPPED = stands("u", State.SKIPPED, said("u", "ann", "skip"))


@pytest.mark.parametrize(
    ("found", "command", "why"),
    [
        (of(), "alkit ask c.db -n 35 --out FOLDER", "no image has been queried yet"),
        (of(left=20), "alkit ask c.db -n 20 --out FOLDER", "no image has been queried yet"),
        (of(FRESH, WAITS, NEW), "alkit ask c.db --out FOLDER", "1 image is selected and not sent out yet"),
        (of(WAITS, NEW), "alkit tell c.db --from FOLDER", "1 image waits for an answer; alkit withdraw c.db takes"),
        (of(WAITS, WAITS), "alkit tell c.db --from FOLDER", "2 images wait for an answer"),
        (of(NEW, DONE, history=HELD), "alkit fit c.db", "1 image is labelled and not trained on yet"),
        (of(DONE, REVISED, history=HELD), "alkit fit c.db", "1 image is revised since the last training"),
        (of(NEW, REVISED), "alkit fit c.db", "not trained on yet, and 1 image is revised"),
        (of(DONE, history=HELD), "alkit ask c.db -n 35 --out FOLDER", "the model is trained on all labels"),
        (
            of(DONE, history=HELD, advice={"x": GO}),
            "alkit ask c.db -n 35 --out FOLDER",
            "the model is trained on all labels",
        ),
        (of(DONE, history=HELD, left=7), "alkit ask c.db -n 7 --out FOLDER", "the model is trained on all labels"),
        (of(DONE, history=HELD, advice={"x": STOP}), "alkit predict c.db --images FOLDER", "the stopping rules advise"),
        (
            of(DONE, history=HELD, advice={"x": STOP, "y": GO}),
            "alkit ask c.db -n 35",
            "the model is trained on all labels",
        ),
        (of(DONE, history=HELD, left=0, advice={"x": GO}), "alkit predict c.db", "all images of the pool have been"),
        (of(WAITS, DONE, history=HELD, advice={"x": STOP}), "alkit tell c.db", "1 image waits"),
        (of(SKIPPED), "alkit ask c.db -n 35 --out FOLDER", "none of the queried images has a label"),
        (of(SKIPPED, left=0), "alkit start NEW.db", "the pool has no images left, and none of the queried"),
        (of(NEW, held_out="w".__eq__), "alkit ask c.db -n 35 --out FOLDER", "all labels so far are held out"),
        (of(NEW, left=0, held_out="w".__eq__), "alkit start NEW.db", "all labels so far are held out"),
        (of(NEW, REVISED, held_out="w".__eq__), "alkit fit c.db", "not trained on yet"),
        (of(DONE, NEW, history=HELD, unusable={NEW.query.id: "gone"}), "alkit ask c.db", "the model is trained on all"),
    ],
)
def test_the_next_command_follows_from_the_states_of_the_queries(found, command, why):
    step = next_step(found, "c.db")
    assert step.command.startswith(command)
    assert why in step.why
    assert shown(found).endswith(f"\n  {step.command}\n")


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (of(), "alkit run ... --store r.db"),
        (of(NEW, history=HELD), "alkit run ... --store r.db"),
        (of(WAITS, history=HELD), "alkit run ... --store r.db"),
        (of(DONE, history=HELD), "alkit run ... --store r.db --rounds 3"),
        (of(DONE, history=HELD, advice={"x": STOP}), "alkit predict r.db --images FOLDER --out FOLDER"),
        (of(DONE, history=HELD, left=0), "alkit predict r.db --images FOLDER --out FOLDER"),
    ],
)
def test_the_next_command_of_a_simulation_is_alkit_run(found, command):
    assert next_step(found, "r.db", scheduled=True).command == command


def test_a_path_with_a_space_can_be_pasted_into_a_shell():
    assert next_step(of(), "my runs/c.db").command == "alkit ask 'my runs/c.db' -n 35 --out FOLDER"
    long = "runs/" + "x" * 100 + ".db"
    assert shown(of(), store=long).endswith(f"\n  alkit ask {long} -n 35 --out FOLDER\n")


# The printed form.


@pytest.mark.parametrize("width", [80, 120])
def test_only_a_command_may_be_wider_than_the_terminal_and_every_state_is_explained(width):
    answer = said("a", "a-very-long-name-of-an-annotator@hospital.example.org", rejected="why " * 60)
    standings = [stands(f"{state} {'x' * 70}", state, answer, missing=1) for state in State]
    found = of(*standings, history=HELD, advice={"stabilising-predictions": Advice(None, "because " * 40)})
    lines = shown(found, width).splitlines()
    assert max(map(len, lines[:-1])) <= width
    for state in State:
        assert any(line.strip().startswith(state.value) and MEANINGS[state] in line for line in lines)


def test_names_that_look_like_markup_are_printed_unchanged():
    query = stands("[red]a", State.REJECTED, said("[red]a", "[bold]ann", rejected="[link]see"), missing=1)
    text = words(of(query, advice={"[dim]rule": OPEN}, history=HELD), width=120)
    for name in ("[bold]ann", "[link]see", "[dim]rule"):
        assert name in text


def test_an_empty_campaign_shows_only_the_next_step():
    lines = [line for line in shown(of()).splitlines() if line.strip()]
    assert lines == [
        "c.db: 0 labels, 0 skipped, 0 open",
        "Are 35 more labels worth it? No stopping rule is installed.",
        "Next: no image has been queried yet.",
        "  alkit ask c.db -n 35 --out FOLDER",
    ]
