"""A table of features, read in blocks: it may be a memory map that is larger than the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import DataError

BLOCK = 2**20
"""Number of values that are read at once: 4 MiB of float32."""

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Table:
    """Rows of features in a given order, and how to shift and scale them for arithmetic in float32.

    Products in float32 lose small differences between large numbers, and overflow for huge ones. So the products are
    of rows divided by a power of two, minus the mean of all rows: see :meth:`shifted`.

    Parameters
    ----------
    features:
        ``(N, d)``, float32, N and d at least 1. It is never copied whole.
    order:
        Row of `features` for each row of the table, at least one; None if they are the same.
    name:
        What an error calls a row of `features`.

    Attributes
    ----------
    mean:
        Mean of the rows, ``(d,)``, float64.

    Raises
    ------
    DataError
        A value is not finite, or `features` is not such a table.
    """

    def __init__(
        self,
        features: Float32,
        order: Integers | None = None,
        name: Callable[[int], str] = lambda row: f"row {row} of the features",
    ) -> None:
        if features.ndim != 2 or 0 in features.shape:
            raise DataError("features must be (N, d), with N and d at least 1", got=f"shape {features.shape}")
        self.features, self.order = features, order
        largest, total = 0.0, np.zeros(features.shape[1])
        for start, block in self.blocks():
            most = float(max(block.max(), -block.min()))  # NaN if a value is NaN
            if not np.isfinite(most):
                finite = np.isfinite(block).all(axis=1)
                bad = int(np.argmin(finite))
                raise DataError(
                    f"{name(start + bad if order is None else int(order[start + bad]))} must be finite",
                    got=block[bad][~np.isfinite(block[bad])][0],
                    hint="a look at this image, and at the training loss of the feature extractor",
                )
            largest = max(largest, most)
            total += block.sum(axis=0, dtype=np.float64)
        self.mean: Float64 = total / len(self)
        self._scale(largest)

    def _scale(self, largest: float) -> None:
        self.exponent = int(np.frexp(largest)[1])
        self.shift = np.ldexp(self.mean, -self.exponent).astype(np.float32)

    def include(self, points: npt.NDArray[np.floating]) -> None:
        """Choose a larger power of two if some points, not empty, are larger than all rows."""
        largest = float(max(points.max(), -points.min()))
        if largest >= 2.0**self.exponent:
            self._scale(largest)

    def __len__(self) -> int:
        return len(self.features if self.order is None else self.order)

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.features.shape[1])

    def take(self, rows: Any) -> Float32:
        """Return some rows, by a slice or an array of integers."""
        return np.asarray(self.features[rows if self.order is None else self.order[rows]], np.float32)

    def blocks(self) -> Iterator[tuple[int, Float32]]:
        """Yield the number of the first row and the rows of each block."""
        step = max(1, BLOCK // self.width)
        for start in range(0, len(self), step):
            yield start, self.take(slice(start, start + step))

    def shifted(self, points: npt.NDArray[Any]) -> Float32:
        """Return points in the unit of the features as float32, divided by a power of two, minus the mean."""
        scaled: npt.NDArray[np.floating] = np.ldexp(points, -self.exponent)
        return (scaled - self.shift).astype(np.float32, copy=False)

    def unshifted(self, points: npt.NDArray[Any]) -> Float64:
        """Return shifted points in the unit of the features."""
        return np.ldexp(points.astype(np.float64) + self.shift, self.exponent)


def count_distinct(table: Table, up_to: int) -> int:
    """Return the number of different rows, but at most `up_to`."""
    seen = set[bytes]()
    for row in (row for _, block in table.blocks() for row in block + np.float32(0)):  # the sum turns -0.0 into 0.0
        seen.add(row.tobytes())
        if len(seen) == up_to:
            break
    return len(seen)
