"""What a label of a campaign costs in seconds: fitted to the labels of its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alkit.labels.masks import resize_mask
from alkit.labels.outlines import Outline, outline_of
from alkit.record.label_files import LabelFiles
from alkit.record.reviews import asked_again, place_of
from alkit.record.settings import Settings
from alkit.record.states import Recorded
from alkit.record.store import Store
from alkit.record.times import labelling_times
from alkit.statistics.costs import LabelCost, fit_cost
from alkit.values.label_spec import Mask

MOST = 500
"""Number of last labels with a known time that the cost is fitted to."""


@dataclass(frozen=True)
class RecordedCost:
    """What a label costs, and where this is known from.

    Parameters
    ----------
    cost:
        The fitted cost.
    stated, estimated:
        Number of labels whose seconds a tool stated, and of those that were estimated from the times of files.
    outlines:
        Outlines of the labels by the ids of their images, if they were read.
    """

    cost: LabelCost
    stated: int
    estimated: int
    outlines: Mapping[str, Outline] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the times come from, in words.

        >>> RecordedCost(LabelCost(30.0), 0, 12).source
        'estimates from the times of 12 files'
        """
        stated = f"the times of {self.stated} labels" if self.stated else ""
        files = f"estimates from the times of {self.estimated} files" if self.estimated else ""
        return " and ".join(filter(None, [stated, files]))


def recorded_cost(store: Store, *, outlines: bool = True) -> RecordedCost | None:
    """Return what a label costs; None if no time of a label is known.

    Labels of reviews do not count. Labels that an annotator corrected from a pre-label have a level of their own. Few
    labels have a known time at first; then the cost is their median.

    Parameters
    ----------
    outlines:
        Whether to read the masks of up to the last 500 labels, so that the cost depends on what must be drawn.
    """
    snapshot = store.snapshot()
    times = labelling_times(snapshot.answers)
    reviews = {place_of(entry.query) for entry in asked_again(snapshot.asked)}
    timed = sorted(
        (answer for answer in snapshot.answers if answer.number in times.seconds and answer.query not in reviews),
        key=lambda answer: answer.number,
    )
    if not (timed := timed[-MOST:]):
        return None
    drafts = {entry.query.id for entry in snapshot.asked if entry.prelabel is not None}
    groups = [f"{answer.annotator}, with pre-labels" if answer.id in drafts else answer.annotator for answer in timed]
    seconds = [times.seconds[answer.number] for answer in timed]
    estimated = sum(answer.number in times.estimated for answer in timed)
    shapes = _outlines(store, timed) if outlines else ()
    known = {answer.id: shape for answer, shape in zip(timed, shapes, strict=False) if shape is not None}
    return RecordedCost(fit_cost(seconds, groups, shapes), len(timed) - estimated, estimated, known)


def _outlines(store: Store, answers: list[Recorded]) -> list[Outline | None]:
    """Return the outlines of masks at the working size; nothing if labels are classes of images."""
    if store.fact("classes") is None or (settings := Settings(store)).spec.per == "image":
        return []
    files, spec, (height, width) = LabelFiles(store), settings.spec, settings.shape[1:]
    files.fetch([answer.label for answer in answers if answer.label])

    def read(file: str) -> Mask:
        mask = files.read(file)
        return mask if mask.size <= height * width else resize_mask(mask, (height, width), spec)

    return [None if answer.label is None else outline_of(read(answer.label), spec.ignore) for answer in answers]
