"""Outlines: from painted pixels to polygons and back, pixel for pixel, holes included.

A pixel belongs to a polygon where its centre does, by the nonzero rule, by which a browser fills. An outline that runs
along the pixels' edges therefore gives back exactly the pixels it was drawn around. A polygon cannot have a hole; but
where its outline runs into the hole, around it the other way, and back on the same line, it encloses the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from alkit.types import Size

Point = tuple[float, float]
"""Right and down from the upper left corner of the image, in pixels: (x, y)."""


def outlines(painted: npt.NDArray[np.bool_]) -> list[list[Point]]:
    """Return one polygon around each connected part of what is painted, ``(h, w)``, along the edges of its pixels.

    Pixels that meet at a corner only are two parts.

    Examples
    --------
    >>> outlines(np.array([[False, True, True]]))
    [[(1.0, 0.0), (3.0, 0.0), (3.0, 1.0), (1.0, 1.0)]]
    """
    from scipy.ndimage import find_objects, label

    parts, _ = label(painted)
    polygons = []
    for number, (rows, columns) in enumerate(find_objects(parts), start=1):
        outer, *holes = _loops(parts[rows, columns] == number)
        for hole in holes:
            outer = _joined(outer, hole)
        polygons.append([(float(x + columns.start), float(y + rows.start)) for x, y in outer])
    return polygons


def _loops(part: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Return the closed lines between what is in the part and what is not, the outer one first: corners, ``(n, 2)``.

    Each edge has what is in the part on its right, so that a hole is walked around the other way.
    """
    inside = np.pad(part, 1).astype(np.int8)
    across, down = np.diff(inside, axis=0)[:, 1:-1], np.diff(inside, axis=1)[1:-1]
    follows: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for y, x in np.argwhere(across).tolist():  # 1: it begins below this line, which runs to the right
        start, stop = ((x, y), (x + 1, y)) if across[y, x] > 0 else ((x + 1, y), (x, y))
        follows.setdefault(start, []).append(stop)
    for y, x in np.argwhere(down).tolist():  # 1: it begins right of this line, which runs up
        start, stop = ((x, y + 1), (x, y)) if down[y, x] > 0 else ((x, y), (x, y + 1))
        follows.setdefault(start, []).append(stop)
    loops = []
    while follows:  # the first edge is in the first row, where there is no hole
        first = at = next(iter(follows))
        loop = []
        while at in follows:
            loop.append(at)
            nexts = follows[at]
            at = nexts.pop()
            if not nexts:
                del follows[loop[-1]]
            if at == first:
                break
        loops.append(_corners(np.array(loop)))
    return loops


def _corners(loop: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Leave out the points between which a closed line of unit steps goes straight on."""
    return np.asarray(loop[(loop - np.roll(loop, 1, axis=0) != np.roll(loop, -1, axis=0) - loop).any(axis=1)])


def _joined(outer: npt.NDArray[np.int64], hole: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Let `outer` run into `hole`, around it and back, where they are nearest to each other."""
    distances = ((outer[:, None] - hole[None]) ** 2).sum(axis=-1)
    here, there = np.unravel_index(distances.argmin(), distances.shape)
    return np.concatenate([outer[: here + 1], hole[there:], hole[: there + 1], outer[here:]])


def filled(polygon: Sequence[Point], size: Size) -> npt.NDArray[np.bool_]:
    """Return the pixels, ``(h, w)``, whose centres lie in `polygon`; what is outside the image is cut off.

    Examples
    --------
    >>> filled([(0, 0), (2, 0), (2, 1), (0, 1)], (2, 3)).tolist()
    [[True, True, False], [False, False, False]]
    """
    height, width = size
    windings = np.zeros((height, width + 1), np.int32)
    corners = np.asarray(polygon, np.float64)
    for one, other in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        (x0, y0), (x1, y1) = (one, other) if one[1] <= other[1] else (other, one)
        first, last = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in (y0, y1))
        if first == last:
            continue
        rows = np.arange(first, last)
        crossings = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))  # the same there and back, to the last digit
        columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.intp)
        windings[rows, columns] += 1 if one[1] <= other[1] else -1
    return np.asarray(windings.cumsum(axis=1)[:, :width] != 0)
