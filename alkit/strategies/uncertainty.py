"""Select the images with the highest acquisition scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit.errors import ConfigurationError, UnknownNameError, nearest
from alkit.protocols import Sampler, View
from alkit.samplers import DETERMINISTIC, Deterministic, Dropout
from alkit.strategies.ordering import highest
from alkit.values.selection import Selection

if TYPE_CHECKING:
    from alkit.protocols import Reduction, Score
from alkit.strategies.functions import needs_of, short_name


@dataclass(frozen=True)
class Uncertainty:
    """The candidates with the highest acquisition score: sampler x score x reduction, and the plainest batch rule.

    Parameters
    ----------
    score:
        One of :mod:`alkit.scores`, as a function or by name such as ``"bald"``, or any function of the same kind. A
        function that has a name is kept by it: the two are the same strategy.
    sampler:
        What draws predictions; by default the prediction itself is the one draw.
    reduction:
        From an image's pixels to one number: ``"mean"``, ``"total"`` or a function. The mean is the default, and is
        kept as None however it was given.

    Raises
    ------
    UnknownNameError
        There is no score or no reduction of that name.
    ConfigurationError
        One of the three is nothing of its kind; or the score is about what several draws disagree on, and there is one.

    Examples
    --------
    >>> import alkit
    >>> Uncertainty(alkit.scores.bald, alkit.Dropout(draws=10)).needs
    ('dropout',)
    """

    score: str | Score
    sampler: Sampler = DETERMINISTIC
    reduction: str | Reduction | None = None

    def __post_init__(self) -> None:
        from alkit.scores.functions import check_draws, name_or_function

        object.__setattr__(self, "score", name_or_function(self.score))
        if isinstance(self.sampler, type) or not isinstance(self.sampler, Sampler):
            raise ConfigurationError("sampler is no sampler", got=repr(self.sampler), hint="such as alkit.Dropout(20)")
        if isinstance(self.sampler, Deterministic | Dropout):
            check_draws(self.score, self.sampler.draws if isinstance(self.sampler, Dropout) else 1)
        _reduction(self.reduction)
        reduction = next((name for name, known in _reductions().items() if known is self.reduction), self.reduction)
        object.__setattr__(self, "reduction", None if reduction == "mean" else reduction)

    def __repr__(self) -> str:
        parts = [short_name(self.score), *([] if self.sampler == DETERMINISTIC else [repr(self.sampler)])]
        parts += [] if self.reduction is None else [f"reduction={short_name(self.reduction)}"]
        return f"Uncertainty({', '.join(parts)})"

    @property
    def starts_cold(self) -> bool:
        """No: there is nothing to be uncertain before there is a model."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """What the sampler and the score rely on."""
        from alkit.scores.functions import moments_of, score_function

        moments = moments_of(score_function(self.score))
        drawn = {"mean", "mean_entropy", "variance"}.intersection(moments)
        return (*(needs_of(self.sampler) if drawn else ()), *(["heads"] if "heads" in moments else []))

    def scores(self, view: View) -> Mapping[str, float]:
        """Return the score of each candidate."""
        from alkit.scores.functions import score_function

        return view.scores(score_function(self.score), self.sampler, _reduction(self.reduction))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` highest; equal scores go by id."""
        return highest(self.scores(view), n)


def _reductions() -> dict[str, Reduction]:
    from alkit.scores.functions import mean, total

    return {"mean": mean, "total": total}


def _reduction(reduction: str | Reduction | None) -> Reduction | None:
    """Return the reduction of this name; a function, and None, are their own."""
    known = _reductions()
    if isinstance(reduction, str):
        if reduction not in known:
            raise UnknownNameError(f"there is no reduction {reduction!r}", hint=nearest(reduction, known))
        return known[reduction]
    if reduction is not None and (isinstance(reduction, type) or not callable(reduction)):
        raise ConfigurationError(
            "this is no reduction", got=repr(reduction), expected=f"a function, or one of {', '.join(known)}"
        )
    return reduction
