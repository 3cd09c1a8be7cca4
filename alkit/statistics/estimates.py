"""Comparing methods over seeds: curves with intervals, paired differences, and what is left when chance is taken out.

A *curve* is a metric by number of labels; a method's *runs* are its curves by seed. Methods are compared within seeds,
which share the initial weights and the test images, so that what these do to both is taken out.

References
----------
Holm. "A Simple Sequentially Rejective Multiple Test Procedure". Scandinavian Journal of Statistics 6, 1979.
Ash, Zhang, Krishnamurthy, Langford, Agarwal. "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
Bounds". ICLR 2020, section 4 (the pairwise penalty matrix).
Zhan, Liu, Li, Chan. "A Comparative Survey: Benchmarking for Pool-based Active Learning". IJCAI 2021 (AUBC).
Searle, Casella, McCulloch. "Variance Components". Wiley 1992.
Williams. "A Confidence Interval for Variance Components". Biometrika 49, 1962.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from alkit.errors import ConfigurationError

MINIMUM_SEEDS = 5
"""With fewer, intervals and tests are left out: their errors cannot be told from those of single runs."""

ROUNDING = 1e-12
"""Differences smaller than this share of what was measured are rounding, and count as none."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and how sure it is.

    Attributes
    ----------
    mean: float
        Over the seeds.
    n: int
        How many seeds.
    sd: float or None
        Standard deviation over the seeds (n - 1); None of one.
    low, high: float or None
        Interval of the mean by Student's t; None below :data:`MINIMUM_SEEDS`.
    p: float or None
        Of the two-sided t-test that the mean is zero; None below :data:`MINIMUM_SEEDS`. Where the values are equal
        but for :data:`ROUNDING`, `sd` is 0, the interval is the mean, and p is 1 for zeros and 0 for others.
    """

    mean: float
    n: int
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def estimate(values: Sequence[float], *, confidence: float = 0.95) -> Estimate:
    """Return the mean of one value per seed, with its spread, interval and test against zero.

    The interval is mean ± t sd / √n, where t is the (1 + `confidence`) / 2 quantile of Student's t with n - 1 degrees
    of freedom; the test's statistic is mean √n / sd.

    Raises
    ------
    ConfigurationError
        There is no value, one is not finite, or `confidence` is not between 0 and 1.

    Examples
    --------
    >>> found = estimate([0.1, 0.2, 0.3, 0.4, 0.5])
    >>> round(found.low, 3), round(found.mean, 3), round(found.high, 3)
    (0.104, 0.3, 0.496)
    >>> estimate([0.1, 0.3]).low is None
    True
    """
    return estimate_from(values, values, confidence)


def estimate_from(values: Sequence[float], measured: Sequence[float], confidence: float) -> Estimate:
    """Return the estimate of values that come from what was `measured`, whose size says what is rounding."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ConfigurationError("there is no mean of these values", got=list(values), expected="finite, at least one")
    check_probability(confidence, "confidence")
    n, mean = len(array), float(array.mean())
    if n == 1:
        return Estimate(mean, n)
    rounding = ROUNDING * float(np.abs(measured).max())
    sd = float(array.std(ddof=1))
    if sd <= rounding:
        sd = 0.0
    if n < MINIMUM_SEEDS:
        return Estimate(mean, n, sd)
    error = sd / n**0.5
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    # Not scipy's own tests, which warn where the values are near to equal.
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error else float(abs(mean) <= rounding)
    return Estimate(mean, n, sd, mean - half, mean + half, p)


def check_probability(value: float, what: str) -> None:
    """Raise a :class:`ConfigurationError` unless `value` lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ConfigurationError(f"this is no {what}", got=value, expected="between 0 and 1, such as 0.95 or 0.05")
