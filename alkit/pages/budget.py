"""Pictures of images as JPEG inside a page, as many as its size allows."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from alkit.report.page import data_url

MOST = 3 * 2**20
"""Greatest number of bytes of all pictures of images on a page, as text."""

QUALITY = 82
"""Quality of JPEG at which lines of one pixel stay sharp."""

RGB = npt.NDArray[np.uint8]
"""Red, green and blue, ``(h, w, 3)``."""


@dataclass
class Budget:
    """The bytes that are left for pictures, and the number of pictures that found no room."""

    left: int = MOST
    refused: int = 0

    def picture(self, pixels: RGB) -> str | None:
        """Return a picture as a data URL; None if there is no room left for it.

        >>> budget = Budget(1000)
        >>> budget.picture(np.zeros((8, 8, 3), np.uint8))[:23], budget.left < 1000
        ('data:image/jpeg;base64,', True)
        >>> Budget(100).picture(np.zeros((8, 8, 3), np.uint8)) is None
        True
        """
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=QUALITY, subsampling=0, optimize=True)
        found = data_url(file.getvalue(), "image/jpeg")
        if len(found) > self.left:
            self.refused += 1
            return None
        self.left -= len(found)
        return found
