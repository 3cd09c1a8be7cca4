"""What the current model sees, as features of the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NoReturn

import numpy as np

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.protocols import Pool
from alkit.values.progress import Report, quiet


@checked
@dataclass(frozen=True)
class OfLearner:
    """The features that the model of the last round computes before its head, such as the pooled maps of its encoder.

    A strategy asks for them like for any others: ``view.features(OfLearner())``. They change with every round, so they
    are computed again for each, and clusters of them belong to the round. Round 0 has no model yet, so a strategy that
    uses them does not start cold.

    Notes
    -----
    Which features these are is up to the learner's models (:class:`alkit.protocols.HasFeatures`):

    - a network that segments: the deepest map of its encoder, averaged over the pixels;
    - a network that classifies: the input of its last layer;
    - an :class:`alkit.Ensemble`: the features of all members side by side. The axes of one member mean nothing to
      another, so their mean would mix features that have nothing to do with each other;
    - a classifier of scikit-learn: the rows that it gets.

    Examples
    --------
    >>> from alkit.strategies import PerCluster, Uncertainty
    >>> strategy = PerCluster(Uncertainty("margin"), features=OfLearner(), clusters=10)
    >>> strategy.features.starts_cold, strategy.features.needs
    (False, ('model-features',))
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("model-features",)

    @checked
    def fit(self, pool: Pool, rng: np.random.Generator, report: Report = quiet) -> NoReturn:
        """Raise a :class:`ConfigurationError`: these features belong to a model, and only a view has one."""
        raise ConfigurationError(
            "OfLearner cannot be fitted on a pool, because its features are those of the last round's model",
            hint="view.features(OfLearner()) in a strategy, or another feature extractor here",
        )
