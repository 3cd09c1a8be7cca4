"""Passes over the rows of a table, of which K-means is made: assign each row to a cluster, and sum the rows of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alkit.features.search import CELLS
from alkit.features.tables import Float32, Float64, Integers, Table


@dataclass(frozen=True)
class Step:
    """What one pass over the rows finds.

    Parameters
    ----------
    labels:
        The new cluster of each row, ``(N,)``.
    sums:
        Sums of the rows of each new cluster, ``(k, d)``, float64.
    squared:
        Squared distance of each row to the centre of its cluster before the pass, ``(N,)``, float32; without labels
        before, to the nearest centre.
    """

    labels: Integers
    sums: Float64
    squared: Float32

    @classmethod
    def empty(cls, n: int, k: int, d: int) -> Step:
        """Return arrays to fill; the sums are 0."""
        return cls(np.empty(n, np.int64), np.zeros((k, d)), np.empty(n, np.float32))

    @property
    def cost(self) -> float:
        """Sum of the squared distances."""
        return float(self.squared.sum(dtype=np.float64))


class Passes(Protocol):
    """Passes over the rows of a table, shifted and scaled."""

    def nearest(self, centres: Float32) -> Step:
        """Assign each row to the nearest centre."""

    def hartigan(self, centres: Float32, labels: Integers, sizes: Integers) -> Step:
        """Assign each row to the cluster in which it costs least, if it leaves its own cluster."""

    def second(self, centres: Float32) -> tuple[Step, Integers, Float32]:
        """Return the step of :meth:`nearest`, and the second nearest centre of each row and its squared distance."""

    def halves(self, labels: Integers, directions: Float32, limits: Float32) -> tuple[Float64, Integers]:
        """Divide each cluster by a plane: return the sums, ``(2 k, d)``, and sizes of both sides."""


class PassesByNumpy:
    """Passes on the CPU, in blocks of a few megabytes."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def nearest(self, centres: Float32) -> Step:
        """Assign each row to the nearest centre."""
        return self._assign(centres)

    def hartigan(self, centres: Float32, labels: Integers, sizes: Integers) -> Step:
        """Assign each row to the cluster in which it costs least, if it leaves its own cluster."""
        factors, to_squared, to_cost = hartigan_factors(centres, sizes)
        result = Step.empty(len(labels), *centres.shape)
        for part, extended in self._blocks(len(centres)):
            cost, own, index = extended @ factors, labels[part], np.arange(len(extended))
            weighted = cost[index, own]
            result.squared[part] = np.maximum(weighted * to_squared[own], 0)
            cost[index, own] = weighted * to_cost[own]
            result.labels[part] = cost.argmin(axis=1)
            _add_rows(result.sums, extended, result.labels[part])
        return result

    def second(self, centres: Float32) -> tuple[Step, Integers, Float32]:
        """Return the step of :meth:`nearest`, and the second nearest centre of each row and its squared distance."""
        other, farther = np.empty(len(self._table), np.int64), np.empty(len(self._table), np.float32)
        step = self._assign(centres, other, farther)
        return step, other, farther

    def _assign(self, centres: Float32, other: Integers | None = None, farther: Float32 | None = None) -> Step:
        factors, k = nearest_factors(centres), len(centres)
        result = Step.empty(len(self._table), k, self._table.width)
        for part, extended in self._blocks(k):
            squared = extended @ factors
            index, nearest = np.arange(len(extended)), squared.argmin(axis=1)
            result.labels[part] = nearest
            result.squared[part] = np.maximum(squared[index, nearest], 0)
            _add_rows(result.sums, extended, nearest)
            if other is not None and farther is not None:
                squared[index, nearest] = np.inf
                other[part] = squared.argmin(axis=1)
                farther[part] = np.maximum(squared[index, other[part]], 0)
        return result

    def halves(self, labels: Integers, directions: Float32, limits: Float32) -> tuple[Float64, Integers]:
        """Divide each cluster by a plane: return the sums, ``(2 k, d)``, and sizes of both sides."""
        k = len(directions)
        sums, sizes = np.zeros((2 * k, self._table.width)), np.zeros(2 * k, np.int64)
        for part, extended in self._blocks(1):
            own = labels[part]
            far = np.einsum("nd,nd->n", extended[:, :-2], directions[own]) > limits[own]
            sides = own + k * far
            _add_rows(sums, extended, sides)
            sizes += np.bincount(sides, minlength=2 * k)
        return sums, sizes

    def _blocks(self, k: int) -> Iterator[tuple[slice, Float32]]:
        """Yield the rows of each block with their squared norms and a 1, ``(n, d + 2)``."""
        step = max(16, CELLS // max(k, self._table.width))
        for start in range(0, len(self._table), step):
            part = slice(start, start + step)
            rows = self._table.shifted(self._table.take(part))
            extended = np.empty((len(rows), rows.shape[1] + 2), np.float32)
            extended[:, :-2] = rows
            np.einsum("nd,nd->n", rows, rows, out=extended[:, -2])
            extended[:, -1] = 1
            yield part, extended


def nearest_factors(centres: Float32) -> Float32:
    """Return the factors of extended rows whose product is the squared distance, ``(d + 2, k)``."""
    squared = np.einsum("kd,kd->k", centres, centres)
    return np.concatenate([-2 * centres.T, np.ones((1, len(centres)), np.float32), squared[None]])


def hartigan_factors(centres: Float32, sizes: Integers) -> tuple[Float32, Float32, Float32]:
    """Return the factors whose product is the cost of a row in each cluster that it may join.

    That is the squared distance times n / (n + 1), with the size n of the cluster. Two more factors, ``(k,)`` each,
    turn it into the squared distance, and into the cost in the own cluster, which is the squared distance times
    n / (n - 1). A row that is alone in its cluster stays.
    """
    joining = sizes / (sizes + 1)
    staying = np.where(sizes > 1, sizes / np.maximum(sizes - 1, 1), 0)
    joining[sizes == 0] = 1
    to_squared, to_cost = (1 / joining).astype(np.float32), (staying / joining).astype(np.float32)
    return nearest_factors(centres) * joining.astype(np.float32), to_squared, to_cost


def _add_rows(sums: Float64, extended: Float32, labels: Integers) -> None:
    """Add the rows of a block to the sums of their clusters."""
    n = len(labels)
    from scipy.sparse import csr_array  # takes long to import, and a learner does not need it

    member = csr_array((np.ones(n, np.float32), labels, np.arange(n + 1)), shape=(n, len(sums)))
    sums += member.T @ extended[:, :-2]
