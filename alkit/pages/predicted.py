"""Predictions of the last model of a campaign for images of the pool, without an experiment, which might write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from alkit.arguments.returned import check_returned
from alkit.configuration.construct import build
from alkit.errors import ConfigurationError
from alkit.pages.campaign import Campaign
from alkit.pools.batches import batches
from alkit.protocols import Predictor
from alkit.sharing.placing import place_learner
from alkit.values.predictions import probabilities_of

Probabilities = npt.NDArray[np.float32]
"""Probability of each class, ``(classes, *space)``."""


def last_model(campaign: Campaign) -> Predictor:
    """Return the last model of a campaign.

    Raises
    ------
    ConfigurationError
        There is none, or the record cannot rebuild the learner.
    """
    last = campaign.snapshot.last_model
    if last is None:
        raise ConfigurationError("no model is trained yet")

    def load() -> Predictor:
        own = campaign.wishes.learner or build(campaign.settings.declared["learner"], "learner")
        learner = place_learner(own, "auto")
        predictor = learner.loads(campaign.record.content(last[0]))
        check_returned(learner, "loads", predictor, Predictor)
        return predictor

    return campaign.memory.recall("model", last[0], load)


def predict(campaign: Campaign, model: Predictor, ids: Sequence[str]) -> Iterator[tuple[str, Probabilities]]:
    """Yield for each image its id and the probabilities of the classes."""
    assert campaign.pool is not None
    for some in batches(list(ids), campaign.pool):
        with campaign.settings.threads():
            found = probabilities_of(model, campaign.pool.read(some), campaign.settings.spec)
        yield from zip(some, found, strict=True)
