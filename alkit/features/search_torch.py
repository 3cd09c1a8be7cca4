"""The search of :mod:`alkit.features.search` on a device of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alkit.features.bounds import SLACK, factors
from alkit.features.tables import Float64, Integers, Table

CELLS = 2**26
"""Number of cells of a product: 256 MiB of float32."""

PAIRS = 2**24
"""Number of values in a block of differences in float64: 128 MiB."""


def improve(
    table: Table,
    points: npt.NDArray[np.floating],
    device: str,
    known: Float64,
    report: Callable[[int, Integers, Integers, Float64], None],
) -> None:
    """Report the pairs of a row and a point that are at most as far from each other as is known for the row.

    Parameters
    ----------
    table, points:
        The rows, and the points to compare with them, in the unit of the features.
    device:
        Device of torch.
    known:
        Smallest squared distance of each row so far.
    report:
        Is called with each block's first row, and the pairs and their squared distances, sorted by row and point.
    """
    columns, slack = factors(table, points)
    exact, right = torch.from_numpy(points.astype(np.float64)).to(device), torch.from_numpy(columns).to(device)
    step = max(16, CELLS // max(len(points), table.width))
    for start in range(0, len(table), step):
        part = slice(start, start + step)
        rows = to_device(table.take(part), device)
        left, norms = extend(shift(table, rows))
        with full_precision():
            bound = left @ right
        before = torch.from_numpy(known[part]).to(device)
        first = bound.argmin(dim=1)
        index = torch.arange(len(rows), device=device)
        found = torch.minimum(before, _squares(rows, exact, index, first))
        scaled = found * 2.0 ** (-2 * table.exponent) - norms * (1 - slack) + SLACK
        limit = torch.nextafter(scaled.float(), torch.tensor(torch.inf, device=device))
        places, others = (bound <= limit[:, None]).nonzero(as_tuple=True)
        squared = _squares(rows, exact, places, others)
        kept = squared <= before[places]
        report(start, *(tensor[kept].cpu().numpy() for tensor in (places, others, squared)))


def to_device(rows: npt.NDArray[np.float32], device: str) -> Tensor:
    """Return rows, which may be read-only, as a tensor."""
    return torch.tensor(rows, device=device)


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


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 in float32 on this device, not in a shorter type that the caller may allow elsewhere."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
