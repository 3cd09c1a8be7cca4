"""Which images show nearly the same as another: by the cosine of their features, pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BLOCK = 1024
"""How many candidates are compared at once."""

AGAINST = 4096
"""With how many others at once: a table of products holds 16 MiB."""


def find_duplicates(
    features: npt.NDArray[np.float32],
    ids: Sequence[str],
    labelled: Sequence[str],
    candidates: Sequence[str],
    similarity: float,
) -> dict[str, str]:
    """Return for each near-duplicate among the candidates the image that it is a duplicate of.

    The candidates are gone through in sorted order of ids. One that is at least so similar to an image that has a
    label, or to an earlier candidate that is no duplicate itself, is a duplicate of the most similar of these; of
    equally similar ones, of the first.

    Parameters
    ----------
    features:
        ``(N, d)``, finite; one row for each of `ids`. They are centred at the mean of all rows.
    ids:
        N different ids.
    labelled:
        Ids that have a label; those without a row are left out.
    candidates:
        Some of `ids`.
    similarity:
        From which cosine on, in (-1, 1].

    Notes
    -----
    Identical rows are duplicates of each other whatever their cosine is rounded to, and are looked up, not multiplied:
    one that is identical to a duplicate has the same original, also where a later candidate would be nearer.
    For other rows the cosine may miss `similarity` by what float32 can lose. A row at the mean has no direction, and
    is like no row but an identical one.

    Examples
    --------
    >>> rows = np.array([[0, 9], [0, 9], [9, 0], [0.1, 8]], np.float32)
    >>> find_duplicates(rows, ["a", "b", "c", "d"], labelled=["b"], candidates=["a", "c", "d"], similarity=0.95)
    {'a': 'b', 'd': 'b'}
    """
    place = {id: row for row, id in enumerate(ids)}
    known = [id for id in labelled if id in place]
    waiting = sorted(candidates)
    first: dict[bytes, str] = {}
    same = {id: first.setdefault((features[place[id]] + 0).tobytes(), id) for id in known + waiting}  # + 0: no -0.0
    rows = unit_vectors(features)
    away = np.any(rows, axis=1, keepdims=True)[:, 0]
    near = _near(
        rows,
        [place[id] for id in known if same[id] == id and away[place[id]]],
        [place[id] for id in waiting if same[id] == id and away[place[id]]],
        similarity - np.finfo(np.float32).eps * (8 + rows.shape[1] ** 0.5),
    )
    found: dict[str, str] = {}
    for id in waiting:
        if same[id] != id:
            found[id] = found.get(same[id], same[id])
        elif place[id] in near:
            found[id] = ids[near[place[id]]]
    return found


def unit_vectors(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the rows as unit vectors from their mean, ``(N, d)``; a row at the mean itself stays 0."""
    centred = np.empty(features.shape, np.float32)
    np.subtract(features, features.mean(axis=0, dtype=np.float64), out=centred, casting="same_kind")
    lengths = np.sqrt(np.einsum("nd,nd->n", centred, centred, dtype=np.float64))[:, None]
    np.divide(centred, lengths, out=centred, where=lengths > 0, casting="same_kind")
    return centred


def _near(rows: npt.NDArray[np.float32], kept: list[int], waiting: list[int], least: float) -> dict[int, int]:
    """Return for each waiting row with a product of `least` or more the kept row that it is nearest to; keep others."""
    kept, near = list(kept), dict[int, int]()
    for start in range(0, len(waiting), BLOCK):
        block = np.array(waiting[start : start + BLOCK])
        best = np.full(len(block), -np.inf, np.float32)
        whose = np.zeros(len(block), np.int64)
        for begin in range(0, len(kept), AGAINST):
            others = np.array(kept[begin : begin + AGAINST])
            alike = rows[block] @ rows[others].T
            top = alike.argmax(axis=1)
            highest = alike[np.arange(len(block)), top]
            better = highest > best  # strictly: of equals the first counts
            best[better], whose[better] = highest[better], others[top[better]]
        within = rows[block] @ rows[block].T
        for place, row in enumerate(block.tolist()):
            if best[place] >= least:
                near[row] = int(whose[place])
                continue
            kept.append(row)
            better = within[place] > best
            best[better], whose[better] = within[place][better], row
    return near
