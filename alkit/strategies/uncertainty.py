"""Select the images with the highest acquisition scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, UnknownNameError, nearest
from alkit.protocols import Sampler, View
from alkit.samplers import DETERMINISTIC, Deterministic, Dropout
from alkit.strategies.functions import needs_of, short_name
from alkit.strategies.ordering import highest
from alkit.values.label_spec import LabelSpec
from alkit.values.selection import Selection

if TYPE_CHECKING:
    from alkit.protocols import Reduction, Score


@checked
@dataclass(frozen=True)
class Uncertainty:
    """Select the candidates with the highest acquisition scores.

    An acquisition score is made of three parts: a sampler draws predictions, a score turns them into one number per
    pixel, and a reduction turns the pixels into one number per image.

    Parameters
    ----------
    score:
        Score function, or the name of one in :mod:`alkit.scores` such as ``"bald"``. A function of
        :mod:`alkit.scores` is stored by its name, so both spellings give equal strategies.
    sampler:
        Sampler that draws predictions, for example :class:`alkit.Dropout`. Default: one draw, the model's prediction.
    reduction:
        Reduction from the pixels of an image to one number: ``"mean"`` (default), ``"total"`` or a function. The mean
        is stored as None.

    Raises
    ------
    UnknownNameError
        No score or reduction has the given name.
    ConfigurationError
        A part is of the wrong kind, or the score needs several draws and the sampler makes one.

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
        from alkit.scores.named import name_or_function

        object.__setattr__(self, "score", name_or_function(self.score))
        if isinstance(self.sampler, type) or not isinstance(self.sampler, Sampler):
            raise ConfigurationError(
                "sampler must have a method sample(posterior, stream)",
                got=repr(self.sampler),
                expected="for example alkit.Dropout(20)",
            )
        if isinstance(self.sampler, Deterministic | Dropout):
            _check_sampler(self.score, self.sampler)
        _reduction(self.reduction)
        reduction = next((name for name, known in _reductions().items() if known is self.reduction), self.reduction)
        object.__setattr__(self, "reduction", None if reduction == "mean" else reduction)

    def __repr__(self) -> str:
        parts = [short_name(self.score), *([] if self.sampler == DETERMINISTIC else [repr(self.sampler)])]
        parts += [] if self.reduction is None else [f"reduction={short_name(self.reduction)}"]
        return f"Uncertainty({', '.join(parts)})"

    @property
    def starts_cold(self) -> bool:
        """False: scores need a trained model."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """What the sampler and the score need."""
        from alkit.scores.named import moments_of, score_function

        moments = moments_of(score_function(self.score))
        drawn = {"mean", "mean_entropy", "variance"}.intersection(moments)
        return (*(needs_of(self.sampler) if drawn else ()), *(["heads"] if "heads" in moments else []))

    @checked
    def check_spec(self, spec: LabelSpec) -> None:
        """Raise a :class:`alkit.errors.ConfigurationError` if the score cannot be computed for such labels."""
        from alkit.scores.named import check_labels

        check_labels(self.score, spec)

    @checked
    def scores(self, view: View) -> Mapping[str, float]:
        """Return the acquisition score of each candidate, by id."""
        from alkit.scores.named import score_function

        return view.scores(score_function(self.score), self.sampler, _reduction(self.reduction))

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates with the highest scores; equal scores are ordered by id."""
        return highest(self.scores(view), n)


def _check_sampler(score: str | Score, sampler: Deterministic | Dropout) -> None:
    """Check that the sampler makes two draws or more if the score needs them."""
    from alkit.scores.named import check_draws

    try:
        check_draws(score, sampler.draws if isinstance(sampler, Dropout) else 1)
    except ConfigurationError:
        raise ConfigurationError(
            f"sampler must make at least 2 draws for the score {short_name(score)}",
            got=repr(sampler),
            hint="sampler=alkit.Dropout(draws=20)",
        ) from None


def _reductions() -> dict[str, Reduction]:
    from alkit.scores.reductions import mean, total

    return {"mean": mean, "total": total}


def _reduction(reduction: str | Reduction | None) -> Reduction | None:
    """Return the reduction with this name; a function and None are returned unchanged."""
    known = _reductions()
    if isinstance(reduction, str):
        if reduction not in known:
            raise UnknownNameError(
                "reduction must be the name of a reduction", got=repr(reduction), hint=nearest(reduction, known)
            )
        return known[reduction]
    if reduction is not None and (isinstance(reduction, type) or not callable(reduction)):
        raise ConfigurationError(
            "reduction must be a function or a name", got=repr(reduction), expected=f"one of {', '.join(known)}"
        )
    return reduction
