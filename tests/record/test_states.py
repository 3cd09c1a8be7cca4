"""The state of a query is computed from queries and answers."""

from itertools import permutations

import pytest

from alkit import Query
from alkit.record import Recorded
from alkit.record.states import Asked, count_missing, find_standings, group_by_image
from alkit.values import State


def asked(id="a", wanted=1, sent="then", withdrawn=False, rank=0, at="before"):
    return Asked(Query(id, 0, rank, ((4, 4),), wanted=wanted), at, sent, withdrawn)


def told(kind, annotator="ann", revision=1, number=1, id="a", label="f.png", rejected=None):
    file = label if kind == "label" else None
    return Recorded(id, annotator, revision, kind, file, number=number, rejected=rejected, told_at="then")


CASES = {
    "nobody was handed it": ([asked(sent=None)], [], [], [], State.PENDING, 1),
    "nobody has answered": ([asked()], [], [], [], State.ASKED, 1),
    "what came was invalid": ([asked()], [told("invalid")], [], [], State.ASKED, 1),
    "one of two": ([asked(wanted=2)], [told("label")], [], [], State.PARTIAL, 1),
    "two of two": ([asked(wanted=2)], [told("label"), told("label", "bob", number=2)], [], [], State.ANSWERED, 0),
    "one skips, one labels": (
        [asked(wanted=2)], [told("skip"), told("label", "bob", number=2)], [], [], State.ANSWERED, 0,
    ),
    "all skip": ([asked(wanted=2)], [told("skip"), told("skip", "bob", number=2)], [], [], State.SKIPPED, 0),
    "trained on": ([asked()], [told("label")], [1], [1], State.CONSUMED, 0),
    "an earlier model was, the last was not": ([asked()], [told("label")], [1], [], State.STALE, 0),
    "revised since": (
        [asked()], [told("label"), told("label", revision=2, number=2, label="g")], [1], [1], State.STALE, 0,
    ),
    "said again since": ([asked()], [told("label"), told("label", revision=2, number=2)], [1], [1], State.CONSUMED, 0),
    "sent back": ([asked()], [told("label", rejected="sloppy")], [1], [1], State.REJECTED, 1),
    "sent back and mended": (
        [asked()], [told("label", rejected="sloppy"), told("label", revision=2, number=2)], [], [], State.ANSWERED, 0,
    ),
    "sent back before it was asked for again": (
        [asked(withdrawn=False, at="zzz", sent=None)], [told("label", rejected="sloppy")], [], [], State.PENDING, 1,
    ),
    "skipped after it was trained on": (
        [asked()], [told("label"), told("skip", revision=2, number=2)], [1], [1], State.STALE, 0,
    ),
    "taken back": ([asked()], [told("label"), told("withdrawal", revision=2, number=2)], [], [], State.ASKED, 1),
    "withdrawn": ([asked(withdrawn=True)], [], [], [], State.CANCELLED, 0),
    "withdrawn, and answered all the same": ([asked(withdrawn=True)], [told("label")], [], [], State.ANSWERED, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_state_of_a_query(case):
    queries, answers, consumed, last, state, left = CASES[case]
    (standing,) = find_standings(queries, answers, consumed, last)
    assert (standing.state, standing.missing) == (state, left)
    assert count_missing(queries[0], group_by_image(queries, answers)) == left


def test_the_greatest_revision_counts_in_any_order_of_arrival():
    revisions = [told("label", revision=n, label=f"{n}.png") for n in (1, 2, 3)]
    for order in permutations(revisions):
        assert [answer.label for answer in group_by_image([asked()], order)["a"].counted] == ["3.png"]


def test_an_older_answer_does_not_count_after_a_later_one_was_sent_back():
    answers = [told("label"), told("label", revision=2, number=2, rejected="sloppy")]
    assert group_by_image([asked()], answers) == {}


def test_an_invalid_answer_does_not_replace_the_one_before_it():
    answers = [told("label"), told("invalid", revision=2, number=2)]
    assert [answer.number for answer in group_by_image([asked()], answers)["a"].labels] == [1]
    (standing,) = find_standings([asked()], answers, [], [])
    assert [answer.kind for answer in standing.answers] == ["invalid", "label"]
    mended = [*answers, told("label", revision=3, number=3)]
    assert [answer.kind for answer in find_standings([asked()], mended, [], [])[0].answers] == ["label"]


def test_answers_belong_to_the_last_query_of_an_image():
    first, second = asked(withdrawn=True), asked(rank=1)
    assert [one.state for one in find_standings([first, second], [told("label")], [], [])] == [
        State.CANCELLED,
        State.ANSWERED,
    ]


def test_images_are_in_the_order_of_their_queries():
    answers = [told("label", id="a", number=1), told("label", id="b", number=2)]
    assert list(group_by_image([asked("b"), asked("a", rank=1)], answers)) == ["b", "a"]
