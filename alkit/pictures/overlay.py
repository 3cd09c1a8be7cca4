"""Draw a mask over its image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.pictures.colours import CLASS_COLOURS, rgb
from alkit.pools.decoding import Pixels
from alkit.pools.scaling import scale_pixels
from alkit.values.label_spec import Mask

MOST = 255
"""Greatest class id."""

TINT = 0.25
"""Share of the class's colour in a pixel inside an outline."""

RGB = npt.NDArray[np.uint8]
"""Red, green and blue, ``(h, w, 3)``."""


@checked
def overlay(image: Pixels, mask: Mask) -> RGB:
    """Return an image with its mask on it: each class except 0 has a tint and an outline in its colour.

    A black line of the same width surrounds each outline on the side of class 0, so it is visible on dark and on bright
    images. The lines are one pixel wide for each 300 pixels of the longer side.

    Parameters
    ----------
    image:
        ``(c, h, w)`` with one or three channels, uint8 or uint16. An image of 16 bits is scaled from its lowest value
        (black) to its highest (white).
    mask:
        ``(h, w)``, uint8, with class ids as values.

    Raises
    ------
    ConfigurationError
        Image and mask differ in size.

    Examples
    --------
    >>> mask = np.zeros((5, 6), np.uint8)
    >>> mask[1:4, 1:4] = 1
    >>> picture = overlay(np.full((1, 5, 6), 200, np.uint8), mask)
    >>> picture[1, 1].tolist(), picture[2, 2].tolist(), picture[0, 0].tolist(), picture[2, 5].tolist()
    ([240, 228, 66], [210, 207, 166], [0, 0, 0], [200, 200, 200])
    """
    if image.shape[1:] != mask.shape:
        raise ConfigurationError("mask must have the size of its image", got=mask.shape, expected=image.shape[1:])
    if not image.size:
        raise ConfigurationError("image must have pixels", got=f"shape {image.shape}")
    if mask.dtype.kind not in "biu" or mask.min() < 0 or mask.max() > MOST:
        raise ConfigurationError(
            f"mask must hold class ids from 0 to {MOST}", got=f"{mask.min()} to {mask.max()}, {mask.dtype}"
        )
    mask = mask.astype(np.uint8)  # truth values would select places
    if image.dtype != np.uint8:
        image = (255 * scale_pixels(image[None], "minmax")[0]).round().astype(np.uint8)
    around = 1 + 2 * max(1, round(max(mask.shape) / 300))
    near = ndimage.minimum_filter(mask, around, mode="nearest") != mask
    near |= ndimage.maximum_filter(mask, around, mode="nearest") != mask
    colours = np.array([rgb(one) for one in CLASS_COLOURS], np.float32)[(np.arange(256) - 1) % len(CLASS_COLOURS)]
    colours[0] = 0
    weight = np.where(near, np.float32(1), np.where(mask > 0, np.float32(TINT), np.float32(0)))
    picture = np.empty((*mask.shape, 3), np.uint8)
    for channel, plane in enumerate(image if len(image) == 3 else [image[0]] * 3):
        picture[..., channel] = np.rint(plane + weight * (colours[:, channel][mask] - plane))
    return picture
