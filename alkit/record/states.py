"""States of queries and images. They are computed from the queries and answers, and never stored.

Of each annotator's answers for an image, the one with the greatest revision counts, whenever it arrived. Invalid
answers never count. Answers that were sent back or taken back do not count any more.

A label that nobody asked for has a source and no query. It counts for its image like any other label,
and is not part of the state of any query.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from alkit.arguments.checked import checked, make_unchecked
from alkit.values.queries import Query, State

Kind = Literal["label", "skip", "withdrawal", "invalid"]
"""Kinds of answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query in the record.

    Parameters
    ----------
    query:
        The query.
    asked_at, sent_at:
        Times at which it was chosen, and sent to an oracle, UTC. `sent_at` is None before that.
    withdrawn:
        Whether it was closed without an answer.
    prelabel:
        File of its pre-label, or None.
    """

    query: Query
    asked_at: str
    sent_at: str | None = None
    withdrawn: bool = False
    prelabel: str | None = None

    @property
    def is_review(self) -> bool:
        """Whether it asks to check a label that is there already: see :mod:`alkit.record.reviews`."""
        return self.query.purpose == "review"


@checked
@dataclass(frozen=True, slots=True)
class Recorded:
    """One answer in the record.

    Parameters
    ----------
    id, annotator, revision:
        Key of the answer: image, annotator, and revision (a counter or a timestamp).
    kind:
        Kind of the answer.
    label:
        File of the label; None for other kinds.
    reason:
        Reason of a skip, of a withdrawal, or of being invalid; or the source of a label that nobody asked for.
    seconds:
        Time that labelling took; None if unknown.
    rejected:
        Reason for which it was sent back; None if it was not.
    told_at:
        Time of recording, UTC.
    number:
        Position in the order of recording, from 1.
    query:
        Start of the key of the query it was given to, such as ``r02-0004``; None if that is not known.
    """

    id: str
    annotator: str
    revision: int
    kind: Kind
    label: str | None = None
    reason: str = ""
    seconds: float | None = None
    rejected: str | None = None
    told_at: str = ""
    number: int = 0
    query: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it answers the query, unless its annotator gives a later answer."""
        return self.kind in ("label", "skip") and self.rejected is None

    @property
    def source(self) -> str:
        """Where a label that nobody asked for comes from; empty for answers to queries."""
        return self.reason if self.kind == "label" else ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers of one image that count, sorted by the names of their annotators."""

    counted: tuple[Recorded, ...]

    @property
    def labels(self) -> tuple[Recorded, ...]:
        """The labels among them, sorted by revision; empty if all annotators skipped the image."""
        return _in_order([answer for answer in self.counted if answer.kind == "label"])


@checked
@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a query, with its answers.

    Parameters
    ----------
    query, asked_at, sent_at:
        As in :class:`Asked`.
    state:
        See :class:`alkit.values.State`.
    answers:
        Invalid answers without a later valid one, and then the latest valid answer of each annotator, sorted by name,
        whether it counts or not.
    missing:
        Number of answers that are missing; 0 if the query was withdrawn.
    """

    query: Query
    state: State
    asked_at: str
    sent_at: str | None
    answers: tuple[Recorded, ...]
    missing: int


def _in_order(answers: Collection[Recorded]) -> tuple[Recorded, ...]:
    if len(answers) > 1:  # nearly always there is one
        return tuple(sorted(answers, key=lambda answer: (answer.revision, answer.annotator)))
    return tuple(answers)


def latest(answers: Iterable[Recorded]) -> dict[str, dict[str, Recorded]]:
    """Return by image and annotator the valid answer with the greatest revision."""
    found: dict[str, dict[str, Recorded]] = {}
    for answer in answers:
        own = found.setdefault(answer.id, {})
        if answer.kind != "invalid" and (
            answer.annotator not in own or answer.revision > own[answer.annotator].revision
        ):
            own[answer.annotator] = answer
    return found


