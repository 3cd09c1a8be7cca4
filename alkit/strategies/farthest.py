"""Farthest-first picks: each pick is the image farthest from all labelled images and earlier picks.

A plain loop reads the whole table for each pick. Here, one pass serves many picks. Distances to the nearest reference
only shrink, so as long as the largest of a few rows, updated after each pick, is at least the largest that any other
row had before, it is the largest of all. The picks are those of the plain loop in float64, ties included.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.errors import SelectionError
from alkit.features.search import Search, nearest_squared
from alkit.features.tables import Float64, Integers, Table
from alkit.strategies.picks import Picks

AHEAD = 2**18
"""Number of values of the rows among which the next picks are searched: 2 MiB of float64."""


@checked
def pick_farthest(
    picks: Picks, features: npt.NDArray[np.float32], device: str | None = None
) -> tuple[Integers, Float64]:
    """Pick the image farthest from labelled images and picks, until enough are picked; ties are broken by id.

    If nothing is labelled or picked yet, the first pick is the image nearest to the mean of the pool.

    Parameters
    ----------
    picks:
        Picks so far.
    features:
        Features of all images, ``(N, d)``, float32 and finite. They are read in blocks, and may be a memory map.
    device:
        Device of torch, as in :func:`alkit.features.nearest`.

    Returns
    -------
    references, distances
        For each image the nearest reference, ``(N,)``, int64, and its L2 distance, ``(N,)``, float64. References are
        counted in the order of the labelled images and then of the picks; at equal distances the first one counts.

    Raises
    ------
    DataError
        `features` is not such a table.
    SelectionError
        It does not have a row for each image of `picks`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(ids=["a", "b", "c", "d"], candidates=["a", "b", "d"], labelled=["c"])
    >>> rows = np.array([[0], [1], [2], [7]], np.float32)
    >>> picks = Picks(view, rows, n=2)
    >>> pick_farthest(picks, rows)
    (array([2, 0, 0, 1]), array([0., 1., 0., 0.]))
    >>> picks.ids
    ('d', 'a')
    """
    table = Table(features)
    if len(table) != len(picks.free):
        raise SelectionError("features must have a row for each image", got=len(table), expected=len(picks.free))
    if picks.missing and not len(picks.labelled) and not picks.rows:
        _, squared = nearest_squared(table, table.mean[None], device)
        picks.pick(picks.best(-squared))
    search = Search(table, len(picks.labelled) + picks.n, device)
    for rows in (picks.labelled, np.array(picks.rows, np.int64)):
        if len(rows):
            search.add(table.take(rows))
    while picks.missing:
        before = len(picks.rows)
        _pick_ahead(picks, table, search.squared)
        search.add(table.take(np.array(picks.rows[before:])))
    return search.best, np.sqrt(search.squared)


def _pick_ahead(picks: Picks, table: Table, squared: Float64) -> None:
    """Pick, at least once, as long as the next pick is certain to be among the rows that are the farthest now."""
    free = np.flatnonzero(picks.free)
    some, limit, first = _farthest(free, squared[free], max(16, AHEAD // table.width))
    rows, away = table.take(some).astype(np.float64), squared[some]
    refills = picks.refills
    while picks.missing and picks.refills == refills:
        away[~picks.free[some]] = -1
        place = int(away.argmax())
        if away[place] < limit or (away[place] == limit and some[place] > first):
            return
        picks.pick(int(some[place]))
        difference = rows - rows[place]
        np.minimum(away, np.einsum("nd,nd->n", difference, difference), out=away)


def _farthest(rows: Integers, squared: Float64, n: int) -> tuple[Integers, float, int]:
    """Return the n farthest rows, ascending; the largest squared distance of the others, and its first row."""
    if len(rows) <= n:
        return rows, -1.0, -1
    least = np.partition(squared, len(squared) - n)[len(squared) - n]
    inside = squared > least
    ties = np.flatnonzero(squared == least)
    inside[ties[: n - np.count_nonzero(inside)]] = True
    others = np.where(inside, -1.0, squared)
    return rows[inside], float(others.max()), int(rows[others.argmax()])
