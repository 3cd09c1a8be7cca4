"""K-means clustering, on a CPU or a GPU: small tables by FAISS, large ones by :mod:`alkit.features.lloyd`.

The defaults of FAISS are not used. It draws the first centres uniformly, which misses true clusters, and it trains on
256 rows per centre without telling. Here the first centres of small tables come from greedy k-means++, the best of
several starts is kept, and every row counts, also in large tables.

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
from alkit.features.lloyd import find_centres
from alkit.features.search import nearest_squared
from alkit.features.tables import Float32, Float64, Integers, Table, count_distinct
from alkit.rng import keep_random
from alkit.values.clusters import Clusters
from alkit.values.ids import check_ids

SMALL = 2**20
"""Largest number of images times clusters of a small table."""

FEW, SMALL_WITH_FEW = 50, 2**22
"""With at most so many clusters, the largest number of images times clusters of a small table.

A start then costs little, and several ones that end at their optimum find lower sums than steps that save time do.
"""

SMALL_VALUES = 2**24
"""Largest number of values of a small table: 64 MiB, of which there are several copies."""

STARTS = 5
"""Number of starts of K-means for a small table. The start with the lowest sum of squared distances is kept."""

ITERATIONS = 50
"""Iterations of Lloyd's algorithm in each start."""


@checked_except("k")
def kmeans(
    features: npt.NDArray[np.float32],
    ids: Sequence[str],
    k: int,
    rng: np.random.Generator,
    device: str | None = None,
) -> Clusters:
    """Cluster images by their features.

    Parameters
    ----------
    features:
        One finite row per image, ``(N, d)`` with N and d at least 1. A large table is read in blocks, and may be a
        memory map.
    ids:
        Ids of the N rows, all different. The result keeps their order.
    k:
        Largest number of clusters, at least 1. The result has exactly ``min(k, number of different rows)`` clusters,
        each with at least one image.
    rng:
        Source of the first centres. The same state, device and number of threads give the same clusters.
    device:
        Device of torch for a large table, such as ``"cuda"`` or ``"cpu"``. None: a GPU if the work is worth it and
        torch finds one, otherwise the CPU without torch.

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
        The table is small, and faiss is not installed.

    Notes
    -----
    The paper (EMBC 2022, arXiv 2205.07021) says only "K-means". These choices are open there:

    - Rows are sorted by id first, so the result does not depend on the order of the images.
    - Features are shifted to a mean of zero and divided by a power of two, because float32 loses small differences
      between large numbers. Distances have the unit of the features.
    - The nearest centre of each row and its distance are computed in float64.
    - A cluster that is empty in the end gets the image that is farthest from its centre.
    - A table is small if N k <= 2^20, or 2^22 with at most 50 clusters, and N d <= 2^24. It is clustered by FAISS, in
      five starts of 50 iterations. The first centres come from k-means++ with several candidates per step, by
      scikit-learn, because only the latest versions of FAISS have k-means++.
    - A large table is clustered by :mod:`alkit.features.lloyd`, which reaches sums of squared distances as low as those
      of five starts: see ``benchmarks/results/kmeans.csv``. It needs little memory: the table is not copied.

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
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__))
    in_order = bool((np.diff(by_id) == 1).all())
    table = Table(features, None if in_order else by_id, lambda row: f"features of {ids[row]!r}")
    if len(ids) * k <= (SMALL_WITH_FEW if k <= FEW else SMALL) and features.size <= SMALL_VALUES:
        labels, squared, unit = _cluster_small(table.take(slice(None)), k, rng)
    else:
        k = count_distinct(table, up_to=k)
        (labels, squared), unit = fill_clusters(table, find_centres(table, k, rng, device), device), 1.0
    # Rows are sorted by id, so the first row of a cluster has its smallest id.
    _, first, size = np.unique(labels, return_index=True, return_counts=True)
    number = np.empty(len(size), dtype=np.int64)
    number[np.lexsort((first, -size))] = np.arange(len(size))

    given = np.empty(len(ids), dtype=np.int64)  # for each given id its place in the sorted order
    given[by_id] = np.arange(len(ids))
    return Clusters(ids, number[labels][given], (np.sqrt(squared) * unit)[given], len(size))


def _cluster_small(features: Float32, k: int, rng: np.random.Generator) -> tuple[Integers, Float64, float]:
    """Return the cluster of each row, its squared distance to the centre, and the unit of the distance."""
    rows, unit = _centre(features)
    table = Table(rows)
    return *fill_clusters(table, _centres(rows, count_distinct(table, up_to=k), rng)), unit


def _centre(features: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
    """Return the rows minus their mean, divided by a power of two to be in [-2, 2], and that power of two."""
    exponent = int(np.frexp(max(features.max(), -features.min()))[1])
    rows = np.ldexp(features, -exponent)
    rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return rows, 2.0**exponent


def _centres(rows: npt.NDArray[np.float32], k: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the centres of the best start, ``(k, d)``."""
    with keep_random():
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


def fill_clusters(
    table: Table, centres: npt.NDArray[np.floating], device: str | None = None
) -> tuple[Integers, Float64]:
    """Return the nearest centre of each row and its squared distance, after each empty cluster has got a row.

    The centre of an empty cluster moves to the row that is farthest from its nearest centre. There are at least k
    different rows, so this distance is not zero, and the cluster keeps the row. So at most k moves are necessary.
    """
    labels, squared = nearest_squared(table, centres, device)
    for _ in centres:
        empty = np.setdiff1d(np.arange(len(centres)), labels)
        if not len(empty):
            break
        far = int(squared.argmax())
        _, from_far = nearest_squared(table, table.take(slice(far, far + 1)), device)
        nearer = (from_far < squared) | ((from_far == squared) & (empty[0] < labels))
        labels[nearer], squared[nearer] = empty[0], from_far[nearer]
    return labels, squared


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as absent:
        raise MissingDependencyError(
            "faiss is not installed, and K-means needs it", hint="pip install 'alkit[cpu]' or 'alkit[gpu]'"
        ) from absent
    return faiss
