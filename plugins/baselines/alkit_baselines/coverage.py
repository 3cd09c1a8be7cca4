"""Greedy choice of images that cover a pool: shared by ProbCover, MaxHerding and facility location.

The coverage of a set S is the sum over the pool of each image's largest similarity to a member of S. It is monotone and
submodular: the gain of an image only falls while S grows. So an old gain is an upper bound, and only images with a high
bound are computed again (lazy greedy).

References
----------
Minoux. "Accelerated Greedy Algorithms for Maximizing Submodular Set Functions". Optimization Techniques, 1978.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from alkit.strategies import Picks

Floats = npt.NDArray[np.float32]

PRODUCTS = 2**22
"""Number of similarities that are in memory at once: 16 MiB."""

MOST_ROWS = 4096
"""Largest number of rows that are in memory at once."""


class Similarity(Protocol):
    """A similarity of images, at most 1."""

    least: float
    """A lower bound; the coverage of an empty set."""

    def prepare(self, rows: Floats) -> Floats:
        """Return rows from which :meth:`between` computes similarities."""

    def between(self, some: Floats, others: Floats) -> Floats:
        """Return the similarity of prepared rows ``(b, .)`` to prepared rows ``(r, .)``, ``(b, r)``."""


class Cosine:
    """The cosine of the angle between rows; 0 for a row of zeros."""

    least = -1.0

    def prepare(self, rows: Floats) -> Floats:
        """Return rows of length 1."""
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))[:, None]
        unit: Floats = np.zeros(rows.shape, np.float32)
        np.divide(rows, lengths, out=unit, where=lengths > 0, casting="same_kind")
        return unit

    def between(self, some: Floats, others: Floats) -> Floats:
        """Return the products of rows."""
        return some @ others.T


class _ByDistance:
    """A similarity that depends on the L2 distance.

    Prepared rows have two more columns, so that one product of matrices gives -d^2 / 2. They are shifted to `origin`,
    because float32 loses small distances far from 0.
    """

    least = 0.0

    def __init__(self, origin: Floats) -> None:
        self._origin = origin

    def prepare(self, rows: Floats) -> Floats:
        prepared = np.ones((len(rows), rows.shape[1] + 2), np.float32)
        np.subtract(rows, self._origin, out=prepared[:, :-2])
        prepared[:, -2] = np.einsum("nd,nd->n", prepared[:, :-2], prepared[:, :-2]) / -2
        return prepared

    def _minus_half_squares(self, some: Floats, others: Floats) -> Floats:
        products = some[:, :-2] @ others[:, :-2].T
        products += some[:, -2:-1]
        products += others[:, -2]
        return products


class Gaussian(_ByDistance):
    """exp(-d^2 / (2 width^2)) of the L2 distance d."""

    def __init__(self, origin: Floats, width: float) -> None:
        super().__init__(origin)
        self._width = width

    def between(self, some: Floats, others: Floats) -> Floats:
        """Return the kernel's values."""
        products = self._minus_half_squares(some, others)
        np.minimum(products, 0, out=products)
        products /= np.float32(self._width) ** 2
        return np.exp(products, out=products)


class Ball(_ByDistance):
    """1 up to a distance, 0 beyond."""

    def __init__(self, origin: Floats, radius: float) -> None:
        super().__init__(origin)
        self._radius = radius

    def between(self, some: Floats, others: Floats) -> Floats:
        """Return ones and zeros."""
        within = self._minus_half_squares(some, others) >= np.float32(-(self._radius**2) / 2)
        ones: Floats = within.astype(np.float32)
        return ones


