"""SSL-cluster: label the images nearest to the centres of clusters of self-supervised features.

References
----------
Zhao, Lu, Zeng, Xu, Veeravalli, Guan. "Self-supervised Assisted Active Learning for Skin Lesion Segmentation".
EMBC 2022, arXiv 2205.07021, section II.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from alkit import Selection, View
from alkit.checks import check_integer
from alkit.features import check_extractor
from alkit.protocols import FeatureExtractor
from alkit.strategies import check_n, cluster_order, stands_for


def _reconstruction() -> FeatureExtractor:
    from alkit import Reconstruction  # imports torch, so not before an instance is made

    return Reconstruction()


@dataclass(frozen=True)
class SSLCluster:
    """Select a share of the budget from each cluster of the pool, the images nearest to the cluster's centre first.

    The strategy needs neither labels nor a trained model, so it can select the start set too.

    Parameters
    ----------
    features:
        Feature extractor, fitted on the whole pool. Default: :class:`alkit.Reconstruction`, the paper's pretext task,
        with 2 x 2 pooling (2048 features per image of 256 x 256 pixels). Pass the instance that also warm-starts the
        learner, and it is trained only once.
    clusters:
        Number of clusters K of K-means, an integer >= 1. The paper uses 10 (default) and 5.

    Raises
    ------
    ConfigurationError
        `features` is not a feature extractor, or `clusters` is out of range.

    Notes
    -----
    Choices, because the paper does not specify these points:

    - the pool is clustered once, and every round uses the same clusters;
    - the paper's quotas, ceil(C N_i / N) images of cluster i, can sum to more than the budget C. Here the pool is
      ordered by r / N_i, the rank in the cluster by distance to the centre over the cluster's size, and the order is
      cut after C images (:func:`alkit.strategies.cluster_order`). So every selection has the exact size, and a start
      set with later rounds equals one larger start set;
    - images that are no longer candidates are skipped: the next candidates in the order are selected;
    - if the pool has fewer distinct images than `clusters`, there is one cluster per distinct image.

    The strategy does not use `rng`. The features and K-means have random streams of their own.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from alkit.values import Clusters
    >>> found = Clusters(("a", "b", "c"), np.array([0, 0, 1]), np.array([0.2, 0.1, 0.0]), k=2)
    >>> view = SimpleNamespace(candidates=["a", "c"], clusters=lambda extractor, k: found)
    >>> SSLCluster(clusters=2).select(view, 1, np.random.default_rng(0)).stands_for
    ('cluster 2 of 2, 1 image, 1st nearest to its centre',)
    """

    starts_cold: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("features",)
    when_to_use: ClassVar[str] = (
        "Use it to repeat its paper: on ISIC 2017 at 64 x 64 pixels, its choice was not better than a random "
        "one from 300 labels on."
    )

    features: FeatureExtractor = field(default_factory=_reconstruction)
    clusters: int = 10

    def __post_init__(self) -> None:
        check_extractor("features", self.features)
        check_integer("clusters", self.clusters, least=1)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the next `n` candidates of the cluster order, and the cluster that each represents.

        Raises
        ------
        SelectionError
            There are fewer than `n` candidates.
        """
        found = view.clusters(self.features, self.clusters)
        candidates = set(view.candidates)
        check_n(n, candidates)
        chosen = [id for id in cluster_order(found) if id in candidates][:n]
        meanings = stands_for(found)
        return Selection(tuple(chosen), stands_for=tuple(meanings[id] for id in chosen))
