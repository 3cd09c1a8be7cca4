"""The highest scores of each cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit.checks import check_integer
from alkit.protocols import FeatureExtractor, View
from alkit.strategies.ordering import largest_remainder, top_k
from alkit.values.selection import Selection

if TYPE_CHECKING:
    pass
from alkit.strategies.asking import (
    Ranking,
    check_features,
    check_n,
    check_ranking,
    scores_by,
    start_cold,
)
from alkit.strategies.functions import needs_of


@dataclass(frozen=True)
class PerCluster:
    """From each cluster of the pool its share of the batch, the highest scores of the cluster first.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    features:
        What the images are clustered by.
    clusters:
        K of K-means, at least 1. The clusters belong to the experiment: every round sees the same.

    Notes
    -----
    Shares are in proportion to the candidates that are left in each cluster, by largest remainder.

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
        check_features(self.features)
        check_integer("clusters", self.clusters, least=1)

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can be had before there is a model."""
        return start_cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking relies on, and features."""
        return tuple(dict.fromkeys([*needs_of(self.ranking), "features"]))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the shares of all clusters, ordered by score, and which cluster each image stands for."""
        check_n(view, n)
        found, scores = view.clusters(self.features, self.clusters), scores_by(self.ranking, view)
        label = dict(zip(found.ids, found.labels.tolist(), strict=True))
        groups: list[list[str]] = [[] for _ in range(found.k)]
        for id in view.candidates:
            groups[label[id]].append(id)
        chosen: list[str] = []
        for members, share in zip(groups, largest_remainder(n, [len(group) for group in groups]), strict=True):
            chosen += top_k(members, [scores[id] for id in members], share)
        ids = top_k(chosen, [scores[id] for id in chosen], len(chosen))
        return Selection(
            ids,
            scores=tuple(scores[id] for id in ids),
            stands_for=tuple(
                f"cluster {label[id] + 1} of {found.k}, {len(groups[label[id]])} candidates" for id in ids
            ),
        )
