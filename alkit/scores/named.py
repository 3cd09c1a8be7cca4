"""Scores by name, and the moments that a score needs."""

from __future__ import annotations

import inspect

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, UnknownNameError, nearest
from alkit.protocols import Score
from alkit.scores import functions
from alkit.values.label_spec import LabelSpec

MOMENTS = ("mean", "mean_entropy", "variance", "prediction", "heads")
"""Names that the parameters of a score may have."""


@checked
def moments_of(score: Score) -> tuple[str, ...]:
    """Return the names of the moments that a score needs. Its parameters that have a default are not moments.

    Raises
    ------
    ConfigurationError
        The function has no moment among its parameters, or a parameter without a default that is not a moment.

    Examples
    --------
    >>> moments_of(functions.bald)
    ('mean', 'mean_entropy')
    """
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError) as reason:
        raise ConfigurationError(
            f"score must be a function whose parameters are named after moments ({reason})",
            got=repr(score),
            expected=f"some of {', '.join(MOMENTS)}",
        ) from reason
    names = tuple(entry.name for entry in parameters if entry.default is entry.empty)
    if not names or not set(names) <= set(MOMENTS):
        raise ConfigurationError(
            "score must be a function whose parameters are named after moments",
            got=f"the parameters {', '.join(names)}" if names else "no parameters",
            expected=f"some of {', '.join(MOMENTS)}",
        )
    return names


SCORES: dict[str, Score] = {
    name.replace("_", "-"): function
    for name, function in vars(functions).items()
    if inspect.isfunction(function) and function.__module__ == functions.__name__ and not name.startswith("_")
}
"""Scores by the name that the command line and strategy files use: each public function of ``functions.py``."""


@checked
def score_function(score: str | Score) -> Score:
    """Return the score with this name. A function is checked and returned as it is.

    Raises
    ------
    UnknownNameError
        No score has this name. The message suggests similar names.
    ConfigurationError
        `score` is neither a name nor a function of moments.

    Examples
    --------
    >>> score_function("bald") is functions.bald
    True
    """
    if isinstance(score, str):
        if score not in SCORES:
            raise UnknownNameError("score must be the name of a score", got=repr(score), hint=nearest(score, SCORES))
        return SCORES[score]
    if not callable(score):
        raise ConfigurationError(
            "score must be a function or a name", got=repr(score), expected=f"one of {', '.join(SCORES)}"
        )
    moments_of(score)
    return score


@checked
def name_or_function(score: str | Score) -> str | Score:
    """Return the name of a score of this module, and any other score as it is. Strategies store scores in this form.

    Raises
    ------
    UnknownNameError, ConfigurationError
        As in :func:`score_function`.

    Examples
    --------
    >>> name_or_function(functions.bald), name_or_function("bald")
    ('bald', 'bald')
    """
    function = score_function(score)
    return next((name for name, known in SCORES.items() if known is function), function)


@checked
def check_draws(score: str | Score, draws: int) -> None:
    """Check that a score of the disagreement of draws gets two draws or more. With one, all images would score 0.

    Raises
    ------
    ConfigurationError
        `draws` is 1, and the score needs ``mean_entropy`` or ``variance``.

    Examples
    --------
    >>> check_draws("entropy", 1)
    >>> check_draws("bald", 1)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: draws must be an integer >= 2 for the score 'bald': got 1. Try: draws=20.
    """
    function = score_function(score)
    if draws == 1 and {"mean_entropy", "variance"}.intersection(moments_of(function)):
        name = score if isinstance(score, str) else getattr(score, "__name__", repr(score))
        raise ConfigurationError(f"draws must be an integer >= 2 for the score {name!r}", got=draws, hint="draws=20")


@checked
def check_labels(score: str | Score, spec: LabelSpec) -> None:
    """Check that a score can be computed for labels of these classes: those that use a contour need masks.

    Raises
    ------
    ConfigurationError
        The score needs masks, and these are classes of images.

    Examples
    --------
    >>> spec = LabelSpec(("cat", "dog"), per="image")
    >>> check_labels("bald", spec)
    >>> check_labels("edt-variance", spec)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: scores of contours, such as 'edt-variance', need masks: got classes of ...
    """
    if spec.per == "image" and score_function(score) in (functions.edt_variance, functions.edt_variance_both_sides):
        name = score if isinstance(score, str) else getattr(score, "__name__", repr(score))
        raise ConfigurationError(
            f"scores of contours, such as {name!r}, need masks",
            got="classes of images",
            hint="another score, such as 'variance' or 'bald', or another strategy",
        )
