"""Measure a predictor on a test set, and the agreement of two predictors on a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.pools.batches import map_batches
from alkit.protocols import HasMembers, Pool, Predictor
from alkit.values.label_spec import Label, LabelSpec
from alkit.values.predictions import mean_probabilities, most_probable_labels, probabilities_of
from alkit.values.progress import Progress, Report


@dataclass
class Seen:
    """The classes that a model predicted for some images, and those that their labels have.

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

    def warnings(self, spec: LabelSpec) -> tuple[str, ...]:
        """Return a sentence if only one class was predicted, but there are others."""
        if len(self.predicted) != 1 or self.true <= self.predicted:
            return ()
        (only,) = self.predicted
        each = "for every pixel of" if spec.per == "pixel" else "for"
        return (
            f"The model predicts {spec.classes[only]!r} {each} all {self.images} images it was measured on, although "
            "their labels have other classes: its metrics say little. Try more epochs, another learning rate, or "
            "more labels.",
        )


def measure(
    predictor: Predictor,
    pool: Pool,
    ids: Sequence[str],
    truth: Label,
    spec: LabelSpec,
    report: Report,
    seen: Seen | None = None,
) -> dict[str, float]:
    """Return the metrics of a predictor on some images of a pool, by name.

    For masks see :func:`alkit.evaluation.metrics.segmentation_metrics`, for one class per image
    :func:`alkit.evaluation.metrics.classification_metrics`. The metrics of an ensemble are those of its mean
    prediction; ``member_dice`` or ``member_accuracy`` is the mean over its members.

    Parameters
    ----------
    predictor:
        The model.
    pool:
        A test set, or another pool.
    ids:
        Ids of the images in `pool` to measure on.
    truth:
        Their labels in the order of `ids`: masks ``(n, h, w)`` or class ids ``(n,)``.
    spec:
        The classes of the labels.
    report:
        Called after each batch with the progress.
    seen:
        Gets the predicted and the true classes.
    """
    from alkit.evaluation import metrics  # imports torch, which asking and telling do not need

    members = predictor.members if isinstance(predictor, HasMembers) else ()
    results: list[list[npt.NDArray[Any]]] = [[] for _ in range(1 + len(members))]  # the predictor's, then the members'
    done = 0

    def predict(some: Sequence[str]) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
        images = pool.read(some)
        each = [probabilities_of(member, images, len(spec.classes)) for member in members]
        return each, mean_probabilities(each) if each else probabilities_of(predictor, images, len(spec.classes))

    for some, (each, whole) in map_batches(predict, ids, pool):
        true = truth[done : done + len(some)]
        for collected, probabilities in zip(results, [whole, *each], strict=True):
            labels = most_probable_labels(probabilities)
            collected.append(metrics.dice(labels, true, spec) if spec.per == "pixel" else labels)
        if seen is not None:
            seen.add(most_probable_labels(whole), true, spec)
        done += len(some)
        report(Progress("evaluate", done, len(ids)))
    name = "dice" if spec.per == "pixel" else "accuracy"
    own, *theirs = [
        metrics.segmentation_metrics(collected, spec)
        if spec.per == "pixel"
        else metrics.classification_metrics(np.concatenate(collected), truth, spec)
        for collected in results
    ]
    if theirs:
        own[f"member_{name}"] = float(np.mean([member[name] for member in theirs]))
    return own


def agreement(predictor: Predictor, other: Predictor, pool: Pool, ids: Sequence[str], spec: LabelSpec) -> float:
    """Return Cohen's kappa of two models' predictions over all pixels (or all images) of `ids`; at most 1.

    It is 1 if they agree everywhere, even if all predictions are of one class, for which kappa is undefined.
    """
    import torch  # asking and telling do not need it
    from torchmetrics.classification import MulticlassCohenKappa

    kappa, same = MulticlassCohenKappa(len(spec.classes)), True

    def predict(some: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        images = pool.read(some)
        return [
            np.asarray(most_probable_labels(probabilities_of(model, images, len(spec.classes))), np.int64)
            for model in (predictor, other)
        ]

    for _, (own, theirs) in map_batches(predict, list(ids), pool):
        same = same and np.array_equal(own, theirs)
        kappa.update(torch.from_numpy(own).flatten(), torch.from_numpy(theirs).flatten())
    return 1.0 if same else float(kappa.compute())
