"""Which labels of an image count for the training, if its annotators disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alkit.experiment.parts import Parts
from alkit.labels.joining import Join, majority, one
from alkit.record.disputes import recorded_disputes
from alkit.record.reviews import decided_by_review
from alkit.record.states import Answered
from alkit.record.store import Store
from alkit.report.annotators import recorded_agreement

FEW = 8
"""Most images that a sentence lists."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """The answers that decide.

    Parameters
    ----------
    known:
        By id the answers, without images that are left out, and with the senior's label alone if there is one.
    joins:
        By id the rule that joins the labels of an image, if it is not that of the experiment.
    notes:
        Sentences about images that are left out, or are decided by one person.
    """

    known: Mapping[str, Answered]
    joins: Mapping[str, Join] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def decide(parts: Parts, known: Mapping[str, Answered]) -> Deciding:
    """Return which of the answers that count are trained on: see :class:`alkit.values.Disputes`.

    The label that a review gave counts alone.
    """
    return decide_in(parts.store, parts.terms.join, known)


def decide_in(store: Store, join: str | Join, known: Mapping[str, Answered]) -> Deciding:
    """Return which of the answers in a record that count are trained on, with the rule that joins them in it."""
    disputes = recorded_disputes(store)
    several = {id for id, own in known.items() if len(own.labels) > 1}
    if not several:
        return Deciding(known)
    snapshot = store.snapshot()
    reviewed = decided_by_review(snapshot.asked, snapshot.answers, known)
    known = {**known, **{id: Answered((reviewed[id],)) for id in several & reviewed.keys()}}
    several -= reviewed.keys()
    if disputes.decided == "join" or not several:
        return Deciding(known)
    disputed = [id for id in recorded_agreement(store, disputes.below).disputed if id in several]
    if disputes.decided == "leave-out":
        left = {id: own for id, own in known.items() if id not in set(disputed)}
        return Deciding(left, notes=_note(disputed, "are disputed and left out of the training"))
    found, decided = dict(known), []
    for id in sorted(several) if disputes.senior else ():
        by_senior = tuple(answer for answer in known[id].counted if answer.annotator == disputes.senior)
        if by_senior:
            found[id] = Answered(by_senior)
            decided.append(id)
    joins = dict.fromkeys(disputed, majority) if join in ("one", one) else {}
    return Deciding(found, joins, _note(decided, f"have the label of {disputes.senior}, who decides"))


def _note(ids: list[str], what: str) -> tuple[str, ...]:
    if not ids:
        return ()
    listed = ", ".join(map(repr, ids[:FEW])) + (f" and {len(ids) - FEW} more" if len(ids) > FEW else "")
    return (f"Of the images of several annotators, {len(ids)} {what}: {listed}.",)
