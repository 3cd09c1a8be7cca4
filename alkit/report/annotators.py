"""How well the annotators of a record agree, and which of their labels may be mistakes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from alkit.evaluation.agreement import Agreement, agreement_of_annotators
from alkit.evaluation.doubts import Doubt, reasons_for_doubt
from alkit.evaluation.fitness import about_model
from alkit.record.disputes import recorded_disputes
from alkit.record.label_files import LabelFiles, at_one_size, fit_of
from alkit.record.reviews import decided_by_review
from alkit.record.settings import Settings
from alkit.record.states import Recorded
from alkit.record.store import Store, in_one_moment
from alkit.values.label_spec import Label


@in_one_moment
def recorded_agreement(store: Store, below: float | None = None) -> Agreement:
    """Return how well the annotators of a record agree.

    Only labels that count and were asked for are compared. Masks of different sizes are compared at the smaller one.
    One image is read at a time.

    Parameters
    ----------
    below:
        Images with a lower agreement are disputed. Default: what the record says, else 0.7.

    Raises
    ------
    ConfigurationError
        The classes are not known yet.
    """
    labels = _LabelsAsked(store)
    several = {id: answers for id, answers in labels.answers.items() if len(answers) > 1}

    def read() -> Iterator[tuple[str, dict[str, Label]]]:
        for id, own in labels.read({id: [answer.label for answer in own] for id, own in several.items()}):
            yield id, dict(zip((answer.annotator for answer in several[id]), own, strict=True))

    disputes = recorded_disputes(store)
    found = agreement_of_annotators(read(), labels.settings.spec, below=disputes.below if below is None else below)
    by_senior = {id for id, own in several.items() if disputes.senior in {answer.annotator for answer in own} - {""}}
    snapshot = labels.snapshot
    by_review = decided_by_review(snapshot.asked, snapshot.answers, snapshot.known)
    return replace(found, settled=frozenset(by_senior | by_review.keys()))


@in_one_moment
def recorded_doubts(store: Store, ids: Collection[str] | None = None) -> tuple[Doubt, ...]:
    """Return the masks of a record that may be mistakes, by image and annotator.

    A mask is compared with those of the other annotators, and with the pre-label that the image was sent with, unless
    the model that made it had not learnt its labels. Only labels that count and were asked for are looked at. A label
    that a review has decided is compared with no other.

    Parameters
    ----------
    ids:
        The images to look at. Default: those with a label that no model was trained on or measured by.
    """
    if store.fact("classes") is None or (labels := _LabelsAsked(store)).settings.spec.per == "image":
        return ()
    spec, snapshot = labels.settings.spec, labels.snapshot
    reviewed = decided_by_review(snapshot.asked, snapshot.answers, snapshot.known)
    unfit = {result.round for result in snapshot.rounds if about_model(result.warnings)}  # they say nothing
    sent = (entry for entry in snapshot.asked if entry.prelabel is not None and entry.query.id not in reviewed)
    guesses = {entry.query.id: entry.prelabel for entry in sent if max(entry.query.round - 1, 0) not in unfit}
    wanted = {
        id: [reviewed[id]] if id in reviewed else own
        for id, own in labels.answers.items()
        if (any(answer.number not in snapshot.consumed for answer in own) if ids is None else id in ids)
    }
    found = []
    everything = {id: [*(answer.label for answer in own), guesses.get(id)] for id, own in wanted.items()}
    for id, masks in labels.read(everything):
        names = [*(answer.annotator for answer in wanted[id]), *(["the model"] if id in guesses else [])]
        for row, answer in enumerate(wanted[id]):
            others = {name or "an unnamed annotator": masks[k] for k, name in enumerate(names) if k != row}
            found += [Doubt(id, answer.annotator, reason) for reason in reasons_for_doubt(masks[row], others, spec)]
    return tuple(found)


@in_one_moment
def recorded_differences(store: Store, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return by id the annotators of these images whose labels differ, if only the latest label is trained on.

    That does not hold for disputed images unless the rule for them is ``join``, nor for those that a senior decides.
    """
    settings, files = Settings(store), LabelFiles(store)
    if not settings.joins_by_latest:
        return {}
    (_, height, width), spec = settings.shape, settings.spec
    fit = fit_of(settings.declared.get("pool"))

    def differ(one: str, other: str) -> bool:
        return not files.alike(one, other, spec, (height, width), fit)

    snapshot, disputes = store.snapshot(), recorded_disputes(store)
    otherwise = set(decided_by_review(snapshot.asked, snapshot.answers, snapshot.known))
    if disputes.decided != "join":
        agreement = recorded_agreement(store, disputes.below)
        otherwise |= {*agreement.disputed, *agreement.settled}
    return {
        id: tuple(answer.annotator for answer in own.labels)
        for id, own in snapshot.known.items()
        if id in ids
        and id not in otherwise
        and any(differ(a.label, b.label) for a, b in pairwise(own.labels) if a.label and b.label)
    }


class _LabelsAsked:
    """The labels of a record that count and were asked for."""

    def __init__(self, store: Store) -> None:
        self.settings, self.snapshot, self._files = Settings(store), store.snapshot(), LabelFiles(store)
        asked = {
            id: [answer for answer in answered.labels if answer.label and not answer.source]
            for id, answered in self.snapshot.known.items()
        }
        self.answers: dict[str, list[Recorded]] = {id: own for id, own in asked.items() if own}

    def read(self, files: Mapping[str, Sequence[str | None]]) -> Iterator[tuple[str, list[Label]]]:
        """Yield each image with the labels in its files, at one size; one image is in memory at a time."""
        if not files:
            return
        self._files.fetch([file for own in files.values() for file in own if file])
        spec, fit = self.settings.spec, fit_of(self.settings.declared.get("pool"))
        working = self.settings.shape[1:]
        for id, own in files.items():
            yield id, at_one_size([self._files.read(file) for file in own if file], spec, working, fit)
