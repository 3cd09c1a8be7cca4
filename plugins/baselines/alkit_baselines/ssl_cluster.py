"""SSL-cluster: label what lies in the middle of the clusters that self-supervised features form.

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
from alkit.errors import ConfigurationError, SelectionError
from alkit.protocols import FeatureExtractor
from alkit.strategies import cluster_order, stands_for


def _reconstruction() -> FeatureExtractor:
    from alkit import Reconstruction  # brings torch, which listing the strategies does not need

    return Reconstruction()


@dataclass(frozen=True)
class SSLCluster:
    """Take from each cluster of the pool its share of the budget, the images nearest to the centre first.

    Needs no labels and no trained model, so it chooses the start set too; later rounds go on from there.

    Parameters
    ----------
    features:
        What describes the images; it is fitted on the whole pool. Default: :class:`alkit.Reconstruction`, the
        paper's pretext, with its 2 x 2 pooling (2048 numbers per image of 256 x 256). Give the one that also
        warm-starts the learner, and it is trained once.
    clusters:
        K of K-means, at least 1; the paper has 10 (default) and 5.

    Raises
    ------
    ConfigurationError
        Fewer than one cluster.

    Notes
    -----
    Choices where the paper is silent:

    - the pool is clustered once, and every round sees the same clusters;
    - the paper's quota, ceil(C N_i / N) of cluster i, can sum to more than C. The images within the quotas
      are those with r / N_i < C / N, where r is the rank in the cluster by distance to its centre; the pool
      is ordered by r / N_i and cut at the number asked for (:func:`alkit.strategies.ordering.cluster_order`). So sizes
      are exact, nothing is chosen twice, and the start set with the rounds after it is what one larger start
      set would have been;
    - what others have already taken is passed over: the next candidates of the order are chosen;
    - with fewer different images than clusters, there are as many clusters as different images.

    No chance of its own: the generator is not used. Chance lies in the features and in K-means.

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

    features: FeatureExtractor = field(default_factory=_reconstruction)
    clusters: int = 10

    def __post_init__(self) -> None:
        if not callable(getattr(self.features, "fit", None)):
            raise ConfigurationError(
                "features is no feature extractor", got=repr(self.features), expected="such as alkit.Reconstruction()"
            )
        if isinstance(self.clusters, bool) or not isinstance(self.clusters, int) or self.clusters < 1:
            raise ConfigurationError(
                "there is no such number of clusters", got=repr(self.clusters), expected="a whole number, 1 or more"
            )

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the next `n` candidates of the cluster order, and which cluster each stands for.

        Raises
        ------
        SelectionError
            There are fewer candidates.
        """
        found = view.clusters(self.features, self.clusters)
        candidates = set(view.candidates)
        if not 0 <= n <= len(candidates):
            raise SelectionError("there are not so many images", got=n, expected=f"0 to {len(candidates)}")
        chosen = [id for id in cluster_order(found) if id in candidates][:n]
        meanings = stands_for(found)
        return Selection(tuple(chosen), stands_for=tuple(meanings[id] for id in chosen))
