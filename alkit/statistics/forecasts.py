"""Forecast the learning curve: what a metric will be with more labels, with an interval.

A Bayesian power law. With two or three rounds the prior decides most of the interval, with many rounds the curve does.

References
----------
Domhan, Springenberg, Hutter. "Speeding Up Automatic Hyperparameter Optimization of Deep Neural Networks by
Extrapolation of Learning Curves". IJCAI 2015: a Bayesian extrapolation of parametric curves.

Figueroa, Zeng-Treitler, Kandula, Ngo. "Predicting sample size required for classification performance". BMC Medical
Informatics and Decision Making 12:8, 2012: the inverse power law over the number of labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.checks import check_number
from alkit.errors import ConfigurationError

FEWEST = 3
"""Least number of rounds with different numbers of labels for a forecast."""

LEARNT = 0.5
"""Least value of the metric for a forecast. Below it, the curve of a network may stay flat and then jump."""

USUAL = 6
"""With fewer rounds, the interval rests more on the prior than on the curve."""

GAIN, GAIN_SPREAD = 0.15, 0.15
"""Prior of the gain by twice the labels, as shares of the distance between the best value and 1: mean and spread."""

DECAY, DECAY_SPREAD = 0.6, 1.0
"""Prior of the exponent: median, and spread of its logarithm."""

SCATTER, SCATTER_SPREAD = 0.013, 0.7
"""Prior of the scatter of one round around the curve: median, and spread of its logarithm."""

AGE = 0.7
"""Exponent of the scatter: with half the labels, it is 2 ** AGE times as large."""

_DECAYS, _SCATTERS = np.geomspace(0.05, 3, 10), np.geomspace(0.002, 0.2, 10)
_LEVEL = 0.3  # spread of the prior of the level: it says next to nothing

Floats = npt.NDArray[np.float64]


@checked
@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast of a metric.

    Parameters
    ----------
    labels:
        Number of labels that the forecast is for.
    value, low, high:
        Median, and bounds of the interval in which the metric of a round with so many labels is expected.
    level:
        The metric that the fitted curve has now.
    gain, gain_low, gain_high:
        How much the curve rises from now: median, and bounds of its interval, without the scatter of one round.
    confidence:
        Probability that the intervals are meant to have.
    rounds:
        Number of rounds that the curve was fitted to.
    """

    labels: float
    value: float
    low: float
    high: float
    level: float
    gain: float
    gain_low: float
    gain_high: float
    confidence: float
    rounds: int


@checked
def why_no_forecast(labels: Sequence[float], values: Sequence[float]) -> str | None:
    """Return why a curve cannot be forecast, as a sentence without a full stop; None if it can.

    Parameters
    ----------
    labels, values:
        Number of labels and metric of each round.

    Examples
    --------
    >>> why_no_forecast([20, 40], [0.7, 0.75])
    'a forecast needs 3 rounds with different numbers of labels, and there are 2'
    """
    if (different := len(set(labels))) < FEWEST:
        return f"a forecast needs {FEWEST} rounds with different numbers of labels, and there are {different}"
    if not np.isfinite(values).all() or max(values) > 1:
        return "a forecast needs a metric that is finite and at most 1 in all rounds"
    if values[-1] < LEARNT:
        return (
            f"the metric of the last round is {values[-1]:.2f}: below {LEARNT:g}, a curve may stay flat and then jump"
        )
    return None


