"""How well a label agrees with a prediction of a model that was not trained on it.

The quality of a label is in [0, 1], and a low one is a reason to look at the label again. The formulas are those of
cleanlab, with its defaults:

- of a class, the probability that the model gives to it (self-confidence);
- of a mask, the mean over the pixels of the probability that the model gives to the class of each pixel, weighted by a
  softmax of 1 minus this probability with the temperature 0.1 (softmin), so that a small wrong region counts;
- of several classes, the exponential moving average, with the weight 0.8, of the probabilities that the model gives to
  what the label says about each class, sorted from the highest to the lowest.

Deviation: pixels and classes with the ignore value do not count. cleanlab has no ignore value.

References
----------
Northcutt, Jiang, Chuang. "Confident Learning: Estimating Uncertainty in Dataset Labels". JAIR 70 (2021).
Lad, Mueller. "Estimating label quality and errors in semantic segmentation data via any model". ICML DMLR (2023).
Thyagarajan et al. "Identifying Incorrect Annotations in Multi-Label Classification Data". ICLR RTML (2023).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.values.label_spec import Label, LabelSpec

TEMPERATURE = 0.1
"""Temperature of the softmin over pixels."""

WEIGHT = 0.8
"""Weight of the next lower probability in the exponential moving average over classes."""


def label_quality(label: Label, probabilities: npt.NDArray[Any], spec: LabelSpec) -> float | None:
    """Return how well a label agrees with a prediction, in [0, 1]; None if no pixel or class counts.

    Parameters
    ----------
    label:
        A mask ``(h, w)``, a class id without axes, or several classes ``(classes,)``.
    probabilities:
        The predicted probabilities of the image: ``(classes, h, w)``, ``(classes,)``, or ``(2, classes)``.
    spec:
        The classes.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> lesion = np.array([[0.1, 0.9, 0.8]], np.float32)
    >>> good, bad = np.array([[0, 1, 1]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    >>> [round(label_quality(mask, np.stack([1 - lesion, lesion]), spec), 2) for mask in (good, bad)]
    [0.84, 0.1]
    >>> label_quality(np.array(1), np.array([0.3, 0.7]), LabelSpec(("cat", "dog"), per="image"))
    0.7
    """
    if spec.per == "image" and not spec.multiple:
        return float(probabilities[int(label)])
    ignore = spec.with_ignore().ignore
    counted = np.asarray(label) != ignore
    if not counted.any():
        return None
    given = np.where(counted, label, 0).astype(np.intp)
    confidence = np.take_along_axis(probabilities, given[None], axis=0)[0][counted].astype(np.float64)
    return _lowest_of_classes(confidence) if spec.multiple else _softmin(confidence)


def _softmin(values: npt.NDArray[np.float64]) -> float:
    weights = np.exp((values.min() - values) / TEMPERATURE)
    return float(values @ weights / weights.sum())


def _lowest_of_classes(values: npt.NDArray[np.float64]) -> float:
    first, *others = np.sort(values)[::-1]
    for value in others:
        first = WEIGHT * value + (1 - WEIGHT) * first
    return float(first)
