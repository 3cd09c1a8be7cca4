"""The nearest of many points for each row of a table: exact, with little memory, on a CPU or a GPU.

A product of matrices in float32 gives a lower bound of each squared distance (:mod:`alkit.features.bounds`). Only the
pairs whose bound does not exclude them, few for each row, are computed in float64 from the rows as they are. So the
result is that of a search in float64, ties included, at the cost of one in float32.
"""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.errors import DataError
from alkit.features.bounds import SLACK, extend, factors
from alkit.features.tables import Float32, Float64, Integers, Table

if TYPE_CHECKING:
    from alkit.features.search_torch import DeviceRows

POINTS = 2048
"""Number of points in a product."""

CELLS = 2**20
"""Number of cells of a product on a CPU: 4 MiB of float32."""

PAIRS = 2**18
"""Number of values in a block of differences in float64: 2 MiB."""

WORTH_A_GPU = 2**36
"""Number of multiplications from which a GPU is worth the copies."""


@checked
def nearest(
    features: npt.NDArray[np.float32], points: npt.NDArray[np.floating], device: str | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the nearest point of each row, and its L2 distance.

    Parameters
    ----------
    features:
        One row per image, ``(N, d)``, float32 and finite. It is read in blocks, and may be a memory map.
    points:
        Points to search, ``(k, d)``, k >= 1, finite.
    device:
        Device of torch, such as ``"cuda"`` or ``"cpu"``. None: a GPU if the work is large and torch finds one,
        otherwise the CPU without torch.

    Returns
    -------
    points, distances
        Number of the nearest point of each row, ``(N,)``, int64; and its distance, ``(N,)``, float64. Both are those
        of a search in float64; among points at equal distances the first one counts.

    Raises
    ------
    DataError
        Shapes do not fit each other, or a value is not finite.

    Examples
    --------
    >>> rows = np.array([[0, 0], [3, 4], [1, 0]], np.float32)
    >>> nearest(rows, np.array([[0.0, 0.0], [2.0, 0.0]]))
    (array([0, 1, 0]), array([0.        , 4.12310563, 1.        ]))
    """
    if features.ndim != 2 or points.ndim != 2 or features.shape[1] != points.shape[1] or 0 in points.shape:
        raise DataError(
            "features and points must be arrays (N, d) and (k, d) with k >= 1 and d >= 1",
            got=f"shapes {features.shape} and {points.shape}",
        )
    if points.dtype.kind not in "fiu" or not np.isfinite(points).all():
        raise DataError("points must be finite numbers")
    if not len(features):
        return np.empty(0, np.int64), np.empty(0)
    best, squared = nearest_squared(Table(features), points, device)
    return best, np.sqrt(squared)


def nearest_squared(
    table: Table, points: npt.NDArray[np.floating], device: str | None = None
) -> tuple[Integers, Float64]:
    """Return the nearest point of each row of a table, and its squared distance in float64."""
    search = Search(table, len(points), device)
    search.add(points)
    return search.best, search.squared


class Search:
    """The nearest of all points that were added so far, for each row of a table.

    Parameters
    ----------
    table:
        The rows.
    expected:
        Number of points that will be added, which decides whether a GPU is worth it.
    device:
        See :func:`nearest`.

    Attributes
    ----------
    best:
        Number of the nearest point, in the order in which points were added; -1 before any.
    squared:
        Its squared distance.
    """

    def __init__(self, table: Table, expected: int, device: str | None = None) -> None:
        self.table = table
        self.best: Integers = np.full(len(table), -1, np.int64)
        self.squared: Float64 = np.full(len(table), np.inf)
        self.added = 0
        self._device = find_device(device, len(table) * table.width * expected)
        self._rows: DeviceRows | None = None

    def add(self, points: npt.NDArray[np.floating]) -> None:
        """Add points in the unit of the features, ``(k, d)``."""
        self.table.include(points)
        for start in range(0, len(points), POINTS):
            some = points[start : start + POINTS]
            if self._device is None:
                self._add(some)
            else:
                from alkit.features.search_torch import DeviceRows, improve  # torch, which a CPU does not need

                self._rows = self._rows or DeviceRows(self.table, self._device)
                improve(self._rows, some, self.squared, self.improve)
            self.added += len(some)

    def _add(self, points: npt.NDArray[np.floating]) -> None:
        exact, (columns, slack) = points.astype(np.float64), factors(self.table, points)
        step = max(16, CELLS // max(len(points), self.table.width))
        for start in range(0, len(self.table), step):
            part = slice(start, start + step)
            rows = self.table.take(part)
            extended, norms = extend(self.table.shifted(rows))
            bound = extended @ columns
            index = np.arange(len(rows))
            first = bound.argmin(axis=1)
            open = np.flatnonzero(bound[index, first] <= self._limit(part, norms, slack))
            if not len(open):
                continue
            self.improve(start, open, first[open], _squares(rows, exact, open, first[open]))
            bound[index, first] = np.inf
            least = bound[index, bound.argmin(axis=1)]
            within = self._limit(part, norms, slack)
            open = open[least[open] <= within[open]]
            if not len(open):
                continue
            places, others = np.nonzero(bound[open] <= within[open, None])
            self.improve(start, open[places], others, _squares(rows, exact, open[places], others))

    def _limit(self, part: slice, norms: Float64, slack: float) -> Float32:
        """Return, for each row, the largest bound of a point that may be as near as the nearest known one."""
        scaled = np.ldexp(self.squared[part], -2 * self.table.exponent) - norms * (1 - slack) + SLACK
        with np.errstate(over="ignore"):
            return np.nextafter(scaled.astype(np.float32), np.float32(np.inf))

    def improve(self, start: int, rows: Integers, points: Integers, squared: Float64) -> None:
        """Take pairs of a row and a point that are nearer than what is known, or as near with an earlier point.

        Parameters
        ----------
        start:
            What to add to `rows`.
        rows, points, squared:
            The pairs, sorted by row and then by point, and their squared distances. Points are those being added.
        """
        if not len(rows):
            return
        begins = np.flatnonzero(np.diff(rows, prepend=-1))
        least = np.minimum.reduceat(squared, begins)
        nearest = np.flatnonzero(squared == np.repeat(least, np.diff(begins, append=len(rows))))
        first = nearest[np.flatnonzero(np.diff(rows[nearest], prepend=-1))]
        places, numbers, values = rows[first] + start, points[first] + self.added, squared[first]
        known = self.squared[places]
        better = (values < known) | ((values == known) & (numbers < self.best[places]))
        self.best[places[better]], self.squared[places[better]] = numbers[better], values[better]


def _squares(rows: Float32, points: Float64, which: Integers, others: Integers) -> Float64:
    """Return the squared distances of some rows to points, in float64."""
    squared = np.empty(len(which))
    step = max(1, PAIRS // rows.shape[1])
    for start in range(0, len(which), step):
        part = slice(start, start + step)
        difference = rows[which[part]] - points[others[part]]
        np.einsum("nd,nd->n", difference, difference, out=squared[part])
    return squared


def find_device(device: str | None, work: int) -> str | None:
    """Return the device of torch to use, or None for the CPU without torch."""
    if device is not None or work < WORTH_A_GPU or not _has_driver():
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else None


def _has_driver() -> bool:
    """Whether a GPU is possible. An import of torch takes seconds and 300 MiB, too much to ask it on every computer."""
    if "torch" in sys.modules:
        return True
    driver = shutil.which("nvidia-smi") is not None or Path("/dev/nvidiactl").exists()
    return driver and find_spec("torch") is not None
