"""Resize probabilities, and predict masks at the original size of an image."""

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


def resize_probabilities(probabilities: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32]:
    """Return class probabilities at another size, ``(classes, *size)``.

    Enlarging interpolates bilinearly between the centres of pixels. Shrinking uses a triangle filter, as wide as the
    pixels that it merges. Classes are resized separately; their probabilities still add up to 1.

    Parameters
    ----------
    probabilities:
        ``(classes, h, w)``, float32.
    size:
        New height and width. Probabilities that already have this size are returned unchanged.

    Examples
    --------
    >>> resize_probabilities(np.array([[[0.0, 1.0]]], np.float32), (1, 4)).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    if probabilities.shape[1:] == size:
        return probabilities
    planes = torch.from_numpy(np.ascontiguousarray(probabilities))[None]
    resized = F.interpolate(planes, size=size, mode="bilinear", align_corners=False, antialias=True)
    return cast("npt.NDArray[np.float32]", resized[0].numpy())


def masks_at_original_size(predictions: Predictions, sizes: Sequence[Size]) -> list[Mask]:
    """Return the mask of each image at its original size: at each pixel the class with the highest resized probability.

    Of classes with equal probabilities, the lowest id wins. Besides the masks, only two classes' probabilities of one
    image are in memory at a time.

    Parameters
    ----------
    predictions:
        Probabilities per pixel, ``(n, classes, h, w)``.
    sizes:
        Original height and width of each image.

    Raises
    ------
    ConfigurationError
        The predictions are of one class per image, or the number of sizes differs from the number of images.

    Examples
    --------
    >>> predictions = Predictions(("a",), np.array([[[[0.9, 0.2]], [[0.1, 0.8]]]], np.float32))
    >>> [mask.tolist() for mask in masks_at_original_size(predictions, [(2, 4)])]
    [[[0, 0, 1, 1], [0, 0, 1, 1]]]
    """
    if predictions.probabilities.ndim != 4:
        raise ConfigurationError(
            "predictions must be of pixels",
            got=f"shape {predictions.probabilities.shape}",
            expected="(n, classes, h, w)",
        )
    if len(sizes) != len(predictions.probabilities):
        raise ConfigurationError(
            "sizes must contain one size per image", got=len(sizes), expected=len(predictions.probabilities)
        )
    return [_mask(own, size) for own, size in zip(predictions.probabilities, sizes, strict=True)]


def _mask(probabilities: npt.NDArray[np.float32], size: Size) -> Mask:
    most = resize_probabilities(probabilities[:1], size)[0].copy()
    mask = np.zeros(size, np.uint8)
    for number in range(1, len(probabilities)):
        plane = resize_probabilities(probabilities[number : number + 1], size)[0]
        wins = plane > most
        mask[wins], most[wins] = number, plane[wins]
    return mask
