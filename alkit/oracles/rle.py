"""Run-length encodings of COCO, and polygons as pycocotools draws them.

Runs go down the columns and start with zeros. pycocotools encodes and draws. It does not decode, because it does not
check its input: pixels that the runs do not reach get arbitrary values from memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._reading.limits import PIXELS, check_pixels, limit, outline_limit
from alkit.errors import LabelError
from alkit.oracles.label_names import Plane
from alkit.values.label_spec import Size

FARTHEST = 2**31 // 16
"""Greatest coordinate that pycocotools can take, because it multiplies each by 5 and keeps 32 bits."""


def encode(plane: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the compressed run-length encoding of the pixels that are not 0, ``(h, w)``, as JSON values.

    >>> encode(np.array([[0, 1], [0, 1]]))
    {'size': [2, 2], 'counts': '22'}
    """
    from pycocotools import mask

    code = mask.encode(np.asfortranarray(np.asarray(plane) != 0, np.uint8))
    return {"size": list(plane.shape), "counts": code["counts"].decode("ascii")}


def decode(code: object, size: Size) -> Plane:
    """Return the pixels of a run-length encoding, ``(h, w)``, compressed or not.

    Raises
    ------
    LabelError
        The code is not a run-length encoding, has another size, or its runs do not fill the image.

    Examples
    --------
    >>> decode({"size": [2, 2], "counts": [2, 2]}, (2, 2)).astype(int).tolist()
    [[0, 1], [0, 1]]
    """
    if not isinstance(code, dict) or not {"size", "counts"} <= code.keys():
        raise LabelError("a segmentation must be a run-length encoding or polygons", got=type(code).__name__)
    if code["size"] != list(size):
        raise LabelError("a run-length encoding must have the size of its image", got=code["size"], expected=list(size))
    check_pixels(size, "the image of a run-length encoding", LabelError)
    counts = code["counts"]
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise LabelError("a run-length encoding is damaged", got=str(counts)[:40])
    if sum(runs) != size[0] * size[1]:
        raise LabelError("a run-length encoding is damaged", got=f"{sum(runs)} pixels", expected=size[0] * size[1])
    return np.ascontiguousarray(np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F"))


def polygon(points: object, size: Size) -> Plane:
    """Return the pixels of a polygon, ``(h, w)``, as pycocotools draws it.

    Parameters
    ----------
    points:
        ``x1, y1, x2, y2`` and so on, in pixels; 0, 0 is the upper left corner of the image.
    size:
        Height and width of the image.

    Raises
    ------
    LabelError
        The image has too many pixels; the polygon has fewer than three points, a point far from the image, or an
        outline that is too long.

    Examples
    --------
    >>> polygon([1, 0, 3, 0, 3, 2, 1, 2], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    from pycocotools import mask

    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise LabelError("a polygon must have x and y of at least 3 points", got=str(points)[:40])
    check_pixels(size, "the image of a polygon", LabelError)
    # Without these checks, a point that is not finite hangs pycocotools, one far away uses up all memory, and an
    # outline for which the memory does not suffice ends the process.
    reach = min(3 * max(size), FARTHEST)
    if not all(type(n) in (int, float) and abs(n) <= reach for n in points):
        raise LabelError("a polygon must lie in its image or close to it", got=list(points)[:8])
    corners = np.array(points, np.float64).reshape(-1, 2)
    check_outline(corners)
    height, width = size
    (code,) = mask.frPyObjects([corners.ravel().tolist()], height, width)
    return decode({"size": [height, width], "counts": code["counts"].decode("ascii")}, size)


def drawn(points: object, size: Size) -> Plane:
    """Return the pixels of a polygon as :func:`polygon` does; refuse one that lies in the first pixel.

    Its points are surely fractions of the image, as some tools write them.
    """
    plane = polygon(points, size)
    if max(size) > 1 and isinstance(points, list) and min(points) >= 0 and 0 < max(points) <= 1:
        raise LabelError("a polygon must be in pixels, not in fractions of the image", got=points[:8])
    return plane


def box(plane: Plane) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the smallest box around the pixels of a plane.

    >>> box(np.array([[False, False, True], [False, True, True]]))
    (1, 0, 2, 2)
    """
    rows, columns = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def _uncompressed(text: str) -> list[int]:
    """Return the runs in a compressed encoding.

    From the fourth run on, it stores the difference from the last but one. A number is stored in groups of five bits,
    the lowest first; a sixth bit marks that more groups follow.
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
        raise LabelError("a run-length encoding is truncated", got=text[:40])
    return runs


def check_outline(corners: npt.NDArray[np.float64]) -> None:
    """Check that a polygon can be drawn in the memory of this machine.

    Parameters
    ----------
    corners:
        ``(n, 2)``, in pixels.

    Raises
    ------
    LabelError
        Its outline is longer than :func:`~alkit._reading.limits.outline_limit` allows.
    """
    length = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum() + len(corners)
    if length > outline_limit():
        raise LabelError(
            "the outline of a polygon is too long",
            got=f"{len(corners)} corners and {length:.0f} pixels",
            expected=f"at most {outline_limit()} pixels",
            hint=f"save it as a mask, or raise the environment variable {PIXELS} (now {limit(PIXELS)})",
        )
