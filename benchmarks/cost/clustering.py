"""Compare K-means with what it was before: five starts of k-means++ and FAISS for tables of any size.

::

    python -m benchmarks.cost.clustering --out benchmarks/results/kmeans.csv

The sets are generated. Each is a large table for :func:`alkit.features.kmeans`: images times clusters are above 2^20.

Columns:

- ``former_cost``, ``cost``: sum of squared distances of the rows to the mean of their cluster.
- ``ratio``: ``cost`` over ``former_cost``. It must not be above 1.
- ``former_cpu_s``, ``cpu_s``: CPU seconds on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import alkit
from alkit.features import kmeans, nearest
from benchmarks.rows import append, commit, machine

Rows = npt.NDArray[np.float32]


def _blobs(rng: np.random.Generator, n: int, d: int, k: int) -> npt.NDArray[np.float64]:
    """Fewer groups than clusters."""
    centres = 3 * rng.normal(size=(k // 4, d))
    return centres[rng.integers(len(centres), size=n)] + rng.normal(size=(n, d))


def _uneven(rng: np.random.Generator, n: int, d: int, k: int) -> npt.NDArray[np.float64]:
    """As many groups as clusters, far apart, of very different sizes: a missed one costs much."""
    centres = 6 * rng.normal(size=(k, d))
    return centres[rng.choice(k, n, p=rng.dirichlet(np.ones(k)))] + rng.normal(size=(n, d))


def _mixture(rng: np.random.Generator, n: int, d: int, k: int) -> npt.NDArray[np.float64]:
    """Groups of different sizes and widths."""
    centres, widths = 2 * rng.normal(size=(k, d)), rng.uniform(0.2, 2, size=k)
    group = rng.choice(k, n, p=rng.dirichlet(np.full(k, 0.3)))
    return centres[group] + widths[group, None] * rng.normal(size=(n, d))


def _uniform(rng: np.random.Generator, n: int, d: int, k: int) -> npt.NDArray[np.float64]:
    """No groups."""
    return rng.uniform(size=(n, d))


def _normal(rng: np.random.Generator, n: int, d: int, k: int) -> npt.NDArray[np.float64]:
    """No groups, and all distances nearly equal."""
    return rng.normal(size=(n, d))


def _heavy(rng: np.random.Generator, n: int, d: int, k: int) -> npt.NDArray[np.float64]:
    """Many rows far away from all others."""
    return rng.standard_t(2.5, size=(n, d))


def _curved(rng: np.random.Generator, n: int, d: int, k: int) -> npt.NDArray[np.float64]:
    """A curved surface of five dimensions with noise, as the features of networks often are."""
    inner, outer = rng.normal(size=(5, 64)), rng.normal(size=(64, d)) / 8
    return np.maximum(rng.normal(size=(n, 5)) @ inner, 0) @ outer + 0.1 * rng.normal(size=(n, d))


SETS: dict[str, tuple[Callable[..., npt.NDArray[np.float64]], int, int, int]] = {
    "blobs": (_blobs, 10_000, 32, 150),
    "uneven": (_uneven, 10_000, 16, 200),
    "mixture": (_mixture, 20_000, 16, 60),
    "uniform": (_uniform, 10_000, 8, 200),
    "normal": (_normal, 10_000, 64, 120),
    "heavy": (_heavy, 10_000, 16, 150),
    "curved": (_curved, 10_000, 64, 150),
}
"""The sets by name: what makes the rows, and the numbers of rows, columns and clusters."""


def make_set(name: str) -> tuple[Rows, int]:
    """Return the rows of a set and its number of clusters."""
    make, n, d, k = SETS[name]
    return make(np.random.default_rng(list(SETS).index(name)), n, d, k).astype(np.float32), k


def cluster_formerly(rows: Rows, k: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the clusters by the best of five starts of k-means++ and 50 of Lloyd's steps."""
    import faiss
    from sklearn.cluster import kmeans_plusplus

    rows = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    found = []
    for seed in rng.integers(2**31, size=5).tolist():
        first, _ = kmeans_plusplus(rows, k, random_state=seed)
        search = faiss.Kmeans(
            rows.shape[1], k, niter=50, seed=seed, min_points_per_centroid=1, max_points_per_centroid=len(rows)
        )
        found.append((search.train(rows, init_centroids=first), seed, search.centroids.copy()))
    return nearest(rows, min(found)[-1])[0]


def cost(rows: Rows, labels: npt.NDArray[np.int64]) -> float:
    """Return the sum of the squared distances of the rows to the mean of their cluster."""
    return float(sum(len(part) * part.var(axis=0).sum() for part in _parts(rows.astype(np.float64), labels)))


def _parts(rows: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float64]]:
    return np.split(rows[np.argsort(labels, kind="stable")], np.cumsum(np.bincount(labels))[:-1])


def compare(name: str, seed: int) -> dict[str, Any]:
    """Return the row of a set and a seed; the docstring of the module explains the columns."""
    rows, k = make_set(name)
    ids = [f"{row:06}" for row in range(len(rows))]
    start = time.process_time()
    former = cost(rows, cluster_formerly(rows, k, np.random.default_rng(seed)))
    middle = time.process_time()
    now = cost(rows, kmeans(rows, ids, k, np.random.default_rng(seed)).labels)
    return {
        "set": name, "n": len(rows), "d": rows.shape[1], "k": k, "seed": seed,
        "former_cost": f"{former:.8g}", "cost": f"{now:.8g}", "ratio": round(now / former, 5),
        "former_cpu_s": round(middle - start, 2), "cpu_s": round(time.process_time() - middle, 2),
        "threads": 1, "machine": machine(), "version": alkit.__version__, "commit": commit(),
    }  # fmt: skip


def main() -> None:
    """Compare, print and append rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, help="CSV file to append to")
    options = parser.parse_args()
    for name in options.sets:
        for seed in options.seeds:
            row = compare(name, seed)
            print(
                "{set:8} seed {seed}: cost x {ratio}, CPU {cpu_s} s, before {former_cpu_s} s".format(**row), flush=True
            )
            if options.out:
                append(options.out, [row])


if __name__ == "__main__":
    main()
