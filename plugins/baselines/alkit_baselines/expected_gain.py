"""Expected gain: extrapolate the learning curve, and stop when the next batch is expected to add too little.

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
from alkit.checks import check_number
from alkit.evaluation import lower_is_better
from alkit.stopping import Advice

Floats = npt.NDArray[np.float64]

FEWEST = 4
"""Least number of points for a fit: its three parameters, and one more to estimate the scatter."""


@dataclass(frozen=True)
class ExpectedGain:
    """Advise to stop when even the upper end of the interval of the next batch's gain is below a threshold.

    The main metric y over the number of labels x is fitted by the inverse power law of the paper,

        y(x) = (1 - a) - b x^c,    a: remaining error, b: learning rate, c < 0: decay rate,

    by weighted nonlinear least squares. Point j of m has the weight j / m, since later rounds predict the next one
    better. The gain of the next batch of k labels is y(x + k) - y(x) of the fitted curve.

    Parameters
    ----------
    threshold:
        Least gain that is worth a batch, in units of the metric, a number > 0. Default: 0.002.
    confidence:
        Confidence level of the two-sided interval of the gain, in (0, 1). Default: 0.95, as in the paper.
    metric:
        Name of the metric. Default (None): the main metric, which is the first metric of the last round that has any.

    Raises
    ------
    ConfigurationError
        `threshold` or `confidence` is out of range.

    Notes
    -----
    The advice is True if the upper end of the interval is below the threshold, False if the expected gain is at least
    the threshold, and None in between, where more rounds are needed. It is also None, with the reason, if no curve can
    be fitted: there are fewer than 4 different numbers of labels, the metric falls while a model improves, as ``hd95``
    does, a value is above 1 or not finite, the curve does not rise by more than it scatters, the curve jumps once and
    is flat afterwards or does not bend, or the fit does not determine its parameters.

    Deviations from the paper: the interval is one of the gain, not of the metric, by the delta method with the
    covariance of the fit and Student's t with m - 3 degrees of freedom. The parameters are bounded to
    0 <= a <= 1, b >= 0 and -10 <= c <= -0.01. The curve is scaled to the last x, which changes no prediction. The
    paper's curves are means over repeated samples with a fixed test set; a campaign has a single curve, measured on a
    hold-out that grows from round to round, which scatters more. If answers are held out, or belong to an audit set, k
    is the expected number of the batch's labels that are trained on. The interval assumes that the power law holds: it
    does not cover a curve of another shape.

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
        check_number("threshold", self.threshold, 0, open_ends="(")
        check_number("confidence", self.confidence, 0, 1, open_ends="()")

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Advise whether the gain of the next batch, by the fitted curve, is below the threshold."""
        settings = {"threshold": self.threshold, "confidence": self.confidence}
        metric = self.metric or next((name for result in reversed(history) for name in result.metrics), None)
        measured = [result for result in history if metric in result.metrics and result.n_labels]
        if metric is None or not measured:
            what = "no round has been measured" if metric is None else f"no round has the metric {metric!r}"
            return Advice(None, f"{what}: the rule needs a hold-out or a test set", settings)
        if lower_is_better(metric):
            why = f"{metric} falls while a model improves, and the rule extrapolates a metric that rises"
            return Advice(None, why, settings)
        for result in measured:
            value = result.metrics[metric]
            if not math.isfinite(value):
                return Advice(None, f"the {metric} of round {result.round} is {value}", settings)
            if value > 1:
                why = f"the {metric} of round {result.round} is {value:g}, and the rule needs a metric of at most 1"
                return Advice(None, why, settings)
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
        fit = fit_power_law(x, y)
        if isinstance(fit, str):
            return Advice(None, f"the {metric} {fit}", settings)
        last = measured[-1]
        apart = last.n_held_out + (0 if last.audit is None else last.audit.measured)
        trained = next_batch * last.n_labels / (last.n_labels + apart)
        gain, half = fit.gain((last.n_labels + trained) / last.n_labels, self.confidence)
        figures = {"gain": gain, "low": gain - half, "high": gain + half, "plateau": fit.plateau, **settings}
        expected = (
            f"{next_batch} more labels are expected to add {gain:.4f} {metric} "
            f"({self.confidence:.0%} interval {gain - half:.4f} to {gain + half:.4f})"
        )
        if gain + half < self.threshold:
            return Advice(True, f"{expected}, less than the threshold {self.threshold:g}", figures)
        if gain >= self.threshold:
            return Advice(False, f"{expected}, at least the threshold {self.threshold:g}", figures)
        why = f"more rounds are needed to compare it with the threshold {self.threshold:g}"
        return Advice(None, f"{expected}: {why}", figures)


@dataclass(frozen=True, eq=False)
class Curve:
    """The fitted curve y(u) = plateau - short u^-decay, where u = x / x_last.

    In the paper's terms a = 1 - plateau, b = short x_last^decay and c = -decay. `covariance`, ``(3, 3)``, is that of
    plateau, short and decay, and `freedom` the number of degrees of freedom.
    """

    plateau: float
    short: float
    decay: float
    covariance: Floats
    freedom: int

    def gain(self, ratio: float, confidence: float) -> tuple[float, float]:
        """Return the gain of the curve from u = 1 to u = `ratio`, and half the width of its interval."""
        from scipy.stats import t

        left = ratio**-self.decay
        slope = np.array([0.0, 1 - left, self.short * left * math.log(ratio)])
        half = t.ppf((1 + confidence) / 2, self.freedom) * math.sqrt(max(0.0, slope @ self.covariance @ slope))
        return self.short * (1 - left), float(half)


def fit_power_law(x: Floats, y: Floats) -> Curve | str:
    """Fit the power law, or return the reason why it cannot be fitted, as the end of a sentence about the metric.

    Parameters
    ----------
    x:
        Number of labels in each round, ``(m,)``, positive, with at least :data:`FEWEST` different values.
    y:
        Metric in each round, ``(m,)``.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    u = x / x[-1]
    weights = np.arange(1, len(x) + 1) / len(x)
    best: tuple[float, Floats, Floats] | None = None
    for decay in (0.1, 0.5, 1.0, 2.0):  # several starts, since a poor one ends in a local optimum
        design = np.stack([np.ones_like(u), -(u**-decay)], axis=1) * np.sqrt(weights)[:, None]
        plateau, short = np.linalg.lstsq(design, y * np.sqrt(weights))[0]
        start = np.clip([plateau, short, decay], LOWEST, HIGHEST)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)  # undetermined parameters show in the covariance
                found, covariance = curve_fit(
                    _law, u, y, start, weights**-0.5, jac=_slopes, bounds=(LOWEST, HIGHEST), max_nfev=2000
                )
        except RuntimeError:  # no convergence from this start
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
        return "jumps once and is flat afterwards, so no power law fits it"
    if decay < 1.01 * LOWEST[2]:
        return "rises without bending, so no power law fits it"
    if not np.isfinite(covariance).all():
        return "does not determine the parameters of a power law"
    return Curve(float(plateau), float(short), float(decay), covariance, len(x) - 3)


LOWEST, HIGHEST = (0.0, 0.0, 0.01), (1.0, np.inf, 10.0)


def _law(u: Floats, plateau: float, short: float, decay: float) -> Floats:
    return plateau - short * u**-decay


def _slopes(u: Floats, plateau: float, short: float, decay: float) -> Floats:
    return np.stack([np.ones_like(u), -(u**-decay), short * u**-decay * np.log(u)], axis=1)
