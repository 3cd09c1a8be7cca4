"""Near-duplicates of images, found by the cosine of their features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.features.identical import first_identical

BLOCK = 1024
"""Number of candidates that are compared at once."""

AGAINST = 4096
"""Number of other images that they are compared with at once. The table of products takes 16 MiB."""


@checked_except("similarity")
def find_duplicates(
    features: npt.NDArray[np.float32],
    ids: Sequence[str],
    labelled: Sequence[str],
    candidates: Sequence[str],
    similarity: float,
) -> dict[str, str]:
    """Return the original of each candidate that is a near-duplicate.

    Candidates are compared in sorted order of their ids, with the labelled images and with the earlier candidates that
    are not duplicates themselves. If the most similar of these has at least the cosine `similarity`, the candidate is
    its duplicate. Among equally similar images the first one counts.

    Parameters
    ----------
    features:
        Finite features, ``(N, d)``, one row for each of `ids`. The mean of all rows is subtracted from them.
    ids:
        N different ids.
    labelled:
        Ids of labelled images. Those that are not in `ids` are ignored.
    candidates:
        Some of `ids`.
    similarity:
        Smallest cosine of a near-duplicate, in (-1, 1].

    Returns
    -------
    dict of str to str
        The id of the original by the id of its duplicate.

    Raises
    ------
    ConfigurationError
        `similarity` is not in (-1, 1].

    Notes
    -----
    Identical rows are always duplicates, even if rounding makes their cosine smaller. A row that is identical to a
    duplicate has the same original, even if a later candidate is nearer. For other rows, the limit is lower than
    `similarity` by the largest rounding error of float32. A row equal to the mean has no direction, so only identical
    rows are its duplicates.

    Examples
    --------
    >>> rows = np.array([[0, 9], [0, 9], [9, 0], [0.1, 8]], np.float32)
    >>> find_duplicates(rows, ["a", "b", "c", "d"], labelled=["b"], candidates=["a", "c", "d"], similarity=0.95)
    {'a': 'b', 'd': 'b'}
    """
    check_number("similarity", similarity, -1, 1, open_ends="(")
    if features.ndim != 2 or len(features) != len(ids):
        raise ConfigurationError(f"features must be ({len(ids)}, d), one row for each of ids", got=f"{features.shape}")
    place = {id: row for row, id in enumerate(ids)}
    if strange := [id for id in candidates if id not in place]:
        raise ConfigurationError("candidates must be some of ids", got=repr(strange[0]))
    known = [id for id in labelled if id in place]
    waiting = sorted(candidates)
    identical = first_identical(features).tolist()
    first: dict[int, str] = {}
    same = {id: first.setdefault(identical[place[id]], id) for id in known + waiting}
    rows = unit_vectors(features)
    directed = np.any(rows, axis=1, keepdims=True)[:, 0]  # rows that differ from the mean
    near = _nearest_kept(
        rows,
        [place[id] for id in known if same[id] == id and directed[place[id]]],
        [place[id] for id in waiting if same[id] == id and directed[place[id]]],
        similarity - np.finfo(np.float32).eps * (8 + rows.shape[1] ** 0.5),
    )
    originals: dict[str, str] = {}
    for id in waiting:
        if same[id] != id:
            originals[id] = originals.get(same[id], same[id])
        elif place[id] in near:
            originals[id] = ids[near[place[id]]]
    return originals


def unit_vectors(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the directions of the rows from their mean as unit vectors, ``(N, d)``; 0 for a row equal to the mean."""
    centred = np.empty(features.shape, np.float32)
    np.subtract(features, features.mean(axis=0, dtype=np.float64), out=centred, casting="same_kind")
    lengths = np.sqrt(np.einsum("nd,nd->n", centred, centred, dtype=np.float64))[:, None]
    np.divide(centred, lengths, out=centred, where=lengths > 0, casting="same_kind")
    return centred


def _nearest_kept(rows: npt.NDArray[np.float32], kept: list[int], waiting: list[int], least: float) -> dict[int, int]:
    """Return the nearest kept row of each waiting row whose product with it is at least `least`; keep other rows."""
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
            better = highest > best  # strictly, because among equals the first counts
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
