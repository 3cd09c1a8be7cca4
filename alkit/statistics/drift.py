"""How different two samples of features are: the maximum mean discrepancy, with a permutation test.

References
----------
Gretton, Borgwardt, Rasch, Schoelkopf, Smola: A Kernel Two-Sample Test. JMLR 13, 2012. The estimate is that of Lemma 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST = 500
"""Most rows of each sample that are compared; of more rows, some are drawn."""

PERMUTATIONS = 200
"""Number of permutations of the test."""

ROUNDING = 1e-12
"""Estimates that differ by no more are equal, such as those of the same division."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How different new rows are from former ones.

    Parameters
    ----------
    mmd2:
        Unbiased estimate of the squared maximum mean discrepancy: about 0 for samples of one distribution, where it may
        be negative, and at most 2.
    p:
        Share of random divisions of all rows, or of whole groups of them, into two samples whose estimate is at least
        as large, in (0, 1]. With few groups it cannot be small.
    """

    mmd2: float
    p: float


def drift(
    before: npt.NDArray[np.float32],
    new: npt.NDArray[np.float32],
    rng: np.random.Generator,
    groups: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Drift | None:
    """Return how different new rows ``(m, d)`` are from former rows ``(n, d)``; None with fewer than two of either.

    Each column is divided by its standard deviation over all rows. The kernel is Gaussian, and its width is the median
    distance between the rows.

    Parameters
    ----------
    rng:
        Draws the rows, if there are many, and the permutations.
    groups:
        Group of each row of both. Rows of one group, such as slices of one volume, are alike, so the test divides whole
        groups: otherwise each new volume would differ from the others. Default: each row is its own group.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> same, other = rng.normal(size=(40, 3)), rng.normal(2, size=(20, 3))
    >>> drift(same[:20], same[20:], rng).p > 0.05, drift(same, other, rng).p < 0.01
    (True, True)
    """
    if min(len(before), len(new)) < 2:
        return None
    drawn = [np.sort(rng.choice(len(rows), min(MOST, len(rows)), replace=False)) for rows in (before, new)]
    n = len(drawn[0])
    rows = np.concatenate([before[drawn[0]], new[drawn[1]]]).astype(np.float64)
    group = groups or (range(len(before)), range(len(new)))
    names = [(side, group[side][row]) for side in (0, 1) for row in drawn[side].tolist()]
    number: dict[tuple[int, str | int], int] = {}
    units = np.array([number.setdefault(name, len(number)) for name in names])
    scale = rows.std(axis=0)
    rows = rows / np.where(scale > 0, scale, 1)
    squares = np.sum(rows**2, axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0)
    apart = distances[~np.eye(len(rows), dtype=bool)]
    width = float(np.median(apart)) or float(apart.mean()) or 1.0
    kernel = np.exp(-distances / width)
    np.fill_diagonal(kernel, 0)
    found = _mmd2(kernel, np.arange(len(rows)) < n)
    first = sum(side == 0 for side, _ in number)
    divisions = (np.isin(units, rng.permutation(len(number))[:first]) for _ in range(PERMUTATIONS))
    # Of groups of different sizes, a division may leave one row, which has no estimate.
    others = [_mmd2(kernel, one) for one in divisions if 2 <= one.sum() <= len(rows) - 2]
    return Drift(found, (1 + sum(other >= found - ROUNDING for other in others)) / (1 + len(others)))


def _mmd2(kernel: npt.NDArray[np.float64], chosen: npt.NDArray[np.bool_]) -> float:
    """Return the estimate for the chosen rows and the others; the kernel has zeros on its diagonal."""
    first, n = chosen.astype(np.float64), int(chosen.sum())
    second, m = 1 - first, len(chosen) - n
    sums = kernel @ first
    within, between = first @ sums, second @ sums
    other = second @ (kernel @ second)
    return float(within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * between / (n * m))
