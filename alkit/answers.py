"""Taking answers: each is checked, and what is new goes into the record.

Answers may come in any order, in part and more than once, from several processes at a time. One look at the record
decides about all answers of a call, and nobody can come between that look and the writing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from alkit.errors import AlkitError, ConflictError, DataError, LabelError, QueryError
from alkit.labels import Labels
from alkit.pools import mask_sizes
from alkit.protocols import Pool
from alkit.settings import Settings
from alkit.states import Asked, Recorded, latest
from alkit.store import Store
from alkit.types import Answer, Invalid, Receipt, Skip, Withdrawal

UNKNOWN = -1
"""Stands for the revision of an answer that does not say which it is, until it is recorded."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What takes answers into a record."""

    store: Store
    settings: Settings
    pool: Pool
    labels: Labels

    def tell(self, answers: Iterable[Answer], *, revise: bool) -> None:
        """Record all these answers, or none where one is wrong: see :meth:`alkit.Experiment.tell`."""
        ever_asked = self.store.ever_asked()
        drafts = [(answer, self._draft(answer, ever_asked)) for answer in answers]

        def decide(asked: Sequence[Asked], known: Sequence[Recorded]) -> Iterable[Recorded]:
            settled = [self._settled(draft, answer, asked, known, revise) for answer, draft in drafts]
            return [entry for entry in settled if entry is not None]

        self.store.add_answers({draft.id for _, draft in drafts}, decide)

    def receive(self, answers: Iterable[Answer]) -> Receipt:
        """Record what can be taken, and what is wrong as invalid: see :meth:`alkit.Experiment.receive`."""
        drafts: list[tuple[Answer, Recorded | AlkitError]] = []
        ever_asked = self.store.ever_asked()
        for answer in answers:
            try:
                drafts.append((answer, self._draft(answer, ever_asked)))
            except AlkitError as reason:
                drafts.append((answer, reason))
        taken: list[Answer] = []
        unchanged: list[Answer] = []
        refused: list[tuple[Answer, str]] = []

        def decide(asked: Sequence[Asked], known: Sequence[Recorded]) -> Iterable[Recorded]:
            seen = list(known)  # and what this call adds: an image may be answered twice in it
            for answer, draft in drafts:
                try:
                    if isinstance(draft, AlkitError):
                        raise draft
                    entry = self._settled(draft, answer, asked, seen, revise=True)
                except AlkitError as reason:
                    refused.append((answer, str(reason)))
                    entry = _invalid(answer, str(reason), asked, seen)
                else:
                    own = latest(seen).get(answer.id, {}).get(answer.annotator)
                    new = entry is not None and (own is None or entry.revision > own.revision)
                    (taken if new else unchanged).append(answer)
                if entry is not None:
                    seen.append(entry)
            return seen[len(known) :]

        self.store.add_answers({answer.id for answer, _ in drafts}, decide)
        return Receipt(tuple(taken), tuple(unchanged), tuple(refused))

    def _draft(self, answer: Answer, ever_asked: Collection[str]) -> Recorded:
        """Return what is to be recorded, after a look at the answer itself; its label is kept as a file."""
        if answer.id not in self._ids:
            raise DataError(f"{answer.id!r} is not an image of the pool")
        if answer.id not in ever_asked:
            raise QueryError(f"{answer.id!r} was never asked", hint="ask() gives the ids to label")
        revision = UNKNOWN if answer.revision is None else answer.revision
        draft = Recorded(answer.id, answer.annotator, revision, "label", seconds=answer.seconds)
        match answer.label:
            case Invalid(reason):
                raise LabelError(f"the answer for {answer.id!r} is invalid ({reason})")
            case Skip(reason):
                return replace(draft, kind="skip", reason=reason)
            case Withdrawal(reason):
                return replace(draft, kind="withdrawal", reason=reason)
        sizes = mask_sizes(self.pool, [answer.id])[0]
        label = self.settings.spec.check(answer.label, id=answer.id, sizes=sizes)
        return replace(draft, label=self.labels.keep(label))

    def _settled(
        self, draft: Recorded, answer: Answer, asked: Sequence[Asked], known: Sequence[Recorded], revise: bool
    ) -> Recorded | None:
        """Return the draft with its revision, None where the record has it already, or raise what is wrong with it."""
        own = [entry for entry in known if (entry.id, entry.annotator) == (draft.id, draft.annotator)]
        last = latest(own).get(draft.id, {}).get(draft.annotator)
        if draft.revision == UNKNOWN:
            if last is not None and self._same(last, draft):
                return None
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
        if draft.kind == "withdrawal" and (last is None or last.kind == "withdrawal"):
            raise QueryError(f"{draft.annotator!r} has no answer for {draft.id!r} to take back")
        prelabel = [entry for entry in asked if entry.query.id == draft.id][-1].prelabel
        untouched = draft.label is not None and prelabel is not None and self.labels.same(prelabel, draft.label)
        if untouched and not answer.confirmed:
            raise LabelError(
                f"the label of {draft.id!r} is its pre-label, untouched",
                hint="if it is right as it is, say that it is confirmed",
            )
        return draft

    def _same(self, recorded: Recorded, draft: Recorded) -> bool:
        if recorded.kind != draft.kind:
            return False
        return recorded.label is None or draft.label is None or self.labels.same(recorded.label, draft.label)

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(self.pool.ids)


def _invalid(answer: Answer, reason: str, asked: Sequence[Asked], known: Sequence[Recorded]) -> Recorded | None:
    """Return what is to be recorded of an answer that is not taken; None where that was done, or cannot be."""
    if all(entry.query.id != answer.id for entry in asked):
        return None
    own = [entry for entry in known if (entry.id, entry.annotator) == (answer.id, answer.annotator)]
    if answer.revision is None:
        if own and (own[-1].kind, own[-1].reason) == ("invalid", reason):
            return None
        revision = 1 + max((entry.revision for entry in own), default=0)
    else:
        revision = answer.revision
        if any(entry.revision == revision for entry in own):
            return None
    return Recorded(answer.id, answer.annotator, revision, "invalid", reason=reason, seconds=answer.seconds)
