"""Centroids: label the image nearest to each centre of as many clusters as images are wanted.

References
----------
Zhdanov. "Diverse mini-batch Active Learning". 2019, arXiv 1901.05954, section 3, without its weights, because there is
no model before the first label. Bodó, Minier, Csató. "Active Learning with Clustering". JMLR W&CP 16, 2011, label the
images nearest to the centres of K-means too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from alkit import Selection, View
from alkit.checks import check_integer
from alkit.features import check_extractor
from alkit.protocols import FeatureExtractor
from alkit.strategies import Picks, pick_by_cluster

from .default_features import default_features


@dataclass(frozen=True)
class Centroids:
    """Select the candidate nearest to the centre of each cluster without a label, the largest cluster first.

    The strategy needs neither labels nor a trained model, so it can select the start set too.

    Parameters
    ----------
    features:
        Feature extractor, fitted on the whole pool. Default: :class:`alkit.features.Pretrained`, which needs
        ``pip install 'alkit[pretrained]'``.
    max_clusters:
        Largest number of clusters, an integer >= 1. The pool is clustered into as many clusters as there are labels
        and new queries together, up to this number. Default: 1000.

    Raises
    ------
    ConfigurationError
        `features` is not a feature extractor, or `max_clusters` is out of range.

    Notes
    -----
    Choices, because the papers do not specify these points:

    - labelled images count: with L of them, the whole pool is clustered into L + n clusters, and a cluster with a
      labelled image is covered. At least n clusters are not covered, and the n largest of these are selected from;
    - the next image comes from the cluster with the fewest labels, including the images selected so far. This also
      defines the selection when every cluster has a label or an image selected: with more than `max_clusters` labels
      and queries, with fewer different images than clusters, or if a cluster has no candidate left;
    - the image nearest to a centre is searched in the cluster, and among its candidates only;
    - the clusters belong to the experiment's record, and do not use `rng`. Each round has its own, because their number
      differs;
    - ties of distance are broken by id, ties of size by the smallest id in the cluster.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from alkit.values import Clusters
    >>> ids = ("a", "b", "c", "d", "e")
    >>> rows = np.array([[0], [1], [2.5], [90], [91]], dtype=np.float32)
    >>> found = Clusters(ids, np.array([0, 0, 0, 1, 1]), np.array([1.2, 0.2, 1.3, 0.5, 0.5]), k=2)
    >>> view = SimpleNamespace(
    ...     ids=ids, candidates=ids, labelled=[], features=lambda extractor: rows, clusters=lambda extractor, k: found
    ... )
    >>> chosen = Centroids().select(view, 2, np.random.default_rng(0))
    >>> chosen.ids
    ('b', 'd')
    >>> chosen.stands_for
    ('pick 1 of 2, stands for 3 images', 'pick 2 of 2, stands for 2 images')
    """

    starts_cold: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("features",)
    when_to_use: ClassVar[str] = (
        "Use it for the first labels if only typical images matter: on embeddings of MNIST, ten images "
        "reach an accuracy of .743, ten random ones .347."
    )

    features: FeatureExtractor = field(default_factory=default_features)
    max_clusters: int = 1000

    def __post_init__(self) -> None:
        check_extractor("features", self.features)
        check_integer("max_clusters", self.max_clusters, least=1)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates, that of the largest cluster without a label first, and how many each stands for.

        Raises
        ------
        SelectionError
            There are fewer than `n` candidates.
        """
        picks = Picks(view, view.features(self.features), n)
        if n == 0:
            return picks.selection()
        found = view.clusters(self.features, min(len(picks.labelled) + n, self.max_clusters))
        return pick_by_cluster(
            picks, found, lambda rows: rows[np.argsort(found.distances[rows], kind="stable")]
        ).selection()
