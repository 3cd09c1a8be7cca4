"""The passes of :mod:`alkit.features.lloyd` on a device of torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from alkit.features.passes import Step, hartigan_factors, nearest_factors
from alkit.features.search_torch import DeviceRows, product, shift
from alkit.features.tables import Float32, Float64, Integers, Table


class PassesByTorch:
    """Passes on a device."""

    def __init__(self, table: Table, device: str) -> None:
        self._table, self._rows = table, DeviceRows(table, device)
        self._device, self._put = self._rows.device, self._rows.put

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
            cost = product(extended, factors)
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
            squared = product(extended, factors)
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

    def _blocks(self, k: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield the shifted rows of each block with their squared norms and a 1, ``(n, d + 2)``."""
        for part, rows in self._rows.blocks(k):
            shifted = shift(self._table, rows)
            norms = shifted.square().sum(1, keepdim=True)
            yield part, torch.cat([shifted, norms, torch.ones_like(norms)], dim=1)


def _add_rows(sums: Tensor, extended: Tensor, labels: Tensor) -> None:
    """Add the rows of a block to the sums of their clusters, by a product: additions in turn would have no fixed order.

    The product is exact enough in float32, as the blocks are added in float64.
    """
    member = torch.zeros((len(labels), len(sums)), device=extended.device)
    member.scatter_(1, labels[:, None], 1.0)
    sums += product(member.T, extended[:, :-2])
