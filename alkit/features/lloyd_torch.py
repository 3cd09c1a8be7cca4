"""The passes of :mod:`alkit.features.lloyd` on a device of torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from alkit.features.passes import Step, hartigan_factors, nearest_factors
from alkit.features.search_torch import CELLS, full_precision, shift, to_device
from alkit.features.tables import Float32, Float64, Integers, Table


class PassesByTorch:
    """Passes on a device. The rows stay there if they take at most half of its free memory."""

    def __init__(self, table: Table, device: str) -> None:
        self._table, self._device = table, torch.device(device)
        self._kept: list[tuple[slice, Tensor]] | None = None
        needed = 4 * len(table) * (table.width + 2)
        self._keep = self._device.type == "cuda" and needed <= torch.cuda.mem_get_info(self._device)[0] // 2

    def nearest(self, centres: Float32) -> Step:
        """Assign each row to the nearest centre."""
        return self._assign(centres)

    def hartigan(self, centres: Float32, labels: Integers, sizes: Integers) -> Step:
        """Assign each row to the cluster in which it costs least, if it leaves its own cluster."""
        factors, to_squared, to_cost = (self._put(part) for part in hartigan_factors(centres, sizes))
        result = Step.empty(len(labels), *centres.shape)
        sums = torch.zeros(centres.shape, dtype=torch.float64, device=self._device)
        for part, extended in self._blocks(len(centres)):
            own, index = self._put(labels[part]), torch.arange(len(extended), device=self._device)
            cost = _product(extended, factors)
            weighted = cost[index, own]
            cost[index, own] = weighted * to_cost[own]
            joined = cost.argmin(dim=1)
            _add_rows(sums, extended, joined)
            result.labels[part] = joined.cpu().numpy()
            result.squared[part] = (weighted * to_squared[own]).clamp(min=0).cpu().numpy()
        result.sums[:] = sums.cpu().numpy()
        return result

    def second(self, centres: Float32) -> tuple[Step, Integers, Float32]:
        """Return the step of :meth:`nearest`, and the second nearest centre of each row and its squared distance."""
        other, farther = np.empty(len(self._table), np.int64), np.empty(len(self._table), np.float32)
        return self._assign(centres, other, farther), other, farther

    def _assign(self, centres: Float32, other: Integers | None = None, farther: Float32 | None = None) -> Step:
        factors = self._put(nearest_factors(centres))
        result = Step.empty(len(self._table), *centres.shape)
        sums = torch.zeros(centres.shape, dtype=torch.float64, device=self._device)
        for part, extended in self._blocks(len(centres)):
            squared = _product(extended, factors)
            least, labels = squared.min(dim=1)
            _add_rows(sums, extended, labels)
            result.labels[part], result.squared[part] = labels.cpu().numpy(), least.clamp(min=0).cpu().numpy()
            if other is not None and farther is not None:
                squared.scatter_(1, labels[:, None], torch.inf)
                least, labels = squared.min(dim=1)
                other[part], farther[part] = labels.cpu().numpy(), least.clamp(min=0).cpu().numpy()
        result.sums[:] = sums.cpu().numpy()
        return result

    def halves(self, labels: Integers, directions: Float32, limits: Float32) -> tuple[Float64, Integers]:
        """Divide each cluster by a plane: return the sums, ``(2 k, d)``, and sizes of both sides."""
        k = len(directions)
        across, most = self._put(directions), self._put(limits)
        sums = torch.zeros((2 * k, directions.shape[1]), dtype=torch.float64, device=self._device)
        sizes = torch.zeros(2 * k, dtype=torch.int64, device=self._device)
        for part, extended in self._blocks(2 * k):
            own = self._put(labels[part])
            sides = own + k * ((extended[:, :-2] * across[own]).sum(1) > most[own])
            _add_rows(sums, extended, sides)
            sizes += torch.bincount(sides, minlength=2 * k)
        return sums.cpu().numpy(), sizes.cpu().numpy()

    def _put(self, values: Float32 | Integers) -> Tensor:
        return torch.tensor(values, device=self._device)

    def _blocks(self, k: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield the rows of each block with their squared norms and a 1, ``(n, d + 2)``."""
        step = max(16, CELLS // max(k, self._table.width))
        if self._kept is None:
            kept = []
            for start in range(0, len(self._table), step):
                part = slice(start, min(start + step, len(self._table)))
                rows = shift(self._table, to_device(self._table.take(part), str(self._device)))
                norms = rows.square().sum(1, keepdim=True)
                extended = torch.cat([rows, norms, torch.ones_like(norms)], dim=1)
                if self._keep:
                    kept.append((part, extended))
                yield part, extended
            self._kept = kept or None
            return
        for part, extended in self._kept:
            for start in range(0, len(extended), step):
                some = extended[start : start + step]
                yield slice(part.start + start, part.start + start + len(some)), some


def _product(extended: Tensor, factors: Tensor) -> Tensor:
    with full_precision():
        return extended @ factors


def _add_rows(sums: Tensor, extended: Tensor, labels: Tensor) -> None:
    """Add the rows of a block to the sums of their clusters, by a product: additions in turn would have no fixed order.

    The product is exact enough in float32, as the blocks are added in float64.
    """
    member = torch.zeros((len(labels), len(sums)), device=extended.device)
    member.scatter_(1, labels[:, None], 1.0)
    sums += _product(member.T, extended[:, :-2])
