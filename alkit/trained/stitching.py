"""Stitch the predictions of overlapping tiles into one mask, by rows of tiles, so that memory stays flat.

Each pixel gets the weighted mean of the probabilities that the tiles around it predict. A tile weighs more at a pixel
the further the pixel is from the border of the tile, because a network knows less of what lies beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt

from alkit.labels.framing import to_original
from alkit.pools.scaling import Scale, scale_pixels
from alkit.pools.tiles.grid import boxes, tile_frame, with_surroundings
from alkit.pools.tiles.large import LargeImage
from alkit.protocols import Predictor
from alkit.trained.fitting import fitting_probabilities
from alkit.values.label_spec import Mask, Size

AT_ONCE = 2**20
"""Most pixels at the working size that are predicted at once."""


def stitched_rows(
    large: LargeImage,
    level: int,
    predictor: Predictor,
    classes: int,
    *,
    tile: Size,
    stride: Size,
    margin: int,
    scale: Scale,
) -> Iterator[Mask]:
    """Yield the mask of an image as bands of rows, ``(rows, width)``, from the top to the bottom.

    Of classes with equal means, the lowest id wins.

    Parameters
    ----------
    large, level:
        The image, and the level that tiles are cut from.
    predictor, classes:
        The model, and the number of its classes.
    tile, stride, margin, scale:
        How tiles are cut and scaled, see :class:`alkit.TilePool`.
    """
    image = large.levels[level]
    core = min(image[0], tile[0]), min(image[1], tile[1])
    weight, frame = weights(core), tile_frame(core, tile, margin)
    sums, total = _buffers(classes, core[0], image[1])
    first = 0  # the row of the image that the buffers begin with
    at_once = max(1, min(64, AT_ONCE // (frame.working[0] * frame.working[1])))
    for top, row in groupby(boxes(image, tile, stride), key=lambda box: box.top):
        if top > first:
            yield _most(sums, total, top - first)
            sums, total = (_moved(buffer, top - first) for buffer in (sums, total))
            first = top
        tiles = list(row)
        for begin in range(0, len(tiles), at_once):
            some = tiles[begin : begin + at_once]
            pixels = np.stack([large.region(level, with_surroundings(box, tile, margin)) for box in some])
            predicted = fitting_probabilities(predictor, scale_pixels(pixels, scale), classes)
            for box, probabilities in zip(some, predicted, strict=True):
                across = slice(box.left, box.left + box.width)
                sums[:, :, across] += to_original(probabilities, frame) * weight
                total[:, :, across] += weight
    yield _most(sums, total, image[0] - first)


def weights(size: Size) -> npt.NDArray[np.float32]:
    """Return the weight of each pixel of a tile, ``(h, w)``: the product of its distances from the borders.

    >>> weights((1, 4)).tolist()
    [[0.5, 1.0, 1.0, 0.5]]
    """
    sides = []
    for side in size:
        distance = np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(np.float32)
        sides.append(distance / distance.max())
    return np.outer(*sides)


def _buffers(classes: int, height: int, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return np.zeros((classes, height, width), np.float32), np.zeros((1, height, width), np.float32)


def _moved(buffer: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
    """Return a buffer without its first rows, and as many empty ones at its end."""
    left = buffer.shape[1] - rows
    buffer[:, :left] = buffer[:, rows:].copy() if left < rows else buffer[:, rows:]
    buffer[:, left:] = 0
    return buffer


def _most(sums: npt.NDArray[np.float32], total: npt.NDArray[np.float32], rows: int) -> Mask:
    """Return the classes of the first rows of the buffers. The mean has the same order as the sum."""
    assert total[:, :rows].all(), "tiles must cover the image"
    found: Mask = sums[:, :rows].argmax(axis=0).astype(np.uint8)
    return found
