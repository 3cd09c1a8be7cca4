"""Expected gain: extrapolate the learning curve, and stop when the next batch would add too little.

References
----------
Figueroa, Zeng-Treitler, Kandula, Ngo. "Predicting sample size required for classification performance". BMC Medical
Informatics and Decision Making 12:8, 2012.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alkit import RoundResult
from alkit.errors import ConfigurationError
from alkit.stopping import Advice

Floats = npt.NDArray[np.float64]

FEWEST = 4
"""Three parameters and one more point, without which there is nothing to judge the fit by."""


@dataclass(frozen=True)
class ExpectedGain:
    """Stop when the next batch is expected to add less than a threshold, at the upper end of the interval.

    The chief metric over the number of labels x is fitted by the inverse power law of the paper,

        y(x) = (1 - a) - b x^c,    a: the error that remains, b: the learning rate, c < 0: the decay rate,

    by weighted nonlinear least squares, in which the j-th of m points weighs j / m: later rounds tell more of what is
    to come. The gain of the next batch of k labels is y(x + k) - y(x) of the fitted curve.

    Parameters
    ----------
    threshold:
        The least gain worth a batch, in units of the metric (0.002 Dice by default), above 0.
    confidence:
        Of the two-sided interval of the gain, between 0 and 1; 0.95 as the paper's.
    metric:
        Which; None for the chief one, the first of the last round that has any.

    Raises
    ------
    ConfigurationError
        A threshold or a confidence outside its range.

    Notes
    -----
    It says True where the upper end of the interval lies below the threshold, False where the expected gain itself is
    at least the threshold, and None in between, where more rounds are needed to tell. It says None, with the reason,
    where no curve can be fitted: fewer than 4 different numbers of labels, a metric that is not finite, a curve that
    does not rise by more than it scatters, one that jumps and is flat from there on or does not bend at all, or a fit
    that does not determine its parameters.

    Deviations from the paper: the interval is of the gain, not of the metric, by the delta method with the
    covariance of the fit and Student's t at m - 3 degrees of freedom; the parameters are bounded to
    0 <= a <= 1, b >= 0 and -10 <= c <= -0.01; the curve is scaled to the last x, which changes no prediction. The
    paper's curves are means over repeated samples with a fixed test set; a campaign has one curve, and on a hold-out
    that grows from round to round, which scatters more. Where answers are held out, k is the share of the batch that
    would be trained on. The interval takes the power law for true: it does not cover a curve of another shape.

    Examples
    --------
    >>> rounds = [RoundResult(j, (), n, {"dice": 0.9 - 0.5 * n**-0.5}) for j, n in enumerate([25, 36, 64, 100])]
    >>> round(ExpectedGain().advise(rounds, 300).figures["gain"], 6)  # from 0.85 to 0.875
    0.025
    """

    threshold: float = 0.002
    confidence: float = 0.95
    metric: str | None = None

    def __post_init__(self) -> None:
        if not (self.threshold > 0 and math.isfinite(self.threshold)):
            raise ConfigurationError("this is no least gain", got=self.threshold, expected="a number above 0")
        if not 0 < self.confidence < 1:
            raise ConfigurationError("this is no confidence", got=self.confidence, expected="between 0 and 1")

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Return whether the fitted curve's gain from the next batch is surely below the threshold."""
        settings = {"threshold": self.threshold, "confidence": self.confidence}
        metric = self.metric or next((name for result in reversed(history) for name in result.metrics), None)
        measured = [result for result in history if metric in result.metrics and result.n_labels]
        if metric is None or not measured:
            what = "no round has been measured" if metric is None else f"no round has the metric {metric!r}"
            return Advice(None, f"{what}: it needs a hold-out or a test set", settings)
        for result in measured:
            if not math.isfinite(result.metrics[metric]):
                return Advice(None, f"the {metric} of round {result.round} is {result.metrics[metric]}", settings)
        x = np.array([result.n_labels for result in measured], np.float64)
        y = np.array([result.metrics[metric] for result in measured], np.float64)
        settings["points"] = len(x)
        different = len(np.unique(x))
        if different < FEWEST:
            return Advice(
                None,
                f"a curve needs {FEWEST} rounds with different numbers of labels, and there are {different}",
                settings,
            )
        fit = fitted(x, y)
        if isinstance(fit, str):
            return Advice(None, f"the {metric} {fit}", settings)
        last = measured[-1]
        trained = next_batch * last.n_labels / (last.n_labels + last.n_held_out)
        gain, half = fit.gain((last.n_labels + trained) / last.n_labels, self.confidence)
        figures = {"gain": gain, "low": gain - half, "high": gain + half, "plateau": fit.plateau, **settings}
        expected = (
            f"{next_batch} more labels are expected to add {gain:.4f} {metric} "
            f"({self.confidence:.0%} interval {gain - half:.4f} to {gain + half:.4f})"
        )
        if gain + half < self.threshold:
            return Advice(True, f"{expected}, less than {self.threshold:g}", figures)
        if gain >= self.threshold:
            return Advice(False, f"{expected}, and {self.threshold:g} is worth a batch", figures)
        return Advice(None, f"{expected}: whether it is {self.threshold:g}, more rounds must tell", figures)


