"""What has become of queries and images: read off what was asked and what was answered, and stored nowhere.

Of each annotator the answer with the greatest revision counts, whenever it arrived. One that was invalid never counts,
one that was sent back or taken back counts no longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from alkit.values.queries import Query, State

Kind = Literal["label", "skip", "withdrawal", "invalid"]
"""What an answer says."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query in the record: when it was chosen and handed to an oracle (UTC), and its pre-label's file, if any."""

    query: Query
    asked_at: str
    sent_at: str | None = None
    withdrawn: bool = False
    prelabel: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One answer in the record.

    Parameters
    ----------
    id, annotator, revision:
        Which answer it is: of which image, by whom, and the how-manieth, or when.
    kind:
        What it says.
    label:
        The file of the label; None where it says something else.
    reason:
        Of a skip, a withdrawal, or of what is invalid.
    seconds:
        How long it took; None where nobody knows.
    rejected:
        Why it was sent back; None where it was not.
    told_at:
        When it was recorded, UTC.
    number:
        Its place in the order of recording, from 1.
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

    @property
    def counts(self) -> bool:
        """Whether it is an answer to the query, as long as its annotator gives no later one."""
        return self.kind in ("label", "skip") and self.rejected is None


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of one image: the answers that count, by the names of their annotators."""

    counted: tuple[Recorded, ...]

    @property
    def labels(self) -> tuple[Recorded, ...]:
        """The labels among them, those of older revisions first; none where everybody skipped the image."""
        return _in_order([answer for answer in self.counted if answer.kind == "label"])


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a query stands.

    Parameters
    ----------
    query, asked_at, sent_at:
        As in :class:`Asked`.
    state:
        See :class:`alkit.values.State`.
    answers:
        The latest of each annotator, by name, whether it counts or not; and before them what was invalid and not
        mended since.
    missing:
        How many annotators have yet to answer; 0 where the query was withdrawn.
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
    """Return by image and annotator the answer of the greatest revision; invalid ones are passed over."""
    found: dict[str, dict[str, Recorded]] = {}
    for answer in answers:
        own = found.setdefault(answer.id, {})
        if answer.kind != "invalid" and (
            answer.annotator not in own or answer.revision > own[answer.annotator].revision
        ):
            own[answer.annotator] = answer
    return found


def answered(asked: Sequence[Asked], answers: Iterable[Recorded]) -> dict[str, Answered]:
    """Return what is known of each image that has an answer that counts, in the order the images were asked for."""
    known = latest(answers)
    found = {}
    for id in dict.fromkeys(entry.query.id for entry in asked):
        own = known.get(id, {})
        if counted := tuple(own[name] for name in sorted(own) if own[name].counts):
            found[id] = Answered(counted)
    return found


def missing(entry: Asked, known: Mapping[str, Answered]) -> int:
    """Return how many annotators have yet to answer a query; none where it was withdrawn."""
    if entry.withdrawn:
        return 0
    found = known.get(entry.query.id)
    return max(0, entry.query.wanted - (0 if found is None else len(found.counted)))


def open_entries(asked: Sequence[Asked], answers: Iterable[Recorded]) -> tuple[Asked, ...]:
    """Return the queries that wait for an annotator."""
    known = answered(asked, answers)
    return tuple(entry for entry in asked if missing(entry, known))


def standings(
    asked: Sequence[Asked], answers: Sequence[Recorded], consumed: Collection[int], last: Collection[int]
) -> tuple[Standing, ...]:
    """Return where each query stands, in the order of rounds and ranks.

    Parameters
    ----------
    consumed:
        Numbers of the answers that any model was trained on, or measured by.
    last:
        Those of the last model.
    """
    known, by_annotator = answered(asked, answers), latest(answers)
    newest = {entry.query.id: entry for entry in asked}  # of an image that was asked for again, the last query
    invalid: dict[str, list[Recorded]] = {}
    for answer in answers:
        own = by_annotator[answer.id].get(answer.annotator)
        if answer.kind == "invalid" and (own is None or own.revision < answer.revision):
            invalid.setdefault(answer.id, []).append(answer)
    used = {answer.id for answer in answers if answer.number in consumed}
    now: dict[str, list[str | None]] = {}  # by image the files of the last model, in the order that a rule joins them
    for answer in _in_order([answer for answer in answers if answer.number in last]):
        now.setdefault(answer.id, []).append(answer.label)
    found = []
    for entry in asked:
        id, left = entry.query.id, missing(entry, known)
        if entry is not newest[id]:
            found.append(Standing(entry.query, State.CANCELLED, entry.asked_at, entry.sent_at, (), 0))
            continue
        theirs = tuple(own for _, own in sorted(by_annotator.get(id, {}).items()))
        state = _state(entry, theirs, left, id in used, now.get(id))
        told = (*invalid.get(id, ()), *theirs)
        found.append(Standing(entry.query, state, entry.asked_at, entry.sent_at, told, left))
    return tuple(found)


def _state(entry: Asked, theirs: Sequence[Recorded], left: int, used: bool, now: Sequence[str | None] | None) -> State:
    counted = [answer for answer in theirs if answer.counts]
    labels = [answer for answer in counted if answer.kind == "label"]
    if left and any(answer.rejected is not None and answer.told_at >= entry.asked_at for answer in theirs):
        return State.REJECTED  # of this query, and not of an earlier one for the same image
    if left:
        return State.PARTIAL if counted else State.PENDING if entry.sent_at is None else State.ASKED
    if labels and [answer.label for answer in _in_order(labels)] == now:
        return State.CONSUMED
    if labels:
        return State.STALE if used else State.ANSWERED
    if now is not None:
        return State.STALE  # what the last model has learnt from is a label no longer
    return State.SKIPPED if counted else State.CANCELLED
