"""TypiClust: label the most typical image of each large cluster without a label.

References
----------
Hacohen, Dekel, Weinshall. "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets". ICML 2022,
arXiv 2202.02794, section 3 and the appendix on implementation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from alkit import Selection, View
from alkit.checks import check_integer
from alkit.features import by_typicality, check_extractor
from alkit.protocols import FeatureExtractor
from alkit.strategies import Picks, pick_by_cluster

from .default_features import default_features


@dataclass(frozen=True)
class TypiClust:
    """Select the most typical image of each cluster without a label, the largest cluster first.

    The strategy needs neither labels nor a trained model, so it can select the start set too. It is made for small
    budgets.

    Parameters
    ----------
    features:
        Feature extractor, fitted on the whole pool. Default: :class:`alkit.features.Pretrained`, which needs
        ``pip install 'alkit[pretrained]'``.
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
    - the clusters belong to the experiment's record, and do not use `rng`. Each round has its own, because their number
      differs;
    - an image that was queried and has no label, such as a skipped image, does not count as a label of its cluster;
    - images that are identical to a labelled or selected one come last (:class:`alkit.strategies.Picks`), although
      they are the most typical of all;
    - ties of typicality are broken by id, ties of size by the smallest id in the cluster.

    A cluster of m images costs m^2 products in float32; only clusters that images are selected from are computed.

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
    >>> chosen = TypiClust().select(view, 2, np.random.default_rng(0))
    >>> chosen.ids
    ('b', 'd')
    >>> chosen.stands_for
    ('pick 1 of 2, stands for 3 images', 'pick 2 of 2, stands for 2 images')
    """

    starts_cold: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("features",)
    when_to_use: ClassVar[str] = (
        "Use it for the first labels if typical images matter most: on embeddings of MNIST, 40 images reach"
        " an accuracy of .744, 40 random ones .613."
    )

    features: FeatureExtractor = field(default_factory=default_features)
    neighbours: int = 20
    max_clusters: int = 500

    def __post_init__(self) -> None:
        check_extractor("features", self.features)
        check_integer("neighbours", self.neighbours, least=1)
        check_integer("max_clusters", self.max_clusters, least=1)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates, that of the largest cluster without a label first, and how many each stands for.

        Raises
        ------
        SelectionError
            There are fewer than `n` candidates.
        """
        rows = view.features(self.features)
        picks = Picks(view, rows, n)
        if n == 0:
            return picks.selection()
        found = view.clusters(self.features, min(len(picks.labelled) + n, self.max_clusters))
        return pick_by_cluster(picks, found, lambda members: by_typicality(rows, members, self.neighbours)).selection()
