"""The bounds of :mod:`alkit.features.typicality` on a device of torch."""

from __future__ import annotations

import numpy as np
import torch

from alkit.features.bounds import SLACK, factors
from alkit.features.search_torch import DeviceRows, extend, product, shift
from alkit.features.tables import Float64, Table

BLOCK = 8192
"""Largest number of rows on each side of a product: 256 MiB of float32."""


def least_squared(table: Table, k: int, device: str) -> Float64:
    """Return lower bounds of each row's squared distances to its k nearest other rows, ``(N, k)``.

    They are in the unit of the shifted rows, as on a CPU.
    """
    rows = DeviceRows(table, device)
    found = np.empty((len(table), k))
    for part, own in rows.blocks(BLOCK):
        left, norms = extend(shift(table, own))
        nearest, slack = torch.empty((len(own), 0), device=own.device), 0.0
        for begin in range(0, len(table), BLOCK):
            columns, slack = factors(table, table.take(slice(begin, begin + BLOCK)))
            bound = product(left, rows.put(columns))
            place = torch.arange(part.start, part.stop, device=own.device) - begin  # of the row itself
            inside = (place >= 0) & (place < bound.shape[1])
            bound[inside, place[inside]] = torch.inf
            nearest = torch.cat([nearest, bound], dim=1)
            nearest = nearest.topk(min(k, nearest.shape[1]), dim=1, largest=False, sorted=False).values
        found[part] = (nearest.double() + (norms * (1 - slack))[:, None] - SLACK).cpu().numpy()
    return found
