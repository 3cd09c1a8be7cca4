"""Active testing: estimate a mean over a pool from images that were drawn with known, unequal probabilities.

Images on which a model is probably wrong tell more about its errors than others. They are drawn more often here, and
weights correct for it. The images must not be trained on.

References
----------
Farquhar, Gal, Rainforth. "On Statistical Bias in Active Learning: How and When to Fix It". ICLR 2021 (the weights,
R_LURE).
Kossen, Farquhar, Gal, Rainforth. "Active Testing: Sample-Efficient Model Evaluation". ICML 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError
from alkit.statistics.intervals import interval_from
from alkit.values.interval import Interval


@checked
@dataclass(frozen=True, slots=True)
class DrawnByScore:
    """Images that were drawn without replacement, with the probability of each.

    Parameters
    ----------
    ids:
        Ids in the order in which they were drawn.
    probabilities:
        Probability of each image to be the next one, given those before it.
    population:
        Number of images that they were drawn from.
    """

    ids: tuple[str, ...]
    probabilities: tuple[float, ...]
    population: int


@checked
def draw_by_score(
    scores: Mapping[str, float], n: int, rng: np.random.Generator, *, power: float = 1.0, uniform: float = 0.2
) -> DrawnByScore:
    """Draw images without replacement, an image of a higher score with a higher probability.

    The next image is one of those left with the probability (1 - u) s^p / sum(s^p) + u / (number left). So each image
    can be drawn, and no weight of :func:`lure` is larger than 1 / u.

    Parameters
    ----------
    scores:
        By id a finite number >= 0, such as how uncertain the model is.
    n:
        Number of images, from 1 to the number of scores.
    rng:
        Draws the images.
    power:
        The exponent p, >= 0.
    uniform:
        The share u, in (0, 1].

    Raises
    ------
    ConfigurationError
        A score is negative or not finite, or a number is out of range.

    Examples
    --------
    >>> drawn = draw_by_score({"a": 0.1, "b": 0.9, "c": 0.5}, 2, np.random.default_rng(0))
    >>> drawn.ids, drawn.population
    (('b', 'c'), 3)
    """
    check_number("power", power, 0, 1e3)
    check_number("uniform", uniform, 0, 1, open_ends="(")
    ids = sorted(scores)
    n = check_integer("n", n, least=1, most=len(ids))
    given = np.array([scores[id] for id in ids], np.float64)
    if not np.isfinite(given).all() or (given < 0).any():
        raise ConfigurationError("scores must be finite numbers >= 0", got=f"{given.min():g} to {given.max():g}")
    weights: npt.NDArray[np.float64] = np.power(given / (given.max() or 1.0), power)
    left: npt.NDArray[np.intp] = np.arange(len(ids))
    drawn: list[str] = []
    probabilities: list[float] = []
    for _ in range(n):
        own: npt.NDArray[np.float64] = weights[left]
        total = float(own.sum())
        by_score = own / total if total > 0 else np.full(len(left), 1 / len(left))
        chances: npt.NDArray[np.float64] = uniform / len(left) + (1 - uniform) * by_score
        place = int(rng.choice(len(left), p=chances / chances.sum()))
        drawn.append(ids[left[place]])
        probabilities.append(float(chances[place]))
        left = np.delete(left, place)
    return DrawnByScore(tuple(drawn), tuple(probabilities), len(ids))


@checked
def sequence_probabilities(
    scores: Mapping[str, float], drawn: Sequence[str], *, power: float = 1.0
) -> tuple[float, ...]:
    """Return the probability of each image in a batch of ``alkit.strategies.Stochastic``, given those before it.

    The highest of ``power * log(score)`` plus Gumbel noise, one after the other, are drawn without replacement with
    probabilities proportional to ``score ** power`` among those left. So these probabilities are exact. An image with
    a score of 0 or less has the probability 0 as long as another one has more: its label is never in such a batch, and
    no weight can stand for it.

    Parameters
    ----------
    scores:
        By id the score of each candidate.
    drawn:
        The ids in the order in which they were drawn.
    power:
        The exponent, in [0, 1e9).

    Raises
    ------
    ConfigurationError
        An id is not a candidate, or occurs twice; a score is not finite; or `power` is out of range.

    Examples
    --------
    >>> [round(p, 3) for p in sequence_probabilities({"a": 1.0, "b": 3.0, "c": 1.0}, ["b", "a"])]
    [0.6, 0.5]
    """
    check_number("power", power, 0, 1e9, open_ends=")")
    left = {id: check_number(f"the score of {id!r}", score) for id, score in scores.items()}
    found = []
    for id in drawn:
        if id not in left:
            raise ConfigurationError("drawn must have each candidate at most once, and nothing else", got=repr(id))
        greatest = max(left.values())  # by which scores are divided, so that no power of one is too large
        weights = {
            one: ((score / greatest) ** power if score > 0 else 0.0) if greatest > 0 else 1.0
            for one, score in left.items()
        }
        found.append(weights[id] / sum(weights.values()))
        del left[id]
    return tuple(found)


@checked_except("probabilities")
def lure_weights(probabilities: Sequence[float], population: int) -> npt.NDArray[np.float64]:
    """Return the weight of each drawn image in the mean of their losses, in the order of the draws; on average 1.

    Parameters
    ----------
    probabilities, population:
        As in :func:`lure`.

    Raises
    ------
    ConfigurationError
        A probability is not in (0, 1], or `population` is less than their number.

    Reference
    ---------
    Farquhar et al. 2021, the weights v_m of R_LURE.

    Examples
    --------
    >>> lure_weights([0.25, 1 / 3], 4).round(6).tolist()
    [1.0, 1.0]
    """
    q = _numbers("probabilities", probabilities)
    population = check_integer("population", population, least=len(q))
    if ((q <= 0) | (q > 1)).any():
        raise ConfigurationError("probabilities must be in (0, 1]", got=f"{q.min():g} to {q.max():g}")
    m, n = np.arange(1, len(q) + 1), float(population)
    if len(q) == population:
        return np.ones(len(q))
    return 1 + (n - len(q)) / (n - m) * (1 / ((n - m + 1) * q) - 1)


@checked_except("losses", "probabilities")
def lure(
    losses: Sequence[float], probabilities: Sequence[float], population: int, *, confidence: float = 0.95
) -> Interval:
    """Return the mean loss over a pool, estimated from images that were drawn with known probabilities.

    The estimate is unbiased for any probabilities that are all positive, as long as no model was trained on the images.
    It has the least variance if the probabilities are proportional to the losses. So estimate 1 - Dice rather than
    Dice: where the model is good, losses are small, and such images need not be drawn.

    The interval is that of a mean of the weighted losses (:func:`alkit.statistics.interval_of` without a range).

    Parameters
    ----------
    losses:
        A finite number for each image, in the order of the draws.
    probabilities:
        The probability of each image to be the next one, given those before it, in (0, 1].
    population:
        Number of images that they were drawn from.
    confidence:
        Confidence of the interval, in (0, 1).

    Raises
    ------
    ConfigurationError
        The numbers of losses and probabilities differ, or one is out of range.

    Reference
    ---------
    Farquhar et al. 2021, R_LURE; Kossen et al. 2021.

    Examples
    --------
    >>> lure([0.2, 0.4], [0.25, 1 / 3], 4).value  # equal probabilities: the mean
    0.3...
    """
    check_number("confidence", confidence, 0, 1, open_ends="()")
    values, q = _numbers("losses", losses), _numbers("probabilities", probabilities)
    if len(values) != len(q) or not len(values):
        raise ConfigurationError(
            "losses must have one number for each probability, at least one", got=f"{len(values)} and {len(q)}"
        )
    terms = lure_weights(probabilities, population) * values
    return interval_from(float(terms.mean()), terms, confidence=confidence)


def _numbers(name: str, given: Sequence[float]) -> npt.NDArray[np.float64]:
    try:
        numbers = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.full(1, np.nan)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ConfigurationError(f"{name} must be a list of finite numbers", got=str(given)[:80])
    return numbers
