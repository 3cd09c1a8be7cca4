"""Run-length encodings of COCO, and polygons as pycocotools draws them.

Runs go down the columns and begin with zeros. pycocotools encodes and draws; decoding is done here, since it does not
check what it is given: pixels that the runs do not reach are left as they happen to lie in memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import LabelError
from alkit.values.label_spec import Size

Plane = npt.NDArray[np.bool_]
"""Where something is, ``(h, w)``."""


def encode(plane: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the compressed run-length encoding of a mask of zeros and others, ``(h, w)``, as JSON can hold it.

    >>> encode(np.array([[0, 1], [0, 1]]))
    {'size': [2, 2], 'counts': '22'}
    """
    from pycocotools import mask

    code = mask.encode(np.asfortranarray(np.asarray(plane) != 0, np.uint8))
    return {"size": list(plane.shape), "counts": code["counts"].decode("ascii")}


def decode(code: object, size: Size) -> Plane:
    """Return what a run-length encoding covers, ``(h, w)``, whether it is compressed or not.

    Raises
    ------
    LabelError
        It is none, or of another size, or its runs do not fill the image.

    Examples
    --------
    >>> decode({"size": [2, 2], "counts": [2, 2]}, (2, 2)).astype(int).tolist()
    [[0, 1], [0, 1]]
    """
    if not isinstance(code, dict) or not {"size", "counts"} <= code.keys():
        raise LabelError("this is no run-length encoding", got=type(code).__name__)
    if code["size"] != list(size):
        raise LabelError("a run-length encoding has another size", got=code["size"], expected=list(size))
    counts = code["counts"]
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise LabelError("a run-length encoding is damaged", got=str(counts)[:40])
    if sum(runs) != size[0] * size[1]:
        raise LabelError("a run-length encoding is damaged", got=f"{sum(runs)} pixels", expected=size[0] * size[1])
    return np.ascontiguousarray(np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F"))


def polygon(points: object, size: Size) -> Plane:
    """Return what a polygon covers, ``(h, w)``, as pycocotools draws it.

    Parameters
    ----------
    points:
        ``x1, y1, x2, y2`` and so on, in pixels; 0, 0 is the upper left corner of the image.

    Raises
    ------
    LabelError
        Fewer than three points, or a point that is no place near the image.

    Examples
    --------
    >>> polygon([1, 0, 3, 0, 3, 2, 1, 2], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    from pycocotools import mask

    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise LabelError("a polygon is none", got=str(points)[:40], expected="x and y of at least three points")
    # Without this look, a point that is not finite hangs pycocotools, and one far away takes all memory.
    reach = 3 * max(size)
    if not all(isinstance(n, int | float) and abs(n) <= reach for n in points):
        raise LabelError("a corner of a polygon is far from its image", got=list(points)[:8])
    height, width = size
    (code,) = mask.frPyObjects([[float(number) for number in points]], height, width)
    return decode({"size": [height, width], "counts": code["counts"].decode("ascii")}, size)


def box(plane: Plane) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the least box around what is not empty, in pixels.

    >>> box(np.array([[False, False, True], [False, True, True]]))
    (1, 0, 2, 2)
    """
    rows, columns = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def _uncompressed(text: str) -> list[int]:
    """Return the runs in a compressed encoding: from the fourth on, what each has more than the last but one.

    A number is kept in groups of five bits, the lowest first; the sixth says that more follow.
    """
    runs: list[int] = []
    value = shift = 0
    for code in (ord(letter) - 48 for letter in text):
        if not 0 <= code < 64 or shift > 35:
            raise LabelError("a run-length encoding is damaged", got=text[:40])
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (1 << shift) if code & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise LabelError("a run-length encoding is cut short", got=text[:40])
    return runs
