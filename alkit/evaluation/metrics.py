"""How good predictions are: thin over torchmetrics and scikit-learn, with the edges decided here."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.segmentation import dice_score

from alkit.values.label_spec import LabelSpec


def dice(predicted: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], spec: LabelSpec) -> npt.NDArray[np.float64]:
    """Dice of each image and foreground class, ``(n, classes - 1)``, in [0, 1].

    Parameters
    ----------
    predicted, truth:
        Masks ``(n, h, w)`` of class ids. Pixels where `truth` is the spec's ignore value do not count.

    Returns
    -------
    An empty prediction of a class that is there scores 0; NaN marks a class absent from both masks of an image.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> dice(np.array([[[1, 0]]], np.uint8), np.array([[[1, 1]]], np.uint8), spec).round(3)
    array([[0.667]])
    """
    counted = np.ones_like(truth, bool) if spec.ignore is None else truth != spec.ignore
    # An ignored pixel becomes background on both sides, which no foreground class counts.
    scores = dice_score(
        torch.from_numpy(np.where(counted, predicted, 0).astype(np.int64)),
        torch.from_numpy(np.where(counted, truth, 0).astype(np.int64)),
        num_classes=len(spec.classes),
        include_background=False,
        average="none",
        input_format="index",
        aggregation_level="samplewise",
    )
    return scores.double().numpy()


def segmentation_metrics(scores: Iterable[npt.NDArray[np.float64]], spec: LabelSpec) -> dict[str, float]:
    """Reduce the batches of :func:`dice` to the figures of a round, each in [0, 1].

    ``dice`` is the mean over images of the mean over the foreground classes that the image's prediction or truth
    shows; an image where both are empty scores 1 (methods of the EMBC 2022 paper, with this reading of its edges).
    ``iou`` likewise, through the identity IoU = Dice / (2 - Dice), which holds for each image and class. With more
    than one foreground class there is also ``dice/<class>``, over the images that show the class.

    >>> spec = LabelSpec(("skin", "lesion"))
    >>> segmentation_metrics([np.array([[0.5], [np.nan]])], spec)
    {'dice': 0.75, 'iou': 0.6666666666666666}
    """
    table = np.concatenate(list(scores))
    shown = ~np.isnan(table)

    def mean(values: npt.NDArray[np.float64]) -> float:
        per_image = np.where(shown, values, 0).sum(1) / np.maximum(shown.sum(1), 1)
        return float(np.where(shown.any(1), per_image, 1.0).mean())

    figures = {"dice": mean(table), "iou": mean(table / (2 - table))}
    if len(spec.classes) > 2:
        for column, name in enumerate(spec.classes[1:]):
            if shown[:, column].any():
                figures[f"dice/{name}"] = float(table[shown[:, column], column].mean())
    return figures


def classification_metrics(
    predicted: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], spec: LabelSpec
) -> dict[str, float]:
    """Return the figures of a round where each image has one class, each in [0, 1].

    Parameters
    ----------
    predicted, truth:
        Class ids ``(n,)``, of at least one image.

    Returns
    -------
    ``accuracy``, the share of images that are right; ``recall/<class>``, that share among the images of a class, for
    each class that `truth` shows; ``balanced_accuracy``, the mean of these recalls; ``f1``, the mean F1 of the classes
    that `truth` or `predicted` shows: 0 for one that is only missed or only invented.

    Examples
    --------
    >>> spec = LabelSpec(("cat", "dog", "fox"), per="image")
    >>> classification_metrics(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2]), spec)
    {'accuracy': 0.75, 'balanced_accuracy': 0.5, 'f1': 0.33..., 'recall/cat': 1.0, 'recall/fox': 0.0}
    """
    from sklearn.metrics import accuracy_score, f1_score, recall_score  # half a second, not for those who have masks

    shown = np.unique(truth)
    # Not scikit-learn's own balanced accuracy, which warns of every class that is only invented.
    recalls = recall_score(truth, predicted, labels=shown, average=None)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(recalls.mean()),
        "f1": float(f1_score(truth, predicted, labels=np.union1d(truth, predicted), average="macro")),
        **{f"recall/{spec.classes[id]}": float(recall) for id, recall in zip(shown, recalls, strict=True)},
    }
