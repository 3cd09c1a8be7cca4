"""Overviews of large images, and where an image shows something: by Otsu's threshold, which is deterministic.

Reference: Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on Systems, Man and
Cybernetics 9(1), 62-66, 1979.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from alkit.pools.decoding import Pixels
from alkit.pools.tiles.large import LargeImage
from alkit.values.frames import Box
from alkit.values.label_spec import Size

Foreground = Literal["all", "tissue", "bright"]
"""What of an image is worth a tile.

``"all"``: everything. ``"tissue"``: coloured pixels of a stained slide on a white background, or dark ones of a gray
image. ``"bright"``: pixels brighter than a dark background, as in fluorescence. The limit is Otsu's threshold of the
image's overview.
"""

LONG = 1024
"""Greatest length of the longer side of an overview, in pixels."""

BAND = 2**24
"""Most pixels of a level that are read at once for an overview."""


@dataclass(frozen=True, eq=False)
class Overview:
    """A small picture of an image.

    Parameters
    ----------
    pixels:
        ``(c, h, w)``, float32, in the units of the image.
    image:
        Height and width of the level that tiles are cut from.
    """

    pixels: Pixels
    image: Size

    def place(self, box: Box) -> Box:
        """Return the place of a rectangle of the image in the overview, rounded outwards."""
        high, wide = self.pixels.shape[1:]
        top, left = box.top * high // self.image[0], box.left * wide // self.image[1]
        bottom = -(-(box.top + box.height) * high // self.image[0])
        right = -(-(box.left + box.width) * wide // self.image[1])
        return Box(top, left, max(1, bottom - top), max(1, right - left))


def overview_of(large: LargeImage, level: int) -> Overview:
    """Return an overview of an image: averages of blocks of a level that is large enough, read in bands of rows."""
    enough = [number for number, size in enumerate(large.levels) if max(size) >= LONG] or [0]
    height, width = large.levels[enough[-1]]
    block = max(1, -(-max(height, width) // LONG))
    rows = max(1, BAND // (width * block)) * block
    bands = []
    for top in range(0, height, rows):
        band = large.read(enough[-1], Box(top, 0, min(rows, height - top), width)).astype(np.float32)
        sums = np.add.reduceat(np.add.reduceat(band, range(0, band.shape[1], block), 1), range(0, width, block), 2)
        counts = [np.diff([*range(0, side, block), side]) for side in band.shape[1:]]
        bands.append(sums / np.outer(*counts).astype(np.float32))
    return Overview(np.concatenate(bands, axis=1), large.levels[level])


def foreground_of(overview: Overview, kind: Foreground) -> npt.NDArray[np.bool_]:
    """Return which pixels of an overview show something, ``(h, w)``."""
    pixels = overview.pixels
    if kind == "all":
        return np.ones(pixels.shape[1:], bool)
    if kind == "bright":
        values = pixels.mean(axis=0)
    elif len(pixels) == 1:
        values = pixels.max() - pixels[0]
    else:
        values = pixels.max(axis=0) - pixels.min(axis=0)
    found: npt.NDArray[np.bool_] = values > otsu(values)
    return found


def otsu(values: npt.NDArray[np.float32]) -> float:
    """Return the threshold that divides values into two classes with the least variance inside the classes.

    Constant values have no such threshold; it is their value, so that none of them is greater.

    Examples
    --------
    >>> bool(2 <= otsu(np.array([1, 1, 2, 8, 9, 9], np.float32)) < 8)
    True
    """
    counts, edges = np.histogram(values, 256)
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    middles = (edges[:-1] + edges[1:]) / 2
    means_below = np.cumsum(counts * middles) / np.maximum(below, 1)
    means_above = (np.cumsum((counts * middles)[::-1]) / np.maximum(above[::-1], 1))[::-1]
    between = below[:-1] * above[1:] * (means_below[:-1] - means_above[1:]) ** 2
    if values.min() == values.max():
        return float(values.max())
    return float(edges[1:][between.argmax()])
