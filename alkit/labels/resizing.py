"""Resize probabilities, and predict masks at the original size of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from alkit.errors import ConfigurationError
from alkit.values.frames import Frame
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


def masks_at_original_size(predictions: Predictions, sizes: Sequence[Size | Frame]) -> list[Mask]:
    """Return the mask of each image at its original size: at each pixel the class with the highest resized probability.

    Of classes with equal probabilities, the lowest id wins. Besides the masks, only two classes' probabilities of one
    image are in memory at a time.

    Parameters
    ----------
    predictions:
        Probabilities per pixel, ``(n, classes, h, w)``.
    sizes:
        Original height and width of each image, which was squashed to the working size; or its frame, see
        :func:`alkit.pools.frames_of`. A part of an image that was cropped away gets class 0.

    Raises
    ------
    ConfigurationError
        The predictions are of one class per image, the number of sizes differs from the number of images, or a frame
        has another working size.

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
    return [_mask(own, _framed(size, own)) for own, size in zip(predictions.probabilities, sizes, strict=True)]


def _framed(size: Size | Frame, probabilities: npt.NDArray[np.float32]) -> Frame:
    height, width = probabilities.shape[1:]
    frame = size if isinstance(size, Frame) else Frame(size, (height, width))
    if frame.working != (height, width):
        raise ConfigurationError(
            "frames must have the working size of the predictions", got=frame.working, expected=(height, width)
        )
    return frame


def _mask(probabilities: npt.NDArray[np.float32], frame: Frame) -> Mask:
    source, seen = frame.source, probabilities[(slice(None), *frame.content.slices)]
    most = resize_probabilities(seen[:1], source.size)[0].copy()
    mask = np.zeros(source.size, np.uint8)
    for number in range(1, len(seen)):
        plane = resize_probabilities(seen[number : number + 1], source.size)[0]
        wins = plane > most
        mask[wins], most[wins] = number, plane[wins]
    if source.size == frame.original:
        return mask
    whole = np.zeros(frame.original, np.uint8)
    whole[source.slices] = mask
    return whole
