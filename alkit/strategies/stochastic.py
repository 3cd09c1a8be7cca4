"""Batches drawn at random, with probabilities that grow with the score.

References
----------
Kirsch et al. "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning". TMLR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_number
from alkit.protocols import View
from alkit.strategies.asking import Ranking, check_ranking, scores_by, start_cold
from alkit.strategies.functions import needs_of
from alkit.strategies.ordering import highest
from alkit.values.selection import Selection


@checked_except("power", "ranking")
@dataclass(frozen=True)
class Stochastic:
    """Draw a batch at random, where a higher score makes an image more likely.

    Images are drawn without replacement with probability proportional to ``score ** power``, by taking the highest of
    ``power * log(score) + Gumbel noise`` (Kirsch et al. 2023, "power" acquisition). The images with the highest scores
    often resemble each other; a drawn batch is more diverse.

    Parameters
    ----------
    ranking:
        Strategy that gives every candidate a score.
    power:
        Exponent, a finite number >= 0. At 0 all candidates with a positive score are equally likely; a higher power
        comes closer to the highest scores. Default: 1.

    Raises
    ------
    ConfigurationError
        `ranking` gives no scores, or `power` is out of range.

    Notes
    -----
    Candidates with a score of 0 or less are drawn only if no positive score is left, and then uniformly.

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
        check_number("power", self.power, 0, 1e9, open_ends=")")

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can give scores without a trained model."""
        return start_cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking needs."""
        return needs_of(self.ranking)

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` candidates, drawn at random, with their scores."""
        scores = scores_by(self.ranking, view)
        highest(scores, n)  # checks the scores and n
        ids = sorted(scores)
        values = np.array([scores[id] for id in ids], np.float64)
        noise = rng.gumbel(size=len(ids))
        positive = values > 0
        keys = np.where(positive, self.power * np.log(np.where(positive, values, 1)) + noise, 0)
        order = np.lexsort((-noise, -keys, ~positive))[:n]
        return Selection(tuple(ids[i] for i in order), scores=tuple(values[order]))
