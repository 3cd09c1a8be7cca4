"""Taking answers: each is checked, and what is new goes into the record.

Answers may come in any order, in part and more than once, from several processes at a time. One look at the record
decides about all answers of a call, and nobody can come between that look and the writing.
"""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from alkit.errors import AlkitError, ConflictError, DataError, LabelError, QueryError
from alkit.protocols import Oracle, TakesRefusals
from alkit.record.label_files import LabelFiles
from alkit.record.settings import Settings
from alkit.record.states import Answered, Asked, Recorded, latest
from alkit.record.store import Store
from alkit.values.answers import Answer, Invalid, Receipt, Skip, Withdrawal
from alkit.values.label_spec import LabelSpec, Size

FEW = 50
"""For so many images the sizes are looked up one by one."""

UNKNOWN = -1
"""Stands for the revision of an answer that does not say which it is, until it is recorded."""

GREATEST = 2**62
"""No revision is greater, so that there is always room for a later one; nanoseconds will do until 2116."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What takes answers into a record. The images need not be there: their sizes are in the queries.

    Parameters
    ----------
    ids:
        Of all images of the pool, where that is at hand: an answer for another image is told from one that was not
        asked for.
    """

    store: Store
    settings: Settings
    files: LabelFiles
    ids: Collection[str] | None = None

    def collect(self, oracle: Oracle) -> Receipt:
        """Record what an oracle answers now: see :meth:`alkit.Experiment.collect`."""
        self.settings.adopt(oracle.spec)
        return self.received(oracle.poll(), oracle)

    def received(self, answers: Iterable[Answer], oracle: Oracle) -> Receipt:
        """Record answers, and tell an oracle that can pass it on what was not taken."""
        receipt = self.receive(answers, sent=True)
        if isinstance(oracle, TakesRefusals):
            for answer, reason in receipt.refused:
                oracle.refused(answer, reason)
        return receipt

    def tell(self, answers: Iterable[Answer], *, revise: bool) -> None:
        """Record all these answers, or none where one is wrong: see :meth:`alkit.Experiment.tell`."""
        sizes, spec = _Sizes(self.store), cache(lambda: self.settings.spec)
        drafts = [(answer, self._draft(answer, sizes, spec)) for answer in answers]

        def decide(asked: Sequence[Asked], known: Sequence[Recorded]) -> Iterable[Recorded]:
            before = _Before(asked, known)
            settled = [self._settled(draft, answer, before, revise) for answer, draft in drafts]
            return [entry for entry in settled if entry is not None]

        self.store.add_answers({draft.id for _, draft in drafts}, decide)

    def receive(self, answers: Iterable[Answer], *, sent: bool = False) -> Receipt:
        """Record what can be taken, and what is wrong as invalid: see :meth:`alkit.Experiment.receive`."""
        drafts: list[tuple[Answer, Recorded | AlkitError]] = []
        sizes, spec = _Sizes(self.store), cache(lambda: self.settings.spec)
        for answer in answers:
            try:
                drafts.append((answer, self._draft(answer, sizes, spec)))
            except (DataError, QueryError) as reason:  # and no others: a full disk is nobody's wrong answer
                drafts.append((answer, reason))
        taken: list[Answer] = []
        unchanged: list[Answer] = []
        outdated: list[Answer] = []
        refused: list[tuple[Answer, str]] = []

        def decide(asked: Sequence[Asked], known: Sequence[Recorded]) -> Iterable[Recorded]:
            before = _Before(asked, known)
            news: list[Recorded] = []
            for answer, draft in drafts:
                try:
                    if isinstance(draft, AlkitError):
                        raise draft
                    entry = self._settled(draft, answer, before, revise=True)
                except _SentBackError as reason:
                    refused.append((answer, str(reason)))
                    continue  # it is recorded, with the reason
                except (DataError, QueryError) as reason:
                    refused.append((answer, str(reason)))
                    entry = _invalid(answer, str(reason), before) if sizes.of(answer.id) else None
                else:
                    last = before.last(answer.id, answer.annotator)
                    if last is not None and self._same(last, draft):
                        unchanged.append(answer)
                    elif entry is not None and (last is None or entry.revision > last.revision):
                        taken.append(answer)
                    else:
                        outdated.append(answer)
                if entry is not None:
                    before.add(entry)  # an image may be answered twice in one call
                    news.append(entry)
            return news

        self.store.add_answers({answer.id for answer, _ in drafts if sizes.of(answer.id)}, decide, sent=sent)
        return Receipt(tuple(taken), tuple(unchanged), tuple(outdated), tuple(refused))

    def disputed(self, known: Mapping[str, Answered], ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return by id who labelled these images differently, where of their labels only the last is learnt from."""
        if not self.settings.joins_by_latest:
            return {}
        spec = self.settings.spec
        return {
            id: tuple(answer.annotator for answer in own.labels)
            for id, own in known.items()
            if id in ids
            and any(
                not self.files.alike(a.label, b.label, spec) for a, b in pairwise(own.labels) if a.label and b.label
            )
        }

    def _draft(self, answer: Answer, sizes: _Sizes, spec: Callable[[], LabelSpec]) -> Recorded:
        """Return what is to be recorded, after a look at the answer itself; its label is kept as a file."""
        if isinstance(answer.label, Invalid) and answer.id not in ever_asked:
            raise LabelError(answer.label.reason)  # of a bad item in a file, whose reason says which
        if self.ids is not None and answer.id not in self.ids:
            raise DataError(f"{answer.id!r} is not an image of the pool")
        if not (allowed := sizes.of(answer.id)):
            raise QueryError(f"{answer.id!r} was never asked", hint="ask() gives the ids to label")
        draft = Recorded(answer.id, _annotator(answer), _revision(answer), "label", seconds=_seconds(answer))
        match answer.label:
            case Invalid(reason):
                raise LabelError(f"the answer for {answer.id!r} is invalid ({reason})")
            case Skip(reason):
                return replace(draft, kind="skip", reason=_writable(reason))
            case Withdrawal(reason):
                return replace(draft, kind="withdrawal", reason=_writable(reason))
        label = spec().check(answer.label, id=answer.id, sizes=allowed)
        return replace(draft, label=self.files.keep(label))

    def _settled(self, draft: Recorded, answer: Answer, before: _Before, revise: bool) -> Recorded | None:
        """Return the draft with its revision, None where the record has it already, or raise what is wrong with it."""
        own, last = before.of(draft.id, draft.annotator), before.last(draft.id, draft.annotator)
        again = last is not None and self._same(last, draft)
        if again and last is not None and last.rejected is not None:
            raise _SentBackError(f"this answer for {draft.id!r} was sent back: {last.rejected}", hint="correct it")
        if draft.revision == UNKNOWN:
            if again:
                return None
            if draft.kind == "withdrawal" and (last is None or last.kind == "withdrawal"):
                raise QueryError(f"{draft.annotator!r} has no answer for {draft.id!r} to take back")
            draft = replace(draft, revision=1 + max((entry.revision for entry in own), default=0))
        elif there := [entry for entry in own if entry.revision == draft.revision and entry.kind != "invalid"]:
            if self._same(there[0], draft):
                return None
            raise ConflictError(
                f"{draft.id!r} has another answer of that revision",
                got=f"revision {draft.revision} of {draft.annotator!r} twice",
                hint="a greater revision for what was changed",
            )
        if last is not None and not revise:
            raise ConflictError(
                f"{draft.id!r} already has another answer",
                got="a skip" if draft.kind == "skip" else "a different label",
                hint="tell(..., revise=True) to replace it",
            )
        # Of an image that was asked for again, the answer may be to an earlier query, with a pre-label of its own.
        label = draft.label
        untouched = label is not None and any(self.files.same(one, label) for one in before.prelabels[draft.id])
        said_later = again and last is not None and draft.revision > last.revision  # what was taken before
        if untouched and not answer.confirmed and not said_later:
            raise LabelError(
                f"the label of {draft.id!r} is its pre-label, untouched",
                hint="if it is right as it is, say that it is confirmed",
            )
        return draft

    def _same(self, recorded: Recorded, draft: Recorded) -> bool:
        if recorded.kind != draft.kind:
            return False
        return recorded.label is None or draft.label is None or self.files.same(recorded.label, draft.label)


class _Sizes:
    """The sizes that masks of images may have: looked up one by one, or all at once if there are many."""

    def __init__(self, store: Store) -> None:
        self._store, self._found = store, dict[str, tuple[Size, ...]]()
        self._everything = False

    def of(self, id: str) -> tuple[Size, ...]:
        """Return the sizes that a mask of an image may have; empty if it was never asked."""
        if id not in self._found and not self._everything:
            if len(self._found) < FEW:
                self._found[id] = self._store.sizes_of([id]).get(id, ())
            else:
                self._found, self._everything = self._store.sizes_of(None), True
        return self._found.get(id, ())


class _SentBackError(LabelError):
    """An answer that was sent back has come again as it was."""


class _Before:
    """What was asked and answered before an answer."""

    def __init__(self, asked: Iterable[Asked], known: Iterable[Recorded]) -> None:
        self.prelabels: dict[str, list[str]] = defaultdict(list)  # files by image
        self._told: dict[tuple[str, str], list[Recorded]] = defaultdict(list)
        for entry in asked:
            if entry.prelabel is not None:
                self.prelabels[entry.query.id].append(entry.prelabel)
        for answer in known:
            self.add(answer)

    def add(self, answer: Recorded) -> None:
        """Take note of another answer."""
        self._told[answer.id, answer.annotator].append(answer)

    def of(self, id: str, annotator: str) -> list[Recorded]:
        """Return an annotator's answers to an image in the order of their recording."""
        return self._told[id, annotator]

    def last(self, id: str, annotator: str) -> Recorded | None:
        """Return the one of the greatest revision, invalid ones passed over."""
        return latest(self._told[id, annotator]).get(id, {}).get(annotator)


def _invalid(answer: Answer, reason: str, before: _Before) -> Recorded | None:
    """Return what is to be recorded of an answer that is not taken; None where that was done."""
    annotator, reason = _writable(answer.annotator), _writable(reason)
    revision, seconds = UNKNOWN, None
    with suppress(LabelError):
        revision = _revision(answer)
    with suppress(LabelError):
        seconds = _seconds(answer)
    own = before.of(answer.id, annotator)
    there = [entry for entry in own if entry.kind == "invalid" and revision in (UNKNOWN, entry.revision)]
    if any(entry.reason == reason for entry in there):
        return None
    if revision == UNKNOWN:
        revision = 1 + max((entry.revision for entry in own), default=0)
    return Recorded(answer.id, annotator, revision, "invalid", reason=reason, seconds=seconds)


def _annotator(answer: Answer) -> str:
    if not isinstance(answer.annotator, str) or _writable(answer.annotator) != answer.annotator:
        raise LabelError(
            f"the name of who answered {answer.id!r} is no text", got=ascii(answer.annotator), expected="Unicode text"
        )
    return answer.annotator


def _revision(answer: Answer) -> int:
    if answer.revision is None:
        return UNKNOWN
    try:
        revision = operator.index(answer.revision)  # a plain number of numpy's, too
    except TypeError:
        revision = UNKNOWN
    if not 0 <= revision <= GREATEST:
        raise LabelError(
            f"the answer for {answer.id!r} has no such revision",
            got=repr(answer.revision),
            expected="a whole number, 0 to 2**62, or None",
        )
    return revision


def _seconds(answer: Answer) -> float | None:
    try:
        seconds = None if answer.seconds is None else float(answer.seconds)
    except (TypeError, ValueError):
        seconds = math.nan
    if seconds is not None and not 0 <= seconds < math.inf:
        raise LabelError(
            f"the answer for {answer.id!r} took no such time", got=repr(answer.seconds), expected="seconds, 0 or more"
        )
    return seconds


def _writable(text: object) -> str:
    r"""Return a text that can be written down: what is not Unicode, as in some file names, is spelt as ``\udcff``."""
    return str(text).encode(errors="backslashreplace").decode()
