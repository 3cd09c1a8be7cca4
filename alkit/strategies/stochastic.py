"""Batches drawn at random by score.

References
----------
Kirsch et al. "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning". TMLR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit.errors import ConfigurationError
from alkit.protocols import View
from alkit.strategies.ordering import top_k
from alkit.values.selection import Selection

if TYPE_CHECKING:
    pass
from alkit.strategies.asking import Ranking, check_ranking, scores_by, start_cold
from alkit.strategies.functions import needs_of


@dataclass(frozen=True)
class Stochastic:
    """A batch drawn at random, the likelier the higher the score, instead of the very highest.

    Images are drawn without replacement with probability proportional to ``score ** power``, by taking the highest of
    ``power * log(score) + Gumbel noise`` (Kirsch et al. 2023, "power" acquisition). A batch of the very highest scores
    tends to be the same image many times over; a drawn one is not.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    power:
        0 is uniform over the candidates with a positive score; the higher, the closer to the very highest. Default: 1.

    Notes
    -----
    Scores of 0 or less are never drawn while there are positive ones, whatever the power, and then at random.

    Examples
    --------
    >>> import alkit
    >>> from alkit.strategies import Uncertainty
    >>> Stochastic(Uncertainty(alkit.scores.bald, alkit.Dropout(10)), power=2.0).power
    2.0
    """

    ranking: Ranking
    power: float = 1.0

    def __post_init__(self) -> None:
        check_ranking(self.ranking)
        if isinstance(self.power, bool) or not isinstance(self.power, int | float) or not 0 <= self.power < 1e9:
            raise ConfigurationError("there is no such power", got=repr(self.power), expected="0 or more")

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can be had before there is a model."""
        return start_cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking relies on."""
        return needs_of(self.ranking)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` drawn candidates with their scores."""
        scores = scores_by(self.ranking, view)
        ids = sorted(scores)
        top_k(ids, [scores[id] for id in ids], n)  # checks them
        values = np.array([scores[id] for id in ids], np.float64)
        noise = rng.gumbel(size=len(ids))
        positive = values > 0
        keys = np.where(positive, self.power * np.log(np.where(positive, values, 1)) + noise, 0)
        order = np.lexsort((-noise, -keys, ~positive))[:n]
        return Selection(tuple(ids[i] for i in order), scores=tuple(values[order]))
