"""Metrics of predictions; those of classes are computed by scikit-learn. The edge cases are decided here."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from alkit.errors import LabelError
from alkit.rng import keep_random
from alkit.values.label_spec import LabelSpec


def dice(predicted: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], spec: LabelSpec) -> npt.NDArray[np.float64]:
    """Return the Dice coefficient of each image and foreground class, ``(n, classes - 1)``, in [0, 1].

    It is 0 if a class occurs in only one of the two masks, and NaN if it occurs in neither. An image has no row if none
    of its pixels counts.

    Parameters
    ----------
    predicted, truth:
        Masks ``(n, h, w)`` of class ids. Pixels whose `truth` is the ignore value of `spec` do not count.
    spec:
        The classes; class 0 is the background.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> dice(np.array([[[1, 0]]], np.uint8), np.array([[[1, 1]]], np.uint8), spec).round(3)
    array([[0.667]])
    """
    counted = np.ones_like(truth, bool) if spec.ignore is None else truth != spec.ignore
    some = counted.reshape(len(counted), -1).any(axis=1)
    if not some.any():
        return np.empty((0, len(spec.classes) - 1))
    predicted, truth, counted = predicted[some], truth[some], counted[some]
    # An ignored pixel becomes background in both masks, so it counts for no foreground class.
    both, either = [], []
    for number in range(1, len(spec.classes)):
        one, other = (counted & (mask == number) for mask in (predicted, truth))
        both.append(np.count_nonzero(one & other, axis=(1, 2)))
        either.append(np.count_nonzero(one, axis=(1, 2)) + np.count_nonzero(other, axis=(1, 2)))
    # In single precision, as torchmetrics divides, whose import would cost more than that of torch.
    with np.errstate(invalid="ignore"):
        scores = 2 * np.array(both, np.float32) / np.array(either, np.float32)
    return scores.T.astype(np.float64)


def segmentation_metrics(scores: Iterable[npt.NDArray[np.float64]], spec: LabelSpec) -> dict[str, float]:
    """Return the metrics of a segmentation from the batches of :func:`dice`, each in [0, 1].

    ``dice`` is the mean over the images, and within an image over the foreground classes that occur in its prediction
    or truth. An image without foreground in both has 1: the EMBC 2022 paper leaves this case open. ``iou`` is computed
    likewise, from IoU = Dice / (2 - Dice) of each image and class. If there is more than one foreground class,
    ``dice/<class>`` is the mean over the images in which the class occurs.

    Raises
    ------
    LabelError
        No image has a pixel that counts.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> segmentation_metrics([np.array([[0.5], [np.nan]])], spec)
    {'dice': 0.75, 'iou': 0.6666666666666666}
    """
    table = np.concatenate(list(scores))
    if not len(table):
        raise LabelError(
            "the masks of the test set must have at least one pixel that counts",
            got=f"only the ignore value {spec.ignore}",
            hint="another test set",
        )
    overlaps = {"dice": mean_over_images(table, empty=1.0), "iou": mean_over_images(table / (2 - table), empty=1.0)}
    return {**overlaps, **means_by_class("dice", table, spec)}


def mean_over_images(table: npt.NDArray[np.float64], empty: float) -> float:
    """Return the mean over images of the means over the classes that an image has.

    Parameters
    ----------
    table:
        A number for each image and foreground class, ``(n, classes - 1)``; NaN if the class is not in the image.
    empty:
        The number of an image without any of them.

    Examples
    --------
    >>> mean_over_images(np.array([[0.2, 0.4], [np.nan, 0.5], [np.nan, np.nan]]), empty=1.0)
    0.6
    """
    present = ~np.isnan(table)
    per_image = np.where(present, table, 0).sum(1) / np.maximum(present.sum(1), 1)
    return float(np.where(present.any(1), per_image, empty).mean())


def means_by_class(metric: str, table: npt.NDArray[np.float64], spec: LabelSpec) -> dict[str, float]:
    """Return the mean of each foreground class over the images that have it, if there is more than one such class."""
    columns = {} if len(spec.classes) == 2 else dict(zip(spec.classes[1:], table.T, strict=True))
    means = {name: column[~np.isnan(column)] for name, column in columns.items()}
    return {f"{metric}/{name}": float(values.mean()) for name, values in means.items() if len(values)}


def classification_metrics(
    predicted: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], spec: LabelSpec
) -> dict[str, float]:
    """Return the metrics of a classification of images, each in [0, 1].

    - ``accuracy``: the share of images whose predicted class is right;
    - ``recall/<class>``: that share among the images of a class, for each class in `truth`;
    - ``balanced_accuracy``: the mean of these recalls;
    - ``f1``: the mean F1 score of the classes in `truth` or `predicted`. A class that occurs in only one has 0.

    Parameters
    ----------
    predicted, truth:
        Class ids ``(n,)`` of at least one image.
    spec:
        The classes.

    Examples
    --------
    >>> spec = LabelSpec(("cat", "dog", "fox"), per="image")
    >>> classification_metrics(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2]), spec)
    {'accuracy': 0.75, 'balanced_accuracy': 0.5, 'f1': 0.33..., 'recall/cat': 1.0, 'recall/fox': 0.0}
    """
    with keep_random():  # it takes half a second, and masks do not need it
        from sklearn.metrics import accuracy_score, f1_score, recall_score

    present = np.unique(truth)
    # scikit-learn's balanced accuracy would warn of every class that is predicted but is not in truth.
    recalls = recall_score(truth, predicted, labels=present, average=None)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(recalls.mean()),
        "f1": float(f1_score(truth, predicted, labels=np.union1d(truth, predicted), average="macro")),
        **{f"recall/{spec.classes[id]}": float(recall) for id, recall in zip(present, recalls, strict=True)},
    }
