"""A mask drawn over its image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from alkit.errors import ConfigurationError
from alkit.pictures.colours import COLOURS, rgb
from alkit.pools.decoding import Pixels
from alkit.pools.scaling import scaled
from alkit.values.label_spec import Mask

TINT = 0.25
"""How much of its class's colour a pixel gets inside an outline."""

Picture = npt.NDArray[np.uint8]
"""An image to look at, ``(h, w, 3)``: red, green and blue."""


def overlay(image: Pixels, mask: Mask) -> Picture:
    """Return an image with its mask on it: each class but 0 tinted, and outlined in its colour.

    Round each outline, on the side of class 0, runs a black line as wide, so that it is seen on dark and on light. The
    lines are one pixel wide for each 300 of the longer side.

    Parameters
    ----------
    image:
        ``(c, h, w)`` with one channel or three; 16 bits are shown from their least value to their greatest.
    mask:
        ``(h, w)``, of class ids.

    Raises
    ------
    ConfigurationError
        They differ in size.

    Examples
    --------
    >>> mask = np.zeros((5, 6), np.uint8)
    >>> mask[1:4, 1:4] = 1
    >>> picture = overlay(np.full((1, 5, 6), 200, np.uint8), mask)
    >>> picture[1, 1].tolist(), picture[2, 2].tolist(), picture[0, 0].tolist(), picture[2, 5].tolist()
    ([240, 228, 66], [210, 207, 166], [0, 0, 0], [200, 200, 200])
    """
    if image.shape[1:] != mask.shape:
        raise ConfigurationError("image and mask differ in size", got=f"{image.shape[1:]} and {mask.shape}")
    if image.dtype != np.uint8:
        image = (255 * scaled(image[None], "minmax")[0]).round().astype(np.uint8)
    around = 1 + 2 * max(1, round(max(mask.shape) / 300))
    near = ndimage.minimum_filter(mask, around, mode="nearest") != mask
    near |= ndimage.maximum_filter(mask, around, mode="nearest") != mask
    colours = np.array([rgb(one) for one in COLOURS], np.float32)[(np.arange(256) - 1) % len(COLOURS)]
    colours[0] = 0
    weight = np.where(near, np.float32(1), np.where(mask > 0, np.float32(TINT), np.float32(0)))
    picture = np.empty((*mask.shape, 3), np.uint8)
    for channel, plane in enumerate(image if len(image) == 3 else [image[0]] * 3):
        picture[..., channel] = np.rint(plane + weight * (colours[:, channel][mask] - plane))
    return picture