@checked
def forecast(
    labels: Sequence[float], values: Sequence[float], at: float | Sequence[float], *, confidence: float = 0.8
) -> Forecast:
    """Return what a metric will be with more labels.

    The metric y is a power law of the number of labels x, with u = x / x_last,

        y(u) = level + gain (1 - u^-decay) / (1 - 2^-decay),    gain: what twice the labels add,

    and each round scatters around it normally; with half the labels, the scatter is 1.6 times as large. Level and gain
    are integrated exactly, decay and scatter over a grid. The interval is that of the metric of a round, scatter
    included.

    Parameters
    ----------
    labels:
        Number of labels of each round, positive.
    values:
        Metric of each round, at most 1; it rises while the model improves.
    at:
        Number of labels to forecast for, at least the last one; several numbers are equally likely ones.
    confidence:
        Probability of the interval, in (0, 1). Default: 0.8.

    Raises
    ------
    ConfigurationError
        The curve cannot be forecast (:func:`why_no_forecast`), or a number is out of range.

    Notes
    -----
    The priors were set on learning curves of segmentation networks, and of classes from embeddings, with 10 to 615
    labels; ``python -m benchmarks.forecast`` measures the coverage on other ones. A curve of another shape is not
    covered, such as one that jumps when the model learns a rare class.

    Examples
    --------
    >>> labels = [25, 50, 100, 200, 400]
    >>> found = forecast(labels, [0.9 - 0.8 * x**-0.5 for x in labels], 800)
    >>> round(found.value, 2), found.low < 0.872 < found.high
    (0.87, True)
    """
    check_number("confidence", confidence, 0, 1, open_ends="()")
    x, y = np.asarray(labels, np.float64), np.asarray(values, np.float64)
    wanted = np.atleast_1d(np.asarray(at, np.float64))
    if x.ndim != 1 or x.shape != y.shape or not (x > 0).all():
        raise ConfigurationError("labels must be positive, and as many as values", got=(list(labels), list(values)))
    if (why := why_no_forecast(labels, values)) is not None:
        raise ConfigurationError(why)
    if not len(wanted) or not (wanted >= x[-1]).all() or not np.isfinite(wanted).all():
        raise ConfigurationError(f"at must be at least the last number of labels, {x[-1]:g}", got=at)
    weights, means, covariances, scatters = _posterior(x, y)
    rises = _shape(wanted[:, None] / x[-1], _DECAYS[None])  # (at, decay)
    rises = np.repeat(rises, len(_SCATTERS), axis=1)  # decay outside, scatter inside, as in the posterior
    value = means[:, 0] + rises * means[:, 1]
    known = covariances[:, 0, 0] + 2 * rises * covariances[:, 0, 1] + rises**2 * covariances[:, 1, 1]
    gain, gain_sd = rises * means[:, 1], np.abs(rises) * np.sqrt(covariances[:, 1, 1])
    every = np.tile(weights, len(wanted)) / len(wanted)
    ends = (0.5, (1 - confidence) / 2, (1 + confidence) / 2)
    of_value = [_quantile(every, value.ravel(), np.sqrt(known + scatters**2).ravel(), p) for p in ends]
    gained, least, most = (_quantile(every, gain.ravel(), gain_sd.ravel(), p) for p in ends)
    middle, low, high = np.clip(of_value, 0, 1).tolist()
    level = float(weights @ means[:, 0])
    return Forecast(float(wanted.mean()), middle, low, high, level, gained, least, most, confidence, len(x))


def _shape(u: Floats, decay: Floats) -> Floats:
    """Return the rise of the curve from 1 to `u`, in units of the rise from 1 to 2."""
    return (1 - u**-decay) / (1 - 2**-decay)


def _posterior(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return for each decay and scatter its probability, level and gain with their covariance, and the scatter."""
    decays, scatters = (part.ravel() for part in np.meshgrid(_DECAYS, _SCATTERS, indexing="ij"))
    room = max(1 - y.max(), 0.02)
    precision = np.diag([_LEVEL**-2, (GAIN_SPREAD * room) ** -2])
    prior = np.array([y[-1], GAIN * room])
    u = x / x[-1]
    design = np.stack([np.ones((len(decays), len(u))), _shape(u[None], decays[:, None])], axis=2)
    weights = (scatters[:, None] / u[None] ** AGE) ** -2
    inverse = precision + np.einsum("gji,gj,gjk->gik", design, weights, design)
    covariance = np.linalg.inv(inverse)
    mean = np.einsum("gik,gk->gi", covariance, precision @ prior + np.einsum("gji,gj,j->gi", design, weights, y))
    misfit = (weights * y**2).sum(axis=1) + prior @ precision @ prior
    misfit = misfit - np.einsum("gi,gik,gk->g", mean, inverse, mean)
    log = 0.5 * (np.log(weights).sum(axis=1) - misfit - np.linalg.slogdet(inverse)[1])
    log -= 0.5 * (np.log(decays / DECAY) / DECAY_SPREAD) ** 2
    log -= 0.5 * (np.log(scatters / SCATTER) / SCATTER_SPREAD) ** 2
    probabilities = np.exp(log - log.max())
    return probabilities / probabilities.sum(), mean, covariance, scatters


def _quantile(weights: Floats, means: Floats, spreads: Floats, p: float) -> float:
    """Return a quantile of a mixture of normal distributions, by bisection."""
    from scipy.special import ndtr

    spreads = np.maximum(spreads, 1e-12)
    low, high = float((means - 10 * spreads).min()), float((means + 10 * spreads).max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if weights @ ndtr((middle - means) / spreads) < p else (low, middle)
    return (low + high) / 2
