"""Picks from clusters: the cluster with the fewest labels comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import chain

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.errors import SelectionError
from alkit.strategies.picks import Picks
from alkit.values.clusters import Clusters


@checked
def pick_by_cluster(picks: Picks, clusters: Clusters, order: Callable[[npt.NDArray[np.int64]], Iterable[int]]) -> Picks:
    """Pick from the cluster with the fewest labelled images and picks, until enough are picked.

    Among clusters with equally many, the one with the lowest number comes first, which is the largest. In a cluster,
    the images come in the given order, but those that are not free wait until they are (:class:`Picks`).

    Parameters
    ----------
    picks:
        Picks so far. They and the labelled images count.
    clusters:
        Clusters of all images of the view, in the order of their ids.
    order:
        Orders the members of a cluster: gets their rows, ascending, and gives the same rows, the most wanted first.
        It is called once for each cluster that is visited, and may be a generator.

    Raises
    ------
    SelectionError
        The clusters are not those of all images of the view.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(ids=["a", "b", "c", "d"], candidates=["a", "b", "d"], labelled=["c"])
    >>> picks = Picks(view, np.array([[1], [2], [3], [9]], np.float32), n=2)
    >>> clusters = Clusters(("a", "b", "c", "d"), np.array([0, 0, 0, 1]), np.array([1.0, 0.0, 1.0, 0.0]), k=2)
    >>> pick_by_cluster(picks, clusters, lambda rows: rows[np.argsort(clusters.distances[rows])]).ids
    ('d', 'b')
    """
    if clusters.ids != tuple(picks._ids):
        raise SelectionError("clusters must have the ids of the view, in its order")
    members = np.split(np.argsort(clusters.labels, kind="stable"), np.cumsum(clusters.sizes)[:-1])
    taken = np.bincount(clusters.labels[[*picks.labelled.tolist(), *picks.rows]], minlength=clusters.k)
    turns = list(zip(taken.tolist(), range(clusters.k), strict=True))
    heapify(turns)
    waiting: dict[int, Iterator[int]] = {}  # members of each cluster visited so far, the most wanted first
    passed: dict[int, list[int]] = {}  # those of them that were not free
    blocked: list[tuple[int, int]] = []  # clusters whose members are all passed
    refills = picks.refills
    while picks.missing:
        if picks.refills > refills:  # images that were passed may be free again
            refills = picks.refills
            for number, rows in passed.items():
                waiting[number] = chain(rows, waiting[number])
            passed.clear()
            for turn in blocked:
                heappush(turns, turn)
            blocked.clear()
        count, number = heappop(turns)
        if number not in waiting:
            waiting[number] = iter(order(members[number]))
        for row in map(int, waiting[number]):
            if picks.free[row]:
                picks.pick(row)
                heappush(turns, (count + 1, number))
                break
            passed.setdefault(number, []).append(row)
        else:
            blocked.append((count, number))
    return picks
