"""Measure a predictor on a test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, LabelError
from alkit.evaluation.accumulators import Batch
from alkit.evaluation.chosen import Measurement, Metrics
from alkit.evaluation.per_image import PerImage
from alkit.evaluation.work import Checked, names_of
from alkit.labels.framing import to_original
from alkit.pools.frames import frames_of, parts_of
from alkit.pools.pieces import shards_of
from alkit.protocols import HasMembers, Learner, Pool, Predictor
from alkit.sharing.share import Counted, share
from alkit.sharing.workers import Workers
from alkit.values.label_spec import Label, LabelSpec, Mask, size_text
from alkit.values.predictions import most_probable_labels
from alkit.values.progress import Report

PIXELS = "masks of the test set must have at least one pixel"

Originals = Callable[[Sequence[str]], Sequence[Mask]]
"""Gives the masks of images at their original sizes."""


@dataclass
class Seen:
    """The classes that a model predicted for some images, and those that their labels have.

    If an image can have several classes, these are 0, that it does not have one, and 1, that it has one.

    Examples
    --------
    >>> seen = Seen()
    >>> seen.add(np.zeros((2, 4, 4), np.uint8), np.eye(4, dtype=np.uint8)[None], LabelSpec(("skin", "lesion")))
    >>> seen.warnings(LabelSpec(("skin", "lesion")))
    ("The model predicts 'skin' for every pixel of all 2 images it was measured on, although their labels have other
    classes: ...",)
    """

    predicted: set[int] = field(default_factory=set)
    true: set[int] = field(default_factory=set)
    images: int = 0

    def add(self, predicted: npt.NDArray[Any], true: npt.NDArray[Any], spec: LabelSpec) -> None:
        """Add the predicted and the true labels of some images."""
        self.images += len(predicted)
        self.predicted.update(np.unique(predicted).tolist())
        self.true.update(set(np.unique(true).tolist()) - {spec.ignore})

    def alone(self) -> int | None:
        """Return the class if only one was predicted, but there are others."""
        return None if len(self.predicted) != 1 or self.true <= self.predicted else min(self.predicted)

    def warnings(self, spec: LabelSpec, longer: str = "a longer training") -> tuple[str, ...]:
        """Return a sentence if only one class was predicted, but there are others; `longer` is a part of the fix."""
        if (only := self.alone()) is None:
            return ()
        return (
            f"The model predicts {what_alone(only, spec)} all {self.images} images it was measured on, although "
            f"their labels have other classes: its metrics say little. Try: {longer}, a larger lr=, or more labels.",
        )


def what_alone(only: int, spec: LabelSpec) -> str:
    """Return in words what a model predicts that always predicts the same.

    >>> what_alone(1, LabelSpec(("cat", "dog"), per="image"))
    "'dog' for"
    >>> what_alone(0, LabelSpec(("cat", "dog"), per="image", multiple=True))
    'none of the classes for'
    """
    if spec.multiple:
        return f"{'all' if only else 'none'} of the classes for"
    return f"{spec.classes[only]!r} {'for every pixel of' if spec.per == 'pixel' else 'for'}"


def measure(
    predictor: Predictor,
    pool: Pool,
    ids: Sequence[str],
    truth: Label,
    spec: LabelSpec,
    report: Report,
    seen: Seen | None = None,
    metrics: Metrics | None = None,
    originals: Originals | None = None,
    learner: Learner | None = None,
    workers: Workers = None,
    per_image: PerImage | None = None,
) -> dict[str, float]:
    """Return the metrics of a predictor on some images of a pool, by name.

    The metrics of an ensemble are those of its mean prediction; ``member_`` and the name of the first metric is the
    mean over its members. A mask without a pixel that counts is left out. Padding and the surroundings of an image do
    not count.

    Parameters
    ----------
    predictor:
        The model.
    pool:
        A test set, or another pool.
    ids:
        Ids of the images in `pool` to measure on.
    truth:
        Their labels in the order of `ids`: masks ``(n, h, w)``, class ids ``(n,)`` or several ``(n, classes)``.
    spec:
        The classes of the labels.
    report:
        Called after each batch with the progress.
    seen:
        Gets the predicted and the true classes.
    metrics:
        Checked metrics. Default: ``dice`` and ``iou`` of masks, ``accuracy``, ``balanced_accuracy``, ``f1`` and
        ``recall`` of classes, ``f1``, ``micro_f1`` and ``exact_match`` of several classes per image.
    originals:
        Masks at the original sizes, for metrics at the original size.
    learner, workers:
        The learner of the model, and who predicts, as :class:`alkit.scores.Scoring` takes them.
    per_image:
        Gets the predictions of each image that counts.

    Raises
    ------
    LabelError
        No image has a pixel that counts.
    ConfigurationError
        A metric does not fit the labels, or fails; or there are no masks at the original sizes.
    """
    members = predictor.members if isinstance(predictor, HasMembers) else ()
    own = Measurement(metrics, spec)
    theirs = [own.only_first() for _ in members]
    if own.wants_original and originals is None:
        raise ConfigurationError(
            "metrics at the original size need masks at the original size", hint="metrics at the working size"
        )
    counted, begin = 0, 0
    work, shards = Checked(predictor, learner, spec, each=True), shards_of(pool, ids)
    found = share(work, shards, Counted(report, "evaluate", len(ids)), workers=workers, stream=True)
    for shard, result in zip(shards, found, strict=True):
        some, (whole, *each) = shard.ids, (result[name] for name in names_of(len(members)))
        given = truth[begin : begin + len(some)]
        for part in parts_of(pool, some, spec.per == "pixel"):
            true, names = part.of(given), [some[row] for row in part.rows]
            rows = _that_count(true, spec)
            for measurement, every in zip([own, *theirs], [whole, *each], strict=True):
                probabilities = part.of(every)
                labels = most_probable_labels(probabilities)
                if measurement is own and seen is not None:
                    seen.add(labels, true, spec)
                batch = Batch(names, labels, probabilities, true)
                if len(rows):
                    counting = batch if len(rows) == len(names) else batch.take(rows.tolist())
                    measurement.add(counting)
                    if measurement is own and per_image is not None:
                        per_image.add(counting)
            counted += len(rows)
        if own.wants_original and originals is not None:
            for id, frame, probabilities, mask in zip(some, frames_of(pool, some), whole, originals(some), strict=True):
                _add_original(own, id, to_original(probabilities, frame), mask, spec, per_image)
        begin += len(some)
    if not counted:
        what = "labels of the test set must have at least one class" if spec.multiple else PIXELS
        raise LabelError(f"the {what} that counts", got=f"only the ignore value {spec.ignore}", hint="another test set")
    figures = own.figures()
    values = [next(iter(measurement.figures().items()), None) for measurement in theirs]
    if values and None not in values:
        ((name, _), *_) = cast("list[tuple[str, float]]", values)
        figures[f"member_{name}"] = float(np.mean([value for _, value in cast("list[tuple[str, float]]", values)]))
    return figures


def _add_original(
    own: Measurement, id: str, probabilities: npt.NDArray[Any], mask: Mask, spec: LabelSpec, per_image: PerImage | None
) -> None:
    """Add the prediction of an image at its original size, unless no pixel of its mask counts."""
    if mask.shape != probabilities.shape[1:]:
        raise LabelError(
            f"metrics at the original size need masks of this size, and that of {id!r} has another one",
            got=size_text(mask.shape),
            expected=size_text(probabilities.shape[1:]),
            hint="metrics at the working size",
        )
    if len(_that_count(mask[None], spec)):
        batch = Batch([id], most_probable_labels(probabilities[None]), probabilities[None], mask[None])
        own.add_original(batch)
        if per_image is not None:
            per_image.add_original(batch)


def _that_count(truth: Label, spec: LabelSpec) -> npt.NDArray[np.int64]:
    """Return the places of the images whose truth is not all ignored."""
    if spec.ignore is None:
        return np.arange(len(truth))
    return np.flatnonzero((truth != spec.ignore).reshape(len(truth), -1).any(axis=1))
