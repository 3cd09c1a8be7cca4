"""Conversion of painted pixels to polygons and back, without loss, holes included.

A pixel belongs to a polygon if its centre does, by the nonzero rule that browsers use. An outline along the edges of
pixels therefore encloses exactly these pixels. A polygon cannot have a hole. Its outline can instead run to the hole,
around it in the other direction, and back along the same line; it then encloses the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from alkit.values.label_spec import Size

Point = tuple[float, float]
"""Distance from the left and from the upper edge of the image, in pixels: (x, y)."""


def outlines(painted: npt.NDArray[np.bool_]) -> list[list[Point]]:
    """Return one polygon for each connected part of the painted pixels, along the edges of the pixels.

    Pixels that only share a corner are not connected.

    Parameters
    ----------
    painted:
        True for painted pixels, ``(h, w)``.

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
            outer = _join(outer, hole)
        polygons.append([(float(x + columns.start), float(y + rows.start)) for x, y in outer])
    return polygons


def _loops(part: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Return the corners, ``(n, 2)``, of each closed line around a part, the outer line first.

    Each edge has the part on its right, so a line around a hole runs in the other direction.
    """
    inside = np.pad(part, 1).astype(np.int8)
    across, down = np.diff(inside, axis=0)[:, 1:-1], np.diff(inside, axis=1)[1:-1]
    follows: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for y, x in np.argwhere(across).tolist():  # 1: the part begins below this edge, which runs to the right
        start, stop = ((x, y), (x + 1, y)) if across[y, x] > 0 else ((x + 1, y), (x, y))
        follows.setdefault(start, []).append(stop)
    for y, x in np.argwhere(down).tolist():  # 1: the part begins right of this edge, which runs up
        start, stop = ((x, y + 1), (x, y)) if down[y, x] > 0 else ((x, y), (x, y + 1))
        follows.setdefault(start, []).append(stop)
    loops = []
    while follows:  # the first edge is in the first row, so it belongs to the outer line
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
    """Return the points at which a closed line of unit steps turns."""
    return np.asarray(loop[(loop - np.roll(loop, 1, axis=0) != np.roll(loop, -1, axis=0) - loop).any(axis=1)])


def _join(outer: npt.NDArray[np.int64], hole: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Extend `outer` to run to `hole`, around it and back, where the two are closest."""
    distances = ((outer[:, None] - hole[None]) ** 2).sum(axis=-1)
    here, there = np.unravel_index(distances.argmin(), distances.shape)
    return np.concatenate([outer[: here + 1], hole[there:], hole[: there + 1], outer[here:]])


def fill(polygon: Sequence[Point], size: Size) -> npt.NDArray[np.bool_]:
    """Return the pixels, ``(h, w)``, whose centres lie in a polygon.

    Parameters
    ----------
    polygon:
        The corners; they may lie outside the image.
    size:
        Height and width of the image.

    Examples
    --------
    >>> fill([(0, 0), (2, 0), (2, 1), (0, 1)], (2, 3)).tolist()
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
        crossings = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))  # a line and its reverse give the same digits
        columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.intp)
        windings[rows, columns] += 1 if one[1] <= other[1] else -1
    return np.asarray(windings.cumsum(axis=1)[:, :width] != 0)
