"""Decoded images at a working size with kept proportions: padded or cropped, see :data:`alkit.values.Fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from alkit._reading.images import open_image, orientation, refuse_damage
from alkit._reading.limits import check_pixels
from alkit.errors import ConfigurationError, ImageError
from alkit.pools.decoding import Pixels
from alkit.pools.deep import read_size, resized_plane
from alkit.values.frames import Fit, Frame, check_fit
from alkit.values.label_spec import Size

STRIDE = 32
"""Number by which both sides are divisible if they follow from the largest image: the usual encoders halve 5 times."""


def check_size_for_fit(size: Size | None, fit: Fit) -> None:
    """Check that `fit` is one of :data:`Fit`, and that it has the size that it needs.

    Raises
    ------
    ConfigurationError
        It is not, or ``"crop"`` has no size.
    """
    check_fit(fit)
    if size is None and fit == "crop":
        raise ConfigurationError("size must be given for fit='crop'", got="None", hint="size=256")


def decode_fitted(
    decode: Callable[[Size | None], tuple[Pixels, Size]], size: Size | None, fit: Fit
) -> tuple[Pixels, Size]:
    """Return the pixels of an image at the working size, and its original height and width.

    Parameters
    ----------
    decode:
        Returns both for an image that is squashed to a size, or left as it is for None.
    size, fit:
        Working size, and how the image becomes one of this size.
    """
    if fit == "squash" or size is None:
        return decode(size)
    pixels, original = decode(None)
    return fit_pixels(pixels, Frame(original, size, fit)), original


def fit_pixels(pixels: Pixels, frame: Frame) -> Pixels:
    """Return an image at the working size of its frame, ``(c, *frame.working)``.

    The part that is seen is resized by Pillow's antialiasing bicubic filter. Around it, the image is mirrored at its
    borders, so that padding has neither new values nor an edge that a network could learn.

    Parameters
    ----------
    pixels:
        ``(c, *frame.original)``.

    Examples
    --------
    >>> fit_pixels(np.array([[[1, 2, 3]]], np.uint8), Frame((1, 3), (1, 7), "pad")).tolist()
    [[[2, 1, 1, 2, 3, 3, 2]]]
    """
    content = frame.content
    seen = pixels[(slice(None), *frame.source.slices)]
    if seen.shape[1:] != content.size:
        seen = np.stack([resized_plane(plane, content.size) for plane in seen])
    after = frame.working[0] - content.top - content.height, frame.working[1] - content.left - content.width
    return np.pad(seen, ((0, 0), (content.top, after[0]), (content.left, after[1])), "symmetric")


def padded_size(paths: Iterable[Path]) -> Size | None:
    """Return the size in which all these images fit unchanged, each side a multiple of :data:`STRIDE`.

    Only the beginnings of the files are read. A file that cannot be read has no size; the result is None if none has.

    Raises
    ------
    ImageError
        The size has more pixels than the environment variable ALKIT_MAX_PIXELS allows.
    """
    height = width = 0
    for path in paths:
        try:
            own = _size_of(path)
        except ImageError:
            continue  # it is refused with a reason when it is decoded
        height, width = max(height, own[0]), max(width, own[1])
    if not height:
        return None
    size = -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE
    check_pixels(size, "the size in which all images fit", ImageError)
    return size


def _size_of(path: Path) -> Size:
    """Return the height and width of an image file as viewers show it."""
    with refuse_damage(partial(_unreadable, path)):
        if (size := read_size(path)) is not None:
            return size
    with (
        refuse_damage(partial(_unreadable, path)),
        path.open("rb") as file,
        open_image(file, str(path), ImageError) as image,
    ):
        sideways = orientation(image, path) in (5, 6, 7, 8)
        return (image.width, image.height) if sideways else (image.height, image.width)


def _unreadable(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path} cannot be read", got=error, hint="save it again, or move it out of the folder")
