"""Scaling of stored values to [0, 1]."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from alkit.errors import ConfigurationError
from alkit.pools.decoding import Pixels
from alkit.values.label_spec import Images

Scale = Literal["minmax", "full"]
"""How stored values are mapped to [0, 1].

``"minmax"`` maps the least value of each image, over all its channels, to 0 and the greatest to 1; a constant image
becomes 0. ``"full"`` maps the greatest value of the type, 255 or 65535, to 1, and leaves floats unchanged.
"""


def scale_pixels(pixels: Pixels, scale: Scale) -> Images:
    """Return `pixels`, ``(n, c, h, w)``, as float32 in [0, 1]; see :data:`Scale`.

    >>> scale_pixels(np.array([5, 10, 15], np.uint8).reshape(1, 1, 1, 3), "minmax").ravel().tolist()
    [0.0, 0.5, 1.0]
    """
    if scale == "minmax":
        low, span = scale_range(pixels, scale)
        images: Images = np.subtract(pixels, low, dtype=np.float32)
        images /= span
        return images
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float32)
    return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)


def picture_of(pixels: Pixels) -> Images:
    """Return an image for people, float32 in [0, 1]: the first three channels, or the first one of two.

    Pixels of 8 bits keep their values. Others are mapped from the lowest value of these channels to the highest.

    >>> picture_of(np.arange(4, dtype=np.uint16).reshape(4, 1, 1)).ravel().tolist()
    [0.0, 0.5, 1.0]
    """
    shown = pixels[:3] if len(pixels) > 2 else pixels[:1]
    picture: Images = scale_pixels(shown[None], "full" if shown.dtype == np.uint8 else "minmax")[0]
    return picture


def scale_range(pixels: Pixels, scale: Scale) -> tuple[Images, Images]:
    """Return the value of each image that becomes 0, and the difference that becomes 1, ``(n, 1, 1, 1)``, float32.

    >>> low, span = scale_range(np.array([5, 10, 15], np.uint8).reshape(1, 1, 1, 3), "minmax")
    >>> low.item(), span.item()
    (5.0, 10.0)
    """
    if scale == "minmax":
        low = pixels.min(axis=(1, 2, 3), keepdims=True).astype(np.float32)
        span = pixels.max(axis=(1, 2, 3), keepdims=True).astype(np.float32) - low
        return low, np.where(span > 0, span, np.float32(1))
    most = 1 if np.issubdtype(pixels.dtype, np.floating) else np.iinfo(pixels.dtype).max
    shape = len(pixels), 1, 1, 1
    return np.zeros(shape, np.float32), np.full(shape, most, np.float32)


def check_scale(scale: str) -> None:
    """Check that `scale` is one of :data:`Scale`.

    Raises
    ------
    ConfigurationError
        It is not.
    """
    if not isinstance(scale, str) or scale not in get_args(Scale):
        raise ConfigurationError(f"scale must be {' or '.join(map(repr, get_args(Scale)))}", got=repr(scale))
