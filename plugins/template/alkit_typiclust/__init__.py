"""TypiClust: label the most typical image of each large cluster that has no label yet.

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
from alkit.errors import ConfigurationError, SelectionError
from alkit.features import kmeans
from alkit.protocols import FeatureExtractor
from alkit.values import Clusters
from scipy.spatial.distance import cdist

BLOCK = 256
"""Rows whose distances are held at once, so that memory does not grow with the square of a cluster's size."""


def _reconstruction() -> FeatureExtractor:
    from alkit import Reconstruction  # brings torch, which listing the strategies does not need

    return Reconstruction()


@dataclass(frozen=True)
class TypiClust:
    """Take the most typical image of each cluster without a label, the largest cluster first.

    Needs no labels and no trained model, so it chooses the start set too. It is made for small budgets.

    Parameters
    ----------
    features:
        What describes the images; it is fitted on the whole pool. Default: :class:`alkit.Reconstruction`.
    neighbours:
        K of the typicality, 1 / (mean L2 distance to the K nearest images of the same cluster), at least 1; all the
        others in a cluster of K images or fewer. The paper has 20 (default).
    max_clusters:
        The pool is clustered into as many clusters as there are labels and new queries together, but into no more
        than this, at least 1. The paper has 500 (default).

    Raises
    ------
    ConfigurationError
        Features that cannot be fitted, or a number below 1.

    Notes
    -----
    Choices where the paper is silent, and deviations from it:

    - in each round the next image is taken from the cluster with the fewest labels, those just chosen counted in, and
      of equal ones from the largest. While there are clusters without a label, that is the paper's rule; it goes on
      where there are none, as there are with more labels than `max_clusters`;
    - the authors' code leaves out clusters of fewer than 5 images. Here they stay, and come last by their size: an
      exact batch needs them where a pool is small;
    - the nearest images are looked for among all of the cluster, labelled ones too: a label makes nobody less typical;
    - K-means is alkit's, for any number of clusters; the paper takes mini-batches from 50 clusters on;
    - an image that was asked for and has no label, such as a skipped one, does not cover its cluster;
    - ties of typicality go by id, those of size to the cluster with the smallest id.

    All chance lies in the first centres of K-means and comes from the round's generator. A cluster of m images costs
    m^2 distances, of the clusters that are chosen from alone.

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
        if not callable(getattr(self.features, "fit", None)):
            raise ConfigurationError(
                "features is no feature extractor", got=repr(self.features), expected="such as alkit.Reconstruction()"
            )
        for name in ("neighbours", "max_clusters"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"{name} is no number to count with", got=repr(value), expected="a whole number, 1 or more"
                )

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates, the one of the largest cluster without a label first."""
        if not 0 <= n <= len(view.candidates):
            raise SelectionError("there are not so many candidates", got=n, expected=f"0 to {len(view.candidates)}")
        if n == 0:
            return Selection(())
        rows = view.features(self.features)
        clusters = kmeans(rows, view.ids, min(len(view.labelled) + n, self.max_clusters), rng)
        cluster_of = dict(zip(clusters.ids, clusters.labels.tolist(), strict=True))
        labels = Counter(cluster_of[id] for id in view.labelled)
        unasked = Counter(cluster_of[id] for id in view.candidates)
        waiting: dict[int, list[str]] = {}  # the candidates of each cluster visited, the most typical last
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
        """Return the candidates of a cluster, the most typical first; ties go by id."""
        members = np.flatnonzero(clusters.labels == cluster)
        far = mean_distances(rows[members], self.neighbours).tolist()
        found = zip(far, (clusters.ids[row] for row in members), strict=True)
        return [id for _, id in sorted(found) if id in candidates]


def mean_distances(rows: npt.NDArray[np.float32], neighbours: int) -> npt.NDArray[np.float64]:
    """Return the mean L2 distance of each row to its nearest other rows: the inverse of its typicality.

    Parameters
    ----------
    rows:
        ``(m, d)``, finite, m at least 1.
    neighbours:
        How many of the others count, at least 1; all where there are fewer.

    Returns
    -------
    ndarray
        ``(m,)``, float64, in the unit of the features; 0 for a row that is alone.

    Examples
    --------
    >>> mean_distances(np.array([[0], [1], [3]], dtype=np.float32), neighbours=2)
    array([2. , 1.5, 2.5])
    """
    k = min(neighbours, len(rows) - 1)
    means = np.zeros(len(rows))
    for start in range(0, len(rows) if k else 0, BLOCK):
        distances = cdist(rows[start : start + BLOCK], rows)
        # The nearest of all is the row itself. Sorted, equal distances have equal means, to the last bit.
        nearest = np.sort(np.partition(distances, k, axis=1)[:, : k + 1], axis=1)[:, 1:]
        means[start : start + BLOCK] = nearest.mean(axis=1)
    return means


__all__ = ["TypiClust", "mean_distances"]
