"""K-means clustering by FAISS, on a CPU, or on GPUs if the installed faiss supports them.

The defaults of FAISS are not used. It draws the first centres uniformly, which misses true clusters, and it trains on
256 rows per centre without telling. Here the first centres come from greedy k-means++, the best of several starts is
kept, and every row counts.

References
----------
Arthur, Vassilvitskii. "k-means++: The Advantages of Careful Seeding". SODA 2007.
Douze et al. "The Faiss Library". 2024, arXiv 2401.08281.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked_except
from alkit.checks import check_integer
from alkit.errors import DataError, MissingDependencyError
from alkit.values.clusters import Clusters
from alkit.values.ids import check_ids

STARTS = 5
"""Number of starts of K-means. The start with the lowest sum of squared distances is kept."""

ITERATIONS = 50
"""Iterations of Lloyd's algorithm in each start."""


@checked_except("k")
def kmeans(features: npt.NDArray[np.float32], ids: Sequence[str], k: int, rng: np.random.Generator) -> Clusters:
    """Cluster images by their features.

    Parameters
    ----------
    features:
        One finite row per image, ``(N, d)`` with N and d at least 1.
    ids:
        Ids of the N rows, all different. The result keeps their order.
    k:
        Largest number of clusters, at least 1. The result has exactly ``min(k, number of different rows)`` clusters,
        each with at least one image.
    rng:
        Source of the first centres. The same state and number of threads give the same clusters.

    Returns
    -------
    Clusters
        Each image is in the cluster with the nearest centre. Clusters are numbered by size, the largest first, and at
        equal sizes by their smallest id.

    Raises
    ------
    DataError
        `features` are not an ``(N, d)`` array, a row is not finite, or `ids` are not N different strings.
    ConfigurationError
        `k` is not an integer >= 1.
    MissingDependencyError
        faiss is not installed.

    Notes
    -----
    The paper (EMBC 2022, arXiv 2205.07021) says only "K-means". These choices are open there:

    - Rows are sorted by id first, so the result does not depend on the order of the images.
    - Features are shifted to a mean of zero and divided by a power of two, because the float32 arithmetic of FAISS
      loses small differences between large numbers. Distances have the unit of the features.
    - There are five starts of 50 iterations. The first centres come from k-means++ with several candidates per step, by
      scikit-learn, because only the latest versions of FAISS have k-means++.
    - The centres come from FAISS. The nearest centre of each row and its distance are computed in float64.
    - A cluster that is empty in the end gets the image that is farthest from its centre.

    Examples
    --------
    >>> features = np.array([[0, 0], [9, 9], [0, 1], [1, 0]], dtype=np.float32)
    >>> clusters = kmeans(features, ["a", "b", "c", "d"], k=2, rng=np.random.default_rng(0))
    >>> clusters.labels
    array([0, 1, 0, 0])
    >>> clusters.sizes
    array([3, 1])
    """
    ids = check_ids(ids)
    features = np.asarray(features, dtype=np.float32)
    if features.ndim != 2 or len(features) != len(ids) or features.size == 0:
        raise DataError(
            "features must be an array (N, d) with one row for each of N ids, N >= 1 and d >= 1",
            got=f"shape {features.shape} and {len(ids)} ids",
        )
    k = check_integer("k", k, least=1)
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise DataError(
            f"features of {ids[bad]!r} must be finite",
            got=features[bad][~np.isfinite(features[bad])][0],
            hint="a look at this image, and at the training loss of the feature extractor",
        )

    by_id = sorted(range(len(ids)), key=ids.__getitem__)
    rows, unit = _centre(features[by_id])
    k = _count_distinct(rows, up_to=k)
    squared = fill_clusters(rows, _centres(rows, k, rng))
    labels = squared.argmin(axis=1)
    # Rows are sorted by id, so the first row of a cluster has its smallest id.
    _, first, size = np.unique(labels, return_index=True, return_counts=True)
    number = np.empty(k, dtype=np.int64)
    number[np.lexsort((first, -size))] = np.arange(k)

    given = np.empty(len(ids), dtype=np.int64)  # for each given id its place in the sorted order
    given[by_id] = np.arange(len(ids))
    return Clusters(ids, number[labels][given], (np.sqrt(squared.min(axis=1)) * unit)[given], k)


def _centre(features: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
    """Return the rows minus their mean, divided by a power of two to be in [-2, 2], and that power of two."""
    exponent = int(np.frexp(max(features.max(), -features.min()))[1])
    rows = np.ldexp(features, -exponent)
    rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return rows, 2.0**exponent


def _count_distinct(rows: npt.NDArray[np.float32], up_to: int) -> int:
    """Return the number of different rows, but at most `up_to`."""
    seen = set[bytes]()
    for row in rows:
        seen.add((row + np.float32(0)).tobytes())  # the sum turns -0.0 into 0.0
        if len(seen) == up_to:
            break
    return len(seen)


def _centres(rows: npt.NDArray[np.float32], k: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the centres of the best start, ``(k, d)``."""
    from sklearn.cluster import kmeans_plusplus

    faiss = _faiss()

    def run(seed: int) -> tuple[float, npt.NDArray[np.float32]]:
        first, _ = kmeans_plusplus(rows, k, random_state=seed)
        search = faiss.Kmeans(
            rows.shape[1],
            k,
            niter=ITERATIONS,
            seed=seed,
            min_points_per_centroid=1,  # no warning
            max_points_per_centroid=len(rows),  # no subsampling
            gpu=hasattr(faiss, "get_num_gpus") and faiss.get_num_gpus() > 0,
        )
        return search.train(rows, init_centroids=first), search.centroids.copy()

    return min(map(run, rng.integers(2**31, size=STARTS).tolist()), key=itemgetter(0))[1]


def fill_clusters(rows: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return squared distances to the centres, ``(N, k)``, after each empty cluster has got a row.

    The centre of an empty cluster moves to the row that is farthest from its nearest centre. There are at least k
    different rows, so this distance is not zero, and the cluster keeps the row. So at most k moves are necessary.
    """
    squared = _squared_distances(rows, centres)
    for _ in centres:
        empty = np.setdiff1d(np.arange(len(centres)), squared.argmin(axis=1))
        if not len(empty):
            break
        centre = rows[squared.min(axis=1).argmax()]
        squared[:, empty[0]] = _squared_distances(rows, centre[None])[:, 0]
    return squared


def _squared_distances(rows: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the squared L2 distance of each row to each centre, ``(N, k)``, in float64."""
    squared = np.empty((len(rows), len(centres)))
    step = max(1, 2**18 // rows.shape[1])  # a block of 2 MB
    for start in range(0, len(rows), step):
        block = rows[start : start + step].astype(np.float64)
        for column, centre in enumerate(centres):
            difference = block - centre
            squared[start : start + step, column] = np.einsum("nd,nd->n", difference, difference)
    return squared


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as absent:
        raise MissingDependencyError(
            "faiss is not installed, and K-means needs it", hint="pip install 'alkit[cpu]' or 'alkit[gpu]'"
        ) from absent
    return faiss