@dataclass(frozen=True, eq=False)
class Curve:
    """y(u) = plateau - short u^-decay, where u is x over the last x; with the covariance of the three, in this order.

    In the paper's terms a = 1 - plateau, b = short x_last^decay, c = -decay.
    """

    plateau: float
    short: float
    decay: float
    covariance: Floats
    freedom: int

    def gain(self, ratio: float, confidence: float) -> tuple[float, float]:
        """Return what the curve gains from u = 1 to u = `ratio`, and half the width of its interval."""
        from scipy.stats import t

        left = ratio**-self.decay
        slope = np.array([0.0, 1 - left, self.short * left * math.log(ratio)])
        half = t.ppf((1 + confidence) / 2, self.freedom) * math.sqrt(max(0.0, slope @ self.covariance @ slope))
        return self.short * (1 - left), float(half)


def fitted(x: Floats, y: Floats) -> Curve | str:
    """Return the power law through some points, or why there is none, as the end of a sentence about the metric.

    Parameters
    ----------
    x:
        Numbers of labels, above 0, of at least :data:`FEWEST` different values, the last round last; ``(m,)``.
    y:
        The metric there, ``(m,)``.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    u = x / x[-1]
    weights = np.arange(1, len(x) + 1) / len(x)
    best: tuple[float, Floats, Floats] | None = None
    for decay in (0.1, 0.5, 1.0, 2.0):  # a poor start ends in a local optimum
        design = np.stack([np.ones_like(u), -(u**-decay)], axis=1) * np.sqrt(weights)[:, None]
        plateau, short = np.linalg.lstsq(design, y * np.sqrt(weights))[0]
        start = np.clip([plateau, short, decay], LOWEST, HIGHEST)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)  # parameters left open: the covariance shows it
                found, covariance = curve_fit(
                    _law, u, y, start, weights**-0.5, jac=_slopes, bounds=(LOWEST, HIGHEST), max_nfev=2000
                )
        except RuntimeError:  # no convergence from here
            continue
        cost = float(weights @ (y - _law(u, *found)) ** 2)
        if best is None or cost < best[0]:
            best = cost, found, covariance
    if best is None:
        return "could not be fitted by a power law"
    cost, (plateau, short, decay), covariance = best
    rise = float(_law(u.max(), plateau, short, decay) - _law(u.min(), plateau, short, decay))
    scatter = math.sqrt(cost / weights.sum() * len(x) / (len(x) - 3))
    if not rise > max(scatter, 1e-9):
        return f"does not rise by more than it scatters ({rise:.4f} and {scatter:.4f}), so no power law fits it"
    if decay > 0.99 * HIGHEST[2]:
        return "jumps and is flat from there on, which no power law describes"
    if decay < 1.01 * LOWEST[2]:
        return "rises without bending, which no power law describes"
    if not np.isfinite(covariance).all():
        return "leaves the parameters of a power law open"
    return Curve(float(plateau), float(short), float(decay), covariance, len(x) - 3)


LOWEST, HIGHEST = (0.0, 0.0, 0.01), (1.0, np.inf, 10.0)


def _law(u: Floats, plateau: float, short: float, decay: float) -> Floats:
    return plateau - short * u**-decay


def _slopes(u: Floats, plateau: float, short: float, decay: float) -> Floats:
    return np.stack([np.ones_like(u), -(u**-decay), short * u**-decay * np.log(u)], axis=1)
