"""A view of a table of features, so that a strategy can select without an experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from alkit.features import kmeans
from alkit.protocols import FeatureExtractor, Reduction, Sampler, Score
from alkit.values import Clusters, Predictions


@dataclass(frozen=True)
class ArrayView:
    """The state of an experiment whose features are known: see :class:`alkit.protocols.View`.

    Parameters
    ----------
    ids:
        Ids of the N images, sorted.
    table:
        Their features, ``(N, d)``, float32. Every extractor gives these.
    labelled:
        Ids that have a label, in the order of their selection.
    probabilities:
        Class probabilities by the last model, ``(N, classes)``, float32; None if there is no model.
    seed:
        Seed of the clusters that belong to the experiment.
    """

    ids: tuple[str, ...]
    table: npt.NDArray[np.float32] = field(repr=False)
    labelled: tuple[str, ...] = ()
    probabilities: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    seed: int = 0
    round: int = 0

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """Ids without a label, sorted."""
        labelled = set(self.labelled)
        return tuple(id for id in self.ids if id not in labelled)

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return the table, whatever the extractor is."""
        return self.table

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return K-means clusters of the table."""
        return kmeans(self.table, self.ids, k, np.random.default_rng([self.seed, k]))

    def scores(
        self, score: Score, sampler: Sampler | None = None, reduction: Reduction | None = None
    ) -> Mapping[str, float]:
        """Return the score of each candidate. Only scores that need the mean prediction are supported."""
        (given,) = self.predictions()
        values = score(mean=torch.from_numpy(given.probabilities))
        return dict(zip(given.ids, values.tolist(), strict=True))

    def predictions(self) -> Iterator[Predictions]:
        """Yield the predictions of the candidates, in one batch."""
        if self.probabilities is None:
            raise ValueError("this view does not have a model")
        rows = np.searchsorted(self.ids, self.candidates)
        yield Predictions(self.candidates, self.probabilities[rows])
