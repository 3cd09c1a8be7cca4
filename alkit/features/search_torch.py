"""The search of :mod:`alkit.features.search` on a device of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alkit.errors import ConfigurationError
from alkit.features.bounds import SLACK, factors
from alkit.features.tables import Float64, Integers, Table

CELLS = 2**26
"""Number of cells of a product: 256 MiB of float32."""

PAIRS = 2**24
"""Number of values in a block of differences in float64: 128 MiB."""


class DeviceRows:
    """The rows of a table on a device, in blocks. They stay there if they take at most half of its free memory."""

    def __init__(self, table: Table, device: str) -> None:
        try:
            self.table, self.device = table, torch.device(device)
        except RuntimeError as reason:
            raise ConfigurationError("device must be a device of torch", got=repr(device), hint="'cpu'") from reason
        self._kept: Tensor | None = None
        needed = 4 * len(table) * table.width
        self._keep = self.device.type == "cuda" and needed <= torch.cuda.mem_get_info(self.device)[0] // 2

    def blocks(self, columns: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield the rows as they are, in blocks whose product with so many columns is not too large."""
        step = max(16, CELLS // max(columns, self.table.width))
        if self._keep and self._kept is None:
            self._kept = torch.empty((len(self.table), self.table.width), device=self.device)
            for start in range(0, len(self.table), step):
                rows = self.table.take(slice(start, start + step))
                self._kept[start : start + len(rows)] = torch.tensor(np.ascontiguousarray(rows))
        for start in range(0, len(self.table), step):
            part = slice(start, min(start + step, len(self.table)))
            yield (
                part,
                self.put(self.table.take(part)) if self._kept is None else self._kept[part],
            )

    def put(self, values: npt.NDArray[Any]) -> Tensor:
        """Return a copy of an array, which may be read-only or in reverse order, on the device."""
        return torch.tensor(np.ascontiguousarray(values), device=self.device)


def improve(
    rows_on_device: DeviceRows,
    points: npt.NDArray[np.floating],
    known: Float64,
    report: Callable[[int, Integers, Integers, Float64], None],
) -> None:
    """Report the pairs of a row and a point that are at most as far from each other as is known for the row.

    Parameters
    ----------
    rows_on_device, points:
        The rows, and the points to compare with them, in the unit of the features.
    known:
        Smallest squared distance of each row so far.
    report:
        Is called with each block's first row, and the pairs and their squared distances, sorted by row and point.
    """
    table, put = rows_on_device.table, rows_on_device.put
    columns, slack = factors(table, points)
    exact, right = put(points.astype(np.float64)), put(columns)
    for part, rows in rows_on_device.blocks(len(points)):
        left, norms = extend(shift(table, rows))
        bound = product(left, right)
        before = put(known[part])
        first = bound.argmin(dim=1)
        index = torch.arange(len(rows), device=rows.device)
        found = torch.minimum(before, _squares(rows, exact, index, first))
        scaled = found * 2.0 ** (-2 * table.exponent) - norms * (1 - slack) + SLACK
        limit = torch.nextafter(scaled.float(), torch.tensor(torch.inf, device=rows.device))
        places, others = (bound <= limit[:, None]).nonzero(as_tuple=True)
        squared = _squares(rows, exact, places, others)
        kept = squared <= before[places]
        report(part.start, *(tensor[kept].cpu().numpy() for tensor in (places, others, squared)))


def shift(table: Table, rows: Tensor) -> Tensor:
    """Return rows as :meth:`alkit.features.tables.Table.shifted` does."""
    scaled = rows.double() * 2.0**-table.exponent
    return (scaled - torch.from_numpy(table.shift).to(rows.device)).float()


def extend(shifted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows with their norms and a 1, ``(n, d + 2)``, and their squared norms in float64."""
    squared = shifted.double().square().sum(1)
    norms = squared.sqrt().float()[:, None]
    return torch.cat([shifted, norms, torch.ones_like(norms)], dim=1), squared


def _squares(rows: Tensor, points: Tensor, which: Tensor, others: Tensor) -> Tensor:
    """Return the squared distances of some rows to points, in float64."""
    step = max(1, PAIRS // rows.shape[1])
    parts = [
        (rows[which[start : start + step]].double() - points[others[start : start + step]]).square().sum(1)
        for start in range(0, max(1, len(which)), step)
    ]
    return torch.cat(parts)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return the product of matrices in float32, not in a shorter type that the caller may allow elsewhere."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return left @ right
    finally:
        torch.set_float32_matmul_precision(before)
