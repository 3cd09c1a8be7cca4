"""How well the annotators of a record agree, and which of their labels may be mistakes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from alkit.evaluation.agreement import DISPUTED, Agreement, agreement_of_annotators
from alkit.evaluation.doubts import Doubt, reasons_for_doubt
from alkit.record.label_files import LabelFiles, at_one_size, fit_of
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.values.label_spec import Label


def recorded_agreement(store: Store, below: float = DISPUTED) -> Agreement:
    """Return how well the annotators of a record agree.

    Only labels that count and were asked for are compared. Masks of different sizes are compared at the smaller one.
    One image is read at a time.

    Raises
    ------
    ConfigurationError
        The classes are not known yet.
    """
    settings, files = Settings(store), LabelFiles(store)
    spec, fit = settings.spec, fit_of(settings.declared.get("pool"))

    def labels() -> Iterator[tuple[str, dict[str, Label]]]:
        known = store.snapshot().known
        files.fetch([answer.label for answered in known.values() for answer in answered.labels if answer.label])
        for id, answered in known.items():
            own = {answer.annotator: answer.label for answer in answered.labels if answer.label and not answer.source}
            if len(own) > 1:
                read = [files.read(file) for file in own.values()]
                working = settings.shape[1:]
                yield id, dict(zip(own, at_one_size(read, spec, working, fit), strict=True))

    return agreement_of_annotators(labels(), spec, below=below)


def recorded_doubts(store: Store, ids: Collection[str] | None = None) -> tuple[Doubt, ...]:
    """Return the masks of a record that may be mistakes, by image and annotator.

    A mask is compared with those of the other annotators, and with the pre-label that the image was sent with. Only
    labels that count and were asked for are looked at.

    Parameters
    ----------
    ids:
        The images to look at. Default: those with a label that no model was trained on or measured by.
    """
    settings, files, snapshot = Settings(store), LabelFiles(store), store.snapshot()
    if store.fact("classes") is None or settings.spec.per == "image":
        return ()
    spec, fit = settings.spec, fit_of(settings.declared.get("pool"))
    guesses = {entry.query.id: entry.prelabel for entry in snapshot.asked if entry.prelabel is not None}
    asked = {}
    for id, answered in snapshot.known.items():
        own = [answer for answer in answered.labels if answer.label and not answer.source]
        new = any(answer.number not in snapshot.consumed for answer in own)
        if own and (new if ids is None else id in ids):
            asked[id] = own
    files.fetch([answer.label for own in asked.values() for answer in own if answer.label])
    found = []
    for id, own in asked.items():
        names = [answer.annotator for answer in own] + (["the model"] if id in guesses else [])
        read = [files.read(answer.label) for answer in own if answer.label]
        read += [files.read(guesses[id])] if id in guesses else []
        masks = at_one_size(read, spec, settings.shape[1:], fit)
        for row, answer in enumerate(own):
            others = {name or "an unnamed annotator": masks[k] for k, name in enumerate(names) if k != row}
            found += [Doubt(id, answer.annotator, reason) for reason in reasons_for_doubt(masks[row], others, spec)]
    return tuple(found)
