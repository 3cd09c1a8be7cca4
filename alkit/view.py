"""What a strategy sees of an experiment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from alkit.clustering import Clusters
from alkit.protocols import FeatureExtractor
from alkit.representations import Representations


@dataclass(frozen=True)
class PoolView:
    """The state of an experiment before a round's selection: see :class:`alkit.protocols.View`."""

    candidates: tuple[str, ...]
    labelled: tuple[str, ...]
    round: int
    _representations: Representations = field(repr=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids of the pool, sorted."""
        return self._representations.ids

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row per image of :attr:`ids`, ``(len(ids), d)``, read-only."""
        return self._representations.features(extractor)

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the whole pool."""
        return self._representations.clusters(extractor, k)
