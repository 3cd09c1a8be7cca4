"""Probabilities and predicted masks at an image's original size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from alkit.errors import ConfigurationError
from alkit.values.label_spec import Mask, Size
from alkit.values.predictions import Predictions


def resized_probabilities(probabilities: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32]:
    """Return class probabilities at another size, ``(classes, *size)``.

    Bilinear between the centres of the pixels, as the image itself was resized; where it becomes smaller, a triangle
    filter as wide as the pixels that it merges. Each class is interpolated for itself, and they still add up to 1.

    Parameters
    ----------
    probabilities:
        ``(classes, h, w)``, float32.
    size:
        (height, width) wanted. At their own size they are returned as they are.

    Examples
    --------
    >>> resized_probabilities(np.array([[[0.0, 1.0]]], np.float32), (1, 4)).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    if probabilities.shape[1:] == size:
        return probabilities
    planes = torch.from_numpy(np.ascontiguousarray(probabilities))[None]
    resized = F.interpolate(planes, size=size, mode="bilinear", align_corners=False, antialias=True)
    return cast("npt.NDArray[np.float32]", resized[0].numpy())


def masks_at_original_size(predictions: Predictions, sizes: Sequence[Size]) -> list[Mask]:
    """Return the mask of each image at its own size: at each pixel the class whose resized probability is greatest.

    Equal ones go to the lower class id. Beside the masks, two planes of one image are in memory at a time, however
    many classes there are.

    Parameters
    ----------
    predictions:
        Probabilities of pixels, ``(n, classes, h, w)``.
    sizes:
        For each image the (height, width) wanted.

    Raises
    ------
    ConfigurationError
        The predictions are of one class per image, or there are not as many sizes.

    Examples
    --------
    >>> predictions = Predictions(("a",), np.array([[[[0.9, 0.2]], [[0.1, 0.8]]]], np.float32))
    >>> [mask.tolist() for mask in masks_at_original_size(predictions, [(2, 4)])]
    [[[0, 0, 1, 1], [0, 0, 1, 1]]]
    """
    if predictions.probabilities.ndim != 4:
        raise ConfigurationError(
            "these predictions make no masks",
            got=f"shape {predictions.probabilities.shape}",
            expected="(n, classes, h, w)",
        )
    if len(sizes) != len(predictions.probabilities):
        raise ConfigurationError(
            "there must be a size for each image", got=len(sizes), expected=len(predictions.probabilities)
        )
    return [_mask(own, size) for own, size in zip(predictions.probabilities, sizes, strict=True)]


def _mask(probabilities: npt.NDArray[np.float32], size: Size) -> Mask:
    most = resized_probabilities(probabilities[:1], size)[0].copy()
    mask = np.zeros(size, np.uint8)
    for number in range(1, len(probabilities)):
        plane = resized_probabilities(probabilities[number : number + 1], size)[0]
        wins = plane > most
        mask[wins], most[wins] = number, plane[wins]
    return mask
