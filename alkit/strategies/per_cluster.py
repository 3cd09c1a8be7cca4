"""The images with the highest scores in each cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.features.named import check_extractor
from alkit.protocols import FeatureExtractor, View
from alkit.strategies.asking import Ranking, check_ranking, scores_by, start_cold
from alkit.strategies.functions import needs_of
from alkit.strategies.ordering import check_n, highest, largest_remainder
from alkit.values.selection import Selection


@checked_except("clusters", "ranking")
@dataclass(frozen=True)
class PerCluster:
    """Select a share of the batch from each cluster of the pool: the images with the highest scores in the cluster.

    Parameters
    ----------
    ranking:
        Strategy that gives every candidate a score.
    features:
        Feature extractor whose features are clustered.
    clusters:
        Number of clusters K of K-means, an integer >= 1. The pool is clustered once; every round uses the same
        clusters.

    Raises
    ------
    ConfigurationError
        `ranking` gives no scores, `features` is not a feature extractor, or `clusters` is out of range.

    Notes
    -----
    Shares are proportional to the number of candidates left in each cluster, rounded by largest remainder.

    Examples
    --------
    >>> import alkit
    >>> from alkit.strategies import Uncertainty
    >>> pretext = alkit.Reconstruction(epochs=20)
    >>> both = PerCluster(Uncertainty(alkit.scores.entropy, alkit.Dropout(10)), pretext, clusters=10)
    >>> both.needs
    ('dropout', 'features')
    """

    ranking: Ranking
    features: FeatureExtractor
    clusters: int = 10

    def __post_init__(self) -> None:
        check_ranking(self.ranking)
        check_extractor("features", self.features)
        check_integer("clusters", self.clusters, least=1)

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can give scores without a trained model."""
        return start_cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking needs, and features."""
        return tuple(dict.fromkeys([*needs_of(self.ranking), "features"]))

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the shares of all clusters, ordered by score, and the cluster that each image represents."""
        check_n(n, view.candidates)
        found, scores = view.clusters(self.features, self.clusters), scores_by(self.ranking, view)
        label = dict(zip(found.ids, found.labels.tolist(), strict=True))
        groups: list[list[str]] = [[] for _ in range(found.k)]
        for id in view.candidates:
            groups[label[id]].append(id)
        chosen: list[str] = []
        for members, share in zip(groups, largest_remainder(n, [len(group) for group in groups]), strict=True):
            chosen += highest({id: scores[id] for id in members}, share).ids
        selection = highest({id: scores[id] for id in chosen}, n)
        words = [f"cluster {label[id] + 1} of {found.k}, {len(groups[label[id]])} candidates" for id in selection.ids]
        return replace(selection, stands_for=tuple(words))
