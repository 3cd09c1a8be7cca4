"""Rank images by their score per second that their label is expected to take.

References
----------
Haertel, Seppi, Ringger, Carroll. "Return on Investment for Active Learning". NIPS Workshop on Cost-Sensitive Learning,
2008.

Settles, Craven, Friedland. "Active Learning with Real Annotation Costs". NIPS Workshop on Cost-Sensitive Learning,
2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked, checked_except
from alkit.errors import SelectionError
from alkit.protocols import HasSeconds, View
from alkit.strategies.asking import Ranking, check_ranking, scores_by, start_cold
from alkit.strategies.functions import name_in_words, needs_of
from alkit.strategies.ordering import highest
from alkit.values.selection import Selection

ROUNDING = 1e-6
"""Scores below 0 by no more than this are 0."""


@checked_except("ranking")
@dataclass(frozen=True)
class PerSecond:
    """Select the images with the highest score per second of labelling.

    The expected seconds of each candidate come from the times of the labels so far and from what the last model
    predicts: its size and the length of its borders (:class:`alkit.statistics.LabelCost`).

    Parameters
    ----------
    ranking:
        Strategy that gives every candidate a score of at least 0.

    Raises
    ------
    ConfigurationError
        `ranking` gives no scores.

    Notes
    -----
    As long as no time of a label is known, the images with the highest scores are selected. A score that grows with the
    border, such as a total over pixels, and a cost that does the same leave little to choose between; and images
    without anything to draw are the cheapest. Compare with random choice for the same hours, not for as many labels.

    Examples
    --------
    >>> import alkit
    >>> PerSecond(alkit.strategies.Uncertainty("bald", alkit.Dropout(10))).needs
    ('dropout',)
    """

    ranking: Ranking

    def __post_init__(self) -> None:
        check_ranking(self.ranking)

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can give scores without a trained model."""
        return start_cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking needs."""
        return needs_of(self.ranking)

    @checked
    def scores(self, view: View) -> Mapping[str, float]:
        """Return the score per second of each candidate, by id; the score if no time is known.

        Raises
        ------
        SelectionError
            A score is negative: divided by more seconds, it would be better.
        """
        scores = scores_by(self.ranking, view)
        if negative := [id for id, score in scores.items() if score < -ROUNDING]:
            raise SelectionError(
                f"{name_in_words(self.ranking)}.scores must return scores >= 0 for a score per second",
                got=f"{scores[negative[0]]:g} for {negative[0]!r}",
            )
        seconds = view.seconds() if isinstance(view, HasSeconds) else {}
        return {id: score / seconds[id] for id, score in scores.items()} if seconds else scores

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates with the highest score per second; equal ones are ordered by id."""
        return highest(self.scores(view), n)
