"""The size of the foreground of a mask and the length of its borders: what drawing it takes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from alkit.values.label_spec import Mask


class Outline(NamedTuple):
    """What of a mask must be drawn.

    Parameters
    ----------
    area:
        Share of the pixels that are foreground, in [0, 1].
    border:
        Length of the borders between classes, in sides of the image: the number of pairs of neighbouring pixels of
        different classes, divided by the square root of the number of pixels. It does not depend on the size of the
        image.
    """

    area: float
    border: float


def outline_of(mask: Mask, ignore: int | None = None) -> Outline:
    """Return the size of the foreground and the length of the borders of a mask of class ids, ``(h, w)``.

    Pixels with the value `ignore` are not drawn: they count neither as foreground nor for borders.

    Examples
    --------
    >>> mask = np.zeros((8, 8), np.uint8)
    >>> mask[2:6, 2:6] = 1
    >>> outline_of(mask)
    Outline(area=0.25, border=2.0)
    """
    drawn = np.ones(mask.shape, bool) if ignore is None else mask != ignore
    edges = sum(
        int(np.count_nonzero((one != other) & known & also))
        for one, other, known, also in (
            (mask[1:], mask[:-1], drawn[1:], drawn[:-1]),
            (mask[:, 1:], mask[:, :-1], drawn[:, 1:], drawn[:, :-1]),
        )
    )
    return Outline(float(np.mean((mask != 0) & drawn)), edges / math.sqrt(mask.size))