def middle_row(rows: Floats) -> Floats:
    """Return a row near the middle of a table: the median of each column, each a value of the table."""
    middle: Floats = np.sort(rows[:101], axis=0)[(min(len(rows), 101) - 1) // 2]
    return middle


def represented_rows(n: int, most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the rows that are to be covered: all, or a sorted random sample of `most` if there are more."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


class Coverage:
    """The coverage of rows by the labelled images and the picks.

    Parameters
    ----------
    features:
        Table, ``(N, d)``; it is read in blocks.
    rows:
        Rows that are to be covered, ``(r,)``, sorted.
    similarity:
        Similarity of rows.
    covering:
        Rows that cover already.
    """

    def __init__(
        self, features: Floats, rows: npt.NDArray[np.int64], similarity: Similarity, covering: npt.ArrayLike
    ) -> None:
        self._features, self._similarity = features, similarity
        self._rows = similarity.prepare(features[rows])
        self._covered = np.full(len(rows), similarity.least, np.float32)
        self._bounds = np.full(len(features), np.inf)
        self._turns = np.full(len(features), -1)
        self._turn = 0
        covering = np.asarray(covering, np.int64)
        for start in range(0, len(covering), self._at_once):
            self._cover(covering[start : start + self._at_once])

    @property
    def _at_once(self) -> int:
        return min(MOST_ROWS, max(1, PRODUCTS // max(1, len(self._rows))))

    def add(self, row: int) -> None:
        """Let one more row cover."""
        self._cover(np.array([row]))
        self._turn += 1

    def _cover(self, covering: npt.NDArray[np.int64]) -> None:
        alike = self._similarity.between(self._similarity.prepare(self._features[covering]), self._rows)
        np.maximum(self._covered, alike.max(axis=0), out=self._covered)
        left = self._covered < 1
        if left.sum() < 0.75 * len(left):  # the others can gain nothing
            self._rows, self._covered = self._rows[left], self._covered[left]

    def gains(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return by how much the coverage would rise by each of some rows, ``(b,)``."""
        gains = np.empty(len(rows))
        for start in range(0, len(rows), self._at_once):
            part = slice(start, start + self._at_once)
            alike = self._similarity.between(self._similarity.prepare(self._features[rows[part]]), self._rows)
            alike -= self._covered
            gains[part] = np.maximum(alike, 0, out=alike).sum(axis=1)
        return gains

    def best(self, free: npt.NDArray[np.bool_]) -> tuple[int, float]:
        """Return the free row with the highest gain, and the gain.

        Gains that differ by less than the rounding error of float32 are equal, and the lowest row wins.
        """
        size, error = 32, 1e-7 * len(self._rows)
        while True:
            known = free & (self._turns == self._turn)
            best = float(self._bounds[known].max(initial=0.0))
            slack = 1e-6 * best + error
            equal = known & (self._bounds >= best - slack)
            first = int(np.argmax(equal)) if equal.any() else len(free)
            waiting = free & ~known & (self._bounds >= best - slack)
            waiting[first:] &= self._bounds[first:] > best + slack  # an equal gain would not win there
            rows = np.flatnonzero(waiting)
            if not len(rows):
                return first, best
            rows = _highest(rows, self._bounds[rows], size)
            self._bounds[rows] = self.gains(rows)
            self._turns[rows] = self._turn
            size = min(2 * size, self._at_once)


def _highest(rows: npt.NDArray[np.int64], bounds: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.int64]:
    """Return the `size` rows with the highest bounds, the lowest rows among equals; all rows if no bound is known.

    >>> _highest(np.array([3, 5, 7, 9]), np.array([1.0, 2.0, 1.0, 1.0]), size=2)
    array([3, 5])
    """
    if size >= len(rows) or np.isinf(bounds).all():
        return rows
    least = np.partition(bounds, len(bounds) - size)[len(bounds) - size]
    above = bounds > least
    equal = np.flatnonzero(bounds == least)[: size - int(above.sum())]
    above[equal] = True
    chosen: npt.NDArray[np.int64] = rows[above]
    return chosen


def cover(picks: Picks, coverage: Coverage) -> None:
    """Pick by the highest gain in coverage, until enough are picked."""
    while picks.missing:
        row, _ = coverage.best(picks.free)
        picks.pick(row)
        coverage.add(row)
