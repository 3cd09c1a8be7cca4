"""The most typical rows of a group: those whose nearest neighbours in the group are nearest."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked_except
from alkit.checks import check_integer
from alkit.errors import DataError
from alkit.features.bounds import SLACK, extend, factors
from alkit.features.search import find_device
from alkit.features.tables import Float32, Float64, Integers, Table

BLOCK = 1024
"""Largest number of rows on each side of a product: 4 MiB of float32."""

AT_ONCE = 4
"""Number of rows whose typicality is computed exactly at once."""


@checked_except("neighbours")
def by_typicality(
    features: npt.NDArray[np.float32], members: npt.NDArray[np.int64], neighbours: int, device: str | None = None
) -> Iterator[int]:
    """Yield the rows of a group, the most typical first; equally typical ones in their order.

    The typicality of a row is 1 / (mean L2 distance to its nearest other rows of the group).

    Parameters
    ----------
    features:
        Table, ``(N, d)``, float32 and finite. It may be a memory map.
    members:
        Rows of the group, ascending.
    neighbours:
        Number of nearest rows, an integer >= 1; all other rows of the group if there are fewer.
    device:
        Device of torch for the bounds, such as ``"cuda"`` or ``"cpu"``. None: a GPU if the group is large and torch
        finds one, otherwise the CPU without torch. The order is the same.

    Raises
    ------
    ConfigurationError
        `neighbours` is not an integer >= 1.
    DataError
        `features` is not such a table, or `members` are not ascending rows of it.

    Notes
    -----
    The order is that of means in float64. A product in float32 gives bounds of each mean, and only rows whose bounds
    do not decide are computed in float64, when they are asked for. Memory does not depend on the size of the group.

    Examples
    --------
    >>> rows = np.array([[0], [1], [3], [9]], np.float32)
    >>> list(by_typicality(rows, np.array([0, 1, 3]), neighbours=1)), list(by_typicality(rows, np.arange(4), 2))
    ([0, 1, 3], [1, 0, 2, 3])
    """
    check_integer("neighbours", neighbours, least=1)
    if features.ndim != 2 or 0 in features.shape:
        raise DataError("features must be (N, d), with N and d at least 1", got=f"shape {features.shape}")
    if members.ndim != 1 or (len(members) and not 0 <= members[0] <= members[-1] < len(features)):
        raise DataError(
            "members must be rows of the features", got=repr(members)[:100], expected=f"0 to {len(features) - 1}"
        )
    rows = members.astype(np.int64)  # a smaller type would overflow
    if not (rows[1:] > rows[:-1]).all():
        raise DataError("members must be ascending", got=repr(members)[:100])
    return _lazily(features, rows, min(int(neighbours), len(rows) - 1), device)


def _lazily(features: Float32, members: Integers, k: int, device: str | None) -> Iterator[int]:
    if k < 1:
        yield from members.tolist()
        return
    least = _least_means(features, members, k, device)
    order = np.argsort(least, kind="stable")
    known: list[tuple[float, int]] = []
    done = 0
    while done < len(order) or known:
        # A row that may be as typical as the best known one may come before it.
        while done < len(order) and (not known or least[order[done]] <= known[0][0]):
            some = order[done : done + AT_ONCE]
            means = mean_distances(features, members, members[some], k)
            for mean, row in zip(means.tolist(), members[some].tolist(), strict=True):
                heappush(known, (mean, row))
            done += len(some)
        yield heappop(known)[1]


def mean_distances(features: Float32, members: Integers, rows: Integers, k: int) -> Float64:
    """Return the mean L2 distance of some members to their k nearest other members, in float64.

    It is the same for any block size, because equal sets of distances are added in the same order.
    """
    from scipy.spatial.distance import cdist

    some = features[rows].astype(np.float64)
    nearest = np.full((len(rows), k + 1), np.inf)  # the row itself is one of them
    for start in range(0, len(members), BLOCK):
        distances = cdist(some, features[members[start : start + BLOCK]].astype(np.float64))
        nearest = np.sort(np.concatenate([nearest, distances], axis=1), axis=1)[:, : k + 1]
    means: Float64 = nearest[:, 1:].mean(axis=1)
    return means


def _least_means(features: Float32, members: Integers, k: int, device: str | None) -> Float64:
    """Return a lower bound of each member's mean distance to its k nearest other members."""
    table = Table(features, members)
    device = find_device(device, len(table) ** 2 * table.width)
    if device is not None:
        from alkit.features.typicality_torch import least_squared  # torch, which a CPU does not need

        return _means(least_squared(table, k, device), table)
    least = np.empty(len(table))
    for start in range(0, len(table), BLOCK):
        extended, norms = extend(table.shifted(table.take(slice(start, start + BLOCK))))
        nearest = np.empty((len(norms), 0), np.float32)
        for begin in range(0, len(table), BLOCK):
            columns, slack = factors(table, table.take(slice(begin, begin + BLOCK)))
            bound = extended @ columns
            if begin == start:
                np.fill_diagonal(bound, np.inf)
            nearest = np.concatenate([nearest, bound], axis=1) if begin else bound
            if nearest.shape[1] > k:
                nearest = np.partition(nearest, k - 1, axis=1)[:, :k]
        squared = nearest + (norms * (1 - slack))[:, None] - SLACK
        least[start : start + BLOCK] = _means(squared, table)
    return least


def _means(squared: Float64, table: Table) -> Float64:
    """Return means of distances in the unit of the features, not above the exact ones."""
    means = np.sqrt(np.maximum(squared, 0)).mean(axis=1)
    least: Float64 = np.ldexp(means, table.exponent) * (1 - 2.0**-40)  # for the rounding here
    return least
