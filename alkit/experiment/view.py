"""The view of an experiment that strategies get."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alkit.experiment.model import LastModel
from alkit.experiment.representations import Representations
from alkit.features.of_learner import OfLearner
from alkit.protocols import FeatureExtractor, HasDigests, Sampler
from alkit.samplers import DETERMINISTIC
from alkit.values.clusters import Clusters
from alkit.values.limit import Limit
from alkit.values.predictions import Predictions

if TYPE_CHECKING:
    from alkit.protocols import Reduction, Score


@dataclass(frozen=True)
class PoolView:
    """The state of an experiment before a round's selection: see :class:`alkit.protocols.View`."""

    candidates: tuple[str, ...]
    labelled: tuple[str, ...]
    round: int
    _representations: Representations = field(repr=False)
    _model: LastModel = field(repr=False)  # read from the record when it is first asked
    limits: tuple[Limit, ...] = field(default=(), repr=False)
    """Limits by the rules of the record, which a strategy may keep by itself."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids of the pool, sorted."""
        return self._representations.ids

    def digests(self) -> Mapping[str, str]:
        """Return a text for each id; equal texts mean identical images. Empty if the pool has no digests."""
        pool = self._representations.pool
        return pool.digests() if isinstance(pool, HasDigests) else {}

    def seconds(self) -> Mapping[str, float]:
        """Return the expected seconds for a label of each candidate; empty if no time of a label is known."""
        return self._model.seconds(self.candidates)

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row per image of :attr:`ids`, ``(len(ids), d)``, read-only."""
        if isinstance(extractor, OfLearner):
            return self._model.features()
        return self._representations.features(extractor)

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the whole pool."""
        if isinstance(extractor, OfLearner):
            return self._model.clusters(k)
        return self._representations.clusters(extractor, k)

    def scores(
        self, score: Score, sampler: Sampler | None = None, reduction: Reduction | None = None
    ) -> Mapping[str, float]:
        """Return the acquisition score of each candidate."""
        from alkit.scores.reductions import mean  # imports torch, which strategies without scores do not need

        return self._model.scoring().scores(self.candidates, score, sampler or DETERMINISTIC, reduction or mean)

    def predictions(self) -> Iterator[Predictions]:
        """Yield the last model's predictions of the candidates, in batches, without padding and surroundings."""
        return self._model.predictions(self.candidates)
