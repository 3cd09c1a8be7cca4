"""One strategy among the candidates that a ranking offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit.checks import check_integer
from alkit.protocols import Strategy, View
from alkit.strategies.ordering import top_k
from alkit.values.selection import Selection

if TYPE_CHECKING:
    pass
from alkit.strategies.asking import (
    Among,
    Ranking,
    check_n,
    check_ranking,
    convert_functions,
    scores_by,
    select_from,
    start_cold,
)
from alkit.strategies.functions import needs_of


@dataclass(frozen=True)
class Filter:
    """Let a ranking offer the best candidates, and another strategy choose among them.

    ``Filter(Uncertainty(scores.entropy), then=alkit.strategy("ssl-cluster"))``: uncertain, and diverse among those.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    then:
        Chooses from the ``factor * n`` highest; the other candidates are hidden from it.
    factor:
        At least 1. With fewer candidates than that all are offered.

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
        """Whether both can choose before there is a model."""
        return start_cold(self.ranking, self.then)

    @property
    def needs(self) -> tuple[str, ...]:
        """What either of the two relies on."""
        return needs_of(self.ranking, self.then)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the second strategy chooses of what the ranking offers."""
        check_n(view, n)
        scores = scores_by(self.ranking, view)
        offered = top_k(list(scores), list(scores.values()), min(self.factor * n, len(scores)))
        return select_from(self.then, Among(view, offered), n, rng)
