"""K-means behind FAISS, on a CPU or on GPUs, whichever the installed faiss has.

FAISS's own defaults are not used: it draws its first centres uniformly, and so misses true clusters, and it
trains on 256 rows per centre without saying so. Here the first centres come from greedy k-means++, the best
of several starts is kept, and every row counts.

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

from alkit.errors import ConfigurationError, DataError, MissingDependencyError
from alkit.values.clusters import Clusters, check_ids

STARTS = 5
"""How often K-means starts anew; the start with the lowest sum of squared distances is kept."""

ITERATIONS = 50
"""Steps of Lloyd's algorithm in each start."""


def kmeans(features: npt.NDArray[np.float32], ids: Sequence[str], k: int, rng: np.random.Generator) -> Clusters:
    """Group images by their features.

    Parameters
    ----------
    features:
        ``(N, d)``, one finite row per image.
    ids:
        The N ids of the rows, different from each other. The result keeps their order.
    k:
        Clusters wanted. There are fewer where there is less to tell apart: exactly
        ``min(k, number of different rows)``, each with at least one image.
    rng:
        Gives the first centres. The same state, at the same number of threads, gives the same clusters.

    Returns
    -------
    Clusters
        Numbered by size, the largest first, and at equal sizes by the smallest id: not by FAISS. Each image
        is in the cluster whose centre is nearest to it.

    Raises
    ------
    DataError
        Features that are no ``(N, d)`` array with N and d at least 1, ids of another number or repeated, or a
        row that is not finite.
    ConfigurationError
        `k` below 1.
    MissingDependencyError
        No faiss is installed.

    Notes
    -----
    Choices, where the paper (EMBC 2022, arXiv 2205.07021) says no more than "K-means":

    - rows are put into the order of their ids first, so the order in which images are given does not matter;
    - features are shifted to a mean of zero and divided by a power of two before FAISS sees them, because its
      float32 arithmetic loses small differences between large numbers; distances keep the features' unit;
    - the first centres are k-means++ with several candidates per step (scikit-learn), as FAISS has k-means++
      in its latest versions only; five starts of 50 steps;
    - centres are FAISS's; who is nearest to which, and how far, is computed anew in float64;
    - a cluster that ends up empty takes the image farthest from its centre as its own.

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
            "features and ids do not go together",
            got=f"features of shape {features.shape} and {len(ids)} ids",
            expected="one row of at least one feature per id, and at least one id",
        )
    if k < 1:
        raise ConfigurationError("there is no such number of clusters", got=k, expected="1 or more")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise DataError(
            f"the features of {ids[bad]!r} are not finite",
            got=features[bad][~np.isfinite(features[bad])][0],
            hint="look at that image, and at the extractor's training loss",
        )

    by_id = sorted(range(len(ids)), key=ids.__getitem__)
    rows, unit = _centred(features[by_id])
    k = _distinct(rows, up_to=k)
    squared = _all_in_use(rows, _centres(rows, k, rng))
    labels = squared.argmin(axis=1)
    # Rows are in id order, so that the first row of a cluster is its smallest id.
    _, first, size = np.unique(labels, return_index=True, return_counts=True)
    number = np.empty(k, dtype=np.int64)
    number[np.lexsort((first, -size))] = np.arange(k)

    given = np.empty(len(ids), dtype=np.int64)  # from id order back to the order given
    given[by_id] = np.arange(len(ids))
    return Clusters(ids, number[labels][given], (np.sqrt(squared.min(axis=1)) * unit)[given], k)


def _centred(features: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
    """Return the rows around their mean, in [-2, 2], and the unit, a power of two, in which they now are."""
    exponent = int(np.frexp(max(features.max(), -features.min()))[1])
    rows = np.ldexp(features, -exponent)
    rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return rows, 2.0**exponent


def _distinct(rows: npt.NDArray[np.float32], up_to: int) -> int:
    """Count different rows, but stop at `up_to`."""
    seen = set[bytes]()
    for row in rows:
        seen.add((row + np.float32(0)).tobytes())  # the sum turns -0.0 into 0.0
        if len(seen) == up_to:
            break
    return len(seen)


def _centres(rows: npt.NDArray[np.float32], k: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the centres, ``(k, d)``, of the best start."""
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


def _all_in_use(rows: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return squared distances, ``(N, k)``, to the centres once each is the nearest centre of some row.

    An idle centre moves onto the row that is farthest from its nearest one. As there are at least k different
    rows, that distance is not zero; the centre keeps this row from then on, so at most k moves are needed.
    """
    squared = _squared_distances(rows, centres)
    for _ in centres:
        idle = np.setdiff1d(np.arange(len(centres)), squared.argmin(axis=1))
        if not len(idle):
            break
        centre = rows[squared.min(axis=1).argmax()]
        squared[:, idle[0]] = _squared_distances(rows, centre[None])[:, 0]
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
            "K-means needs faiss, which is not installed", hint="pip install 'alkit[cpu]' or 'alkit[gpu]'"
        ) from absent
    return faiss
