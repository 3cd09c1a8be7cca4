"""MC dropout: label the images whose predictions are most uncertain over several dropout draws.

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

from alkit import LabelSpec, Selection, View, highest
from alkit.checks import check_integer

Score = Callable[..., Any]
"""A score function, such as those of :mod:`alkit.scores`."""


@dataclass(frozen=True)
class MCDropout:
    """Select the candidates with the highest acquisition score over several dropout draws.

    Parameters
    ----------
    draws:
        Number of draws T, an integer >= 1. Default: 20.
    score:
        Score per pixel, averaged over the image. One of these names:

        - ``entropy`` (default): entropy of the mean prediction, in nats;
        - ``bald``: that entropy minus the mean entropy of the draws, which measures their disagreement;
        - ``variance``: variance of the class probabilities over the draws;
        - ``edt-variance``: variance of the foreground probability, weighted by the distance to the contour;
        - ``least-confidence``, ``margin``: of the mean prediction;
        - any other name in :data:`alkit.scores.SCORES`.

        Or a score function. A function of :mod:`alkit.scores` is stored by its name.

    Raises
    ------
    UnknownNameError
        No score has the given name.
    ConfigurationError
        `draws` is out of range, or is 1 with a score that needs several draws; or `score` is neither a name nor a
        function.

    Notes
    -----
    Equal scores are ordered by id. The paper uses both the sum and the mean over pixels. For images of one size they
    give the same order; the mean, used here, can also be compared between sizes.

    The strategy does not use `rng`. The dropout draws have random streams that belong to the experiment.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=lambda score, sampler: {"a": 0.1, "b": 0.6, "c": 0.3})
    >>> MCDropout(score="bald").select(view, 2, np.random.default_rng(0)).ids
    ('b', 'c')
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("dropout",)
    when_to_use: ClassVar[str] = (
        "Use it with one network to find images about which it is uncertain: on ISIC 2017 at 64 x 64 pixels, "
        "it did not beat random from 300 labels on."
    )

    draws: int = 20
    score: str | Score = "entropy"

    def __post_init__(self) -> None:
        from alkit import scores  # imports torch, so not before an instance is made

        check_integer("draws", self.draws, least=1)
        object.__setattr__(self, "score", scores.name_or_function(self.score))
        scores.check_draws(self.score, self.draws)

    def check_spec(self, spec: LabelSpec) -> None:
        """Raise a :class:`alkit.errors.ConfigurationError` if the score cannot be computed for such labels."""
        from alkit import scores

        scores.check_labels(self.score, spec)

    def scores(self, view: View) -> Mapping[str, float]:
        """Return the score of each candidate, by id."""
        from alkit import Dropout, scores

        return view.scores(scores.score_function(self.score), Dropout(self.draws))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates with the highest scores, the highest first."""
        return highest(self.scores(view), n)
