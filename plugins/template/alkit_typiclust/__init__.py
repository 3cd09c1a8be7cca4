"""TypiClust: label the most typical image of each large cluster without a label.

References
----------
Hacohen, Dekel, Weinshall. "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets". ICML 2022,
arXiv 2202.02794, section 3 and the appendix on implementation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from alkit import Selection, View
from alkit.checks import check_integer
from alkit.features import check_extractor, kmeans
from alkit.protocols import FeatureExtractor
from alkit.strategies import check_n
from alkit.values import Clusters
from scipy.spatial.distance import cdist

BLOCK = 256
"""Number of rows whose distances are in memory at once; otherwise memory would grow as the square of a cluster."""


def _reconstruction() -> FeatureExtractor:
    from alkit import Reconstruction  # imports torch, so not before an instance is made

    return Reconstruction()


@dataclass(frozen=True)
class TypiClust:
    """Select the most typical image of each cluster without a label, the largest cluster first.

    The strategy needs neither labels nor a trained model, so it can select the start set too. It is made for small
    budgets.

    Parameters
    ----------
    features:
        Feature extractor, fitted on the whole pool. Default: :class:`alkit.Reconstruction`.
    neighbours:
        Number of neighbours K in the typicality, 1 / (mean L2 distance to the K nearest images of the same cluster),
        an integer >= 1. In a cluster of at most K images, all other images count. The paper uses 20 (default).
    max_clusters:
        Largest number of clusters, an integer >= 1. The pool is clustered into as many clusters as there are labels
        and new queries together, up to this number. The paper uses 500 (default).

    Raises
    ------
    ConfigurationError
        `features` is not a feature extractor, or a number is out of range.

    Notes
    -----
    Choices, because the paper does not specify these points, and deviations:

    - the next image comes from the cluster with the fewest labels, including the images selected so far; among equal
      clusters, from the largest. While some clusters have no label, this is the paper's rule. It also defines the
      selection when every cluster has a label, for example with more labels than `max_clusters`;
    - deviation: the authors' code leaves out clusters of fewer than 5 images. Here they come last, because a small
      pool needs them for a batch of the exact size;
    - the nearest images are searched among all images of the cluster, labelled ones included;
    - deviation: K-means is alkit's, for any number of clusters; the paper uses mini-batch K-means from 50 clusters on;
    - an image that was queried and has no label, such as a skipped image, does not count as a label of its cluster;
    - ties of typicality are broken by id, ties of size by the smallest id in the cluster.

    The only random step is the initialisation of K-means, which uses `rng`. A cluster of m images costs m^2 distances;
    only clusters that images are selected from are computed.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> ids = ["a", "b", "c", "d", "e"]
    >>> rows = np.array([[0], [1], [2.5], [90], [91]], dtype=np.float32)
    >>> view = SimpleNamespace(ids=ids, candidates=ids, labelled=[], features=lambda extractor: rows)
    >>> chosen = TypiClust().select(view, 2, np.random.default_rng(0))
    >>> chosen.ids
    ('b', 'd')
    >>> chosen.stands_for[0]
    'cluster 1 of 2, 3 images, 0 labelled before: its most typical candidate'
    """

    starts_cold: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("features",)

    features: FeatureExtractor = field(default_factory=_reconstruction)
    neighbours: int = 20
    max_clusters: int = 500

    def __post_init__(self) -> None:
        check_extractor("features", self.features)
        check_integer("neighbours", self.neighbours, least=1)
        check_integer("max_clusters", self.max_clusters, least=1)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates, that of the largest cluster without a label first."""
        check_n(n, view.candidates)
        if n == 0:
            return Selection(())
        rows = view.features(self.features)
        clusters = kmeans(rows, view.ids, min(len(view.labelled) + n, self.max_clusters), rng)
        cluster_of = dict(zip(clusters.ids, clusters.labels.tolist(), strict=True))
        labels = Counter(cluster_of[id] for id in view.labelled)
        unasked = Counter(cluster_of[id] for id in view.candidates)
        waiting: dict[int, list[str]] = {}  # candidates of each cluster visited so far, the most typical last
        chosen, meanings = [], []
        for _ in range(n):
            # Clusters are numbered by size, the largest first.
            cluster = min((c for c in unasked if unasked[c]), key=lambda c: (labels[c], c))
            if cluster not in waiting:
                waiting[cluster] = self._by_typicality(rows, clusters, cluster, set(view.candidates))[::-1]
            chosen.append(waiting[cluster].pop())
            size = int(clusters.sizes[cluster])
            meanings.append(
                f"cluster {cluster + 1} of {clusters.k}, {size} image{'s' * (size != 1)}, "
                f"{labels[cluster]} labelled before: its most typical candidate"
            )
            labels[cluster] += 1
            unasked[cluster] -= 1
        return Selection(tuple(chosen), stands_for=tuple(meanings))

    def _by_typicality(
        self, rows: npt.NDArray[np.float32], clusters: Clusters, cluster: int, candidates: set[str]
    ) -> list[str]:
        """Return the candidates of a cluster, the most typical first; ties are broken by id."""
        members = np.flatnonzero(clusters.labels == cluster)
        far = mean_distances(rows[members], self.neighbours).tolist()
        found = zip(far, (clusters.ids[row] for row in members), strict=True)
        return [id for _, id in sorted(found) if id in candidates]


def mean_distances(rows: npt.NDArray[np.float32], neighbours: int) -> npt.NDArray[np.float64]:
    """Return the mean L2 distance of each row to its nearest other rows, which is the inverse of its typicality.

    Parameters
    ----------
    rows:
        Features, ``(m, d)``, finite, m >= 1.
    neighbours:
        Number of nearest rows, an integer >= 1; all other rows if there are fewer.

    Returns
    -------
    ndarray
        ``(m,)``, float64, in the unit of the features; 0 if there is only one row.

    Examples
    --------
    >>> mean_distances(np.array([[0], [1], [3]], dtype=np.float32), neighbours=2)
    array([2. , 1.5, 2.5])
    """
    k = min(neighbours, len(rows) - 1)
    means = np.zeros(len(rows))
    for start in range(0, len(rows) if k else 0, BLOCK):
        distances = cdist(rows[start : start + BLOCK], rows)
        # The nearest row is the row itself. Sorting gives equal sets of distances equal means, to the last bit.
        nearest = np.sort(np.partition(distances, k, axis=1)[:, : k + 1], axis=1)[:, 1:]
        means[start : start + BLOCK] = nearest.mean(axis=1)
    return means


__all__ = ["TypiClust", "mean_distances"]
