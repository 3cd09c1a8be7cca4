"""A ranking that shortlists candidates for another strategy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.protocols import Strategy, View
from alkit.strategies.asking import Among, Ranking, check_ranking, convert_functions, scores_by, select_from, start_cold
from alkit.strategies.functions import needs_of
from alkit.strategies.ordering import check_n, highest
from alkit.values.selection import Selection


@checked_except("factor", "ranking")
@dataclass(frozen=True)
class Filter:
    """Shortlist the candidates with the highest scores, and let another strategy select among them.

    ``Filter(Uncertainty(alkit.scores.entropy), then=alkit.strategy("ssl-cluster"))`` selects a diverse batch of
    uncertain images.

    Parameters
    ----------
    ranking:
        Strategy that gives every candidate a score.
    then:
        Strategy that selects among the ``factor * n`` candidates with the highest scores. It does not see the others.
    factor:
        Size of the shortlist as a multiple of `n`, an integer >= 1. If there are fewer candidates, all are shortlisted.

    Raises
    ------
    ConfigurationError
        `ranking` gives no scores, `then` is not a strategy, or `factor` is out of range.

    Examples
    --------
    >>> import alkit
    >>> from alkit.strategies import Uncertainty
    >>> both = Filter(Uncertainty(alkit.scores.entropy), then=alkit.strategy("random"), factor=5)
    >>> both.starts_cold
    False
    """

    ranking: Ranking
    then: Strategy
    factor: int = 10

    def __post_init__(self) -> None:
        check_ranking(self.ranking)
        convert_functions(self, "then")
        check_integer("factor", self.factor, least=1)

    @property
    def starts_cold(self) -> bool:
        """Whether both parts can select without a trained model."""
        return start_cold(self.ranking, self.then)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the two parts need."""
        return needs_of(self.ranking, self.then)

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the selection of `then` among the shortlist."""
        check_n(n, view.candidates)
        scores = scores_by(self.ranking, view)
        shortlist = highest(scores, min(self.factor * n, len(scores))).ids
        return select_from(self.then, Among(view, shortlist), n, rng)