def group_by_image(asked: Sequence[Asked], answers: Iterable[Recorded]) -> dict[str, Answered]:
    """Return by id the answers that count, of each image that has any, in the order the images were asked for.

    Images that were never asked for come first, sorted by id. Only labels with a source count for them.
    """
    known = latest(answers)
    queried = dict.fromkeys(entry.query.id for entry in asked)
    found = {}
    for id in (*sorted(known.keys() - queried.keys()), *queried):
        own = known.get(id, {})
        if counted := tuple(
            own[name] for name in sorted(own) if own[name].counts and (id in queried or own[name].source)
        ):
            found[id] = Answered(counted)
    return found


def find_unasked(asked: Sequence[Asked], known: Mapping[str, Answered]) -> frozenset[str]:
    """Return the ids of the labelled images that nobody asked for: all their labels have a source, and no query counts.

    Parameters
    ----------
    known:
        By id the answers that count.
    """
    queried = {entry.query.id for entry in asked if not entry.withdrawn and not entry.is_review}
    return frozenset(
        id
        for id, own in known.items()
        if id not in queried and own.labels and all(answer.source for answer in own.labels)
    )


def count_missing(entry: Asked, known: Mapping[str, Answered]) -> int:
    """Return the number of answers that a query lacks; 0 if it was withdrawn."""
    if entry.withdrawn:
        return 0
    found = known.get(entry.query.id)
    return max(0, entry.query.wanted - (0 if found is None else len(found.counted)))


def find_standings(
    asked: Sequence[Asked], answers: Sequence[Recorded], consumed: Collection[int], last: Collection[int]
) -> tuple[Standing, ...]:
    """Return the state of each query, by round and rank; reviews are left out.

    Parameters
    ----------
    consumed:
        Numbers of the answers that any model was trained on or measured by.
    last:
        Numbers of those that the last model was trained on or measured by.
    """
    known, by_annotator = group_by_image(asked, answers), latest(answers)
    unasked = find_unasked(asked, known)  # although they may have a query that was withdrawn
    asked = [entry for entry in asked if not entry.is_review]
    newest = {entry.query.id: entry for entry in asked}  # the last query of an image that was asked more than once
    invalid: dict[str, list[Recorded]] = {}
    for answer in answers:
        own = by_annotator[answer.id].get(answer.annotator)
        if answer.kind == "invalid" and (own is None or own.revision < answer.revision):
            invalid.setdefault(answer.id, []).append(answer)
    used = {answer.id for answer in answers if answer.number in consumed}
    now: dict[str, list[str | None]] = {}  # by image the files of the last model, in the order of joining
    for answer in _in_order([answer for answer in answers if answer.number in last and answer.label is not None]):
        now.setdefault(answer.id, []).append(answer.label)
    found = []
    for entry in asked:
        id, left = entry.query.id, count_missing(entry, known)
        if entry is not newest[id] or id in unasked:
            wrong = tuple(invalid.get(id, ())) if entry is newest[id] else ()  # shown until they are corrected
            times = entry.asked_at, entry.sent_at
            found.append(make_unchecked(Standing, entry.query, State.CANCELLED, *times, wrong, 0))
            continue
        theirs = tuple(own for _, own in sorted(by_annotator.get(id, {}).items()))
        state = _state(entry, theirs, left, id in used, now.get(id))
        told = (*invalid.get(id, ()), *theirs)
        found.append(make_unchecked(Standing, entry.query, state, entry.asked_at, entry.sent_at, told, left))
    return tuple(found)


def _state(entry: Asked, theirs: Sequence[Recorded], left: int, used: bool, now: Sequence[str | None] | None) -> State:
    counted = [answer for answer in theirs if answer.counts]
    labels = [answer for answer in counted if answer.kind == "label"]
    if left and any(answer.rejected is not None and answer.told_at >= entry.asked_at for answer in theirs):
        return State.REJECTED  # in this query, not in an earlier one for the same image
    if left:
        return State.PARTIAL if counted else State.PENDING if entry.sent_at is None else State.ASKED
    if labels and [answer.label for answer in _in_order(labels)] == now:
        return State.CONSUMED
    if labels:
        return State.STALE if used else State.ANSWERED
    if now is not None:
        return State.STALE  # the label that the last model was trained on was taken back
    return State.SKIPPED if counted else State.CANCELLED
