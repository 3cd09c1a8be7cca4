"""How well the annotators of a record agree."""

from __future__ import annotations

from collections.abc import Iterator

from alkit.evaluation.agreement import DISPUTED, Agreement, agreement_of_annotators
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
        for id, answered in store.snapshot().known.items():
            own = {answer.annotator: answer.label for answer in answered.labels if answer.label and not answer.source}
            if len(own) > 1:
                read = [files.read(file) for file in own.values()]
                working = settings.shape[1:]
                yield id, dict(zip(own, at_one_size(read, spec, working, fit), strict=True))

    return agreement_of_annotators(labels(), spec, below=below)
