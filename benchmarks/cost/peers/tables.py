"""The features to select from, the same for every library, and how well a selection covers them. Needs numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

BLOCK = 2**20
"""Number of values that are made or compared at once."""

CLASSES = 4
"""Number of classes of :func:`classes_of`."""


def make_rows(n: int, d: int, seed: int, path: Path | None = None) -> npt.NDArray[np.float32]:
    """Return features in 50 groups of unit width whose centres are three times as wide, ``(n, d)``.

    Parameters
    ----------
    n, d:
        Number of rows and of columns.
    seed:
        Seed of the centres and rows.
    path:
        File of a memory map, which is written if it is missing; None: in memory.
    """
    if path is not None and path.exists():
        return np.load(path, mmap_mode="r", allow_pickle=False)
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(50, d)).astype(np.float32)
    if path is None:
        rows = np.empty((n, d), np.float32)
    else:
        rows = np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.float32, (n, d))
    step = max(1, BLOCK // d)
    for start in range(0, n, step):
        some = min(step, n - start)
        rows[start : start + some] = rng.standard_normal((some, d), np.float32) + centres[rng.integers(50, size=some)]
    if path is None:
        return rows
    rows.flush()
    path.with_suffix(".part").replace(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def classes_of(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the class of each row: by the signs of its first two columns, ``(n,)``."""
    return (rows[:, 0] > 0).astype(np.int64) + 2 * (rows[:, 1] > 0)


def draw_labelled(n: int, labelled: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the rows with a label, drawn at random."""
    return np.random.default_rng([seed, 1]).choice(n, labelled, replace=False)


def cover(rows: npt.NDArray[np.float32], chosen: Sequence[int]) -> dict[str, float]:
    """Return the largest and the mean distance of a row to the nearest chosen one."""
    centres = rows[np.sort(chosen)].astype(np.float64)
    squares = np.einsum("kd,kd->k", centres, centres)
    largest, total = 0.0, 0.0
    step = max(1, BLOCK // max(rows.shape[1], len(centres)))
    for start in range(0, len(rows), step):
        block = rows[start : start + step].astype(np.float64)
        squared = np.einsum("nd,nd->n", block, block) + (squares - 2 * block @ centres.T).min(axis=1)
        distances = np.sqrt(np.maximum(squared, 0))
        largest, total = max(largest, float(distances.max())), total + float(distances.sum())
    return {"radius": largest, "mean_distance": total / len(rows)}
