"""MC dropout: label what the model is unsure of when units are left out at random.

References
----------
Gal, Islam, Ghahramani. "Deep Bayesian Active Learning with Image Data". ICML 2017, arXiv 1703.02910.

Houlsby, Huszár, Ghahramani, Lengyel. "Bayesian Active Learning for Classification and Preference Learning".
arXiv 1112.5745, 2011, section 2 (BALD).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from alkit import Selection, View
from alkit.errors import ConfigurationError
from alkit.strategies import top_k

Score = Callable[..., Any]
"""A score of :mod:`alkit.scores`, or one made like them."""


@dataclass(frozen=True)
class MCDropout:
    """Take the candidates with the highest score over several passes with dropout on.

    Parameters
    ----------
    draws:
        T, how many passes; at least 1. Default: 20.
    score:
        What to measure at each pixel; an image has the mean over its pixels. By name:

        - ``entropy`` (default): of the mean prediction, in nats;
        - ``bald``: that, less the mean entropy of the passes: what the passes disagree about;
        - ``variance``: over the passes, of the class probabilities;
        - ``edt-variance``: the variance of the lesion probability, weighted by the distance to the contour;
        - ``least-confidence``, ``margin``: of the mean prediction; and every other name in :data:`alkit.scores.SCORES`.

        Or a score function itself: one of :mod:`alkit.scores`, which is kept by its name, or one of your own.

    Raises
    ------
    UnknownNameError
        There is no score of that name.
    ConfigurationError
        Less than one pass, one pass for a score that needs two, or a score that is neither a name
        nor a function.

    Notes
    -----
    Equal scores go by id. The paper sums over pixels in places and averages in others: at one image size the order
    is the same; the mean, taken here, can be compared between sizes.

    No chance of its own: the generator is not used. Chance lies in the passes, and belongs to the experiment.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=lambda score, sampler: {"a": 0.1, "b": 0.6, "c": 0.3})
    >>> MCDropout(score="bald").select(view, 2, np.random.default_rng(0)).ids
    ('b', 'c')
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("dropout",)

    draws: int = 20
    score: str | Score = "entropy"

    def __post_init__(self) -> None:
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 1:
            raise ConfigurationError(
                "there is no such number of draws", got=repr(self.draws), expected="a whole number, 1 or more"
            )
        from alkit import scores  # brings torch, which listing the strategies does not need

        object.__setattr__(self, "score", scores.name_or_function(self.score))
        scores.check_draws(self.score, self.draws)

    def scores(self, view: View) -> Mapping[str, float]:
        """Return the score of each candidate."""
        from alkit import Dropout, scores

        return view.scores(scores.score_function(self.score), Dropout(self.draws))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates with the highest scores, the highest first."""
        scored = self.scores(view)
        ids = top_k(list(scored), list(scored.values()), n)
        return Selection(ids, scores=tuple(scored[id] for id in ids))
