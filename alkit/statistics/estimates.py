"""Means over seeds, with standard deviations, intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from alkit.arguments.checked import check_argument, checked, checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError

MINIMUM_SEEDS = 5
"""Smallest number of seeds for intervals and tests. With fewer seeds, the standard deviation is too uncertain."""

ROUNDING = 1e-12
"""Relative size of rounding errors. Differences below this share of the largest measured value count as zero."""


@checked
@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its uncertainty.

    Attributes
    ----------
    mean: float
        Mean over the seeds.
    n: int
        Number of seeds.
    sd: float or None
        Standard deviation over the seeds (divisor n - 1); None for one seed.
    low, high: float or None
        Bounds of the confidence interval of the mean by Student's t; None for fewer than :data:`MINIMUM_SEEDS` seeds.
    p: float or None
        p-value of the two-sided t-test that the mean is zero; None for fewer than :data:`MINIMUM_SEEDS` seeds.

    Notes
    -----
    If the values are equal up to :data:`ROUNDING`, `sd` is 0, both bounds are the mean, and `p` is 1 if the mean is
    zero and 0 otherwise.
    """

    mean: float
    n: int
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None

    def __str__(self) -> str:
        """Return the mean with its sign, and the interval or the reason why it is missing.

        >>> print(Estimate(0.0123, 5, 0.01, -0.0001, 0.0247, 0.051), Estimate(0.0123, 3, 0.01), sep="; ")
        +0.012 [-0.000, +0.025]; +0.012 (no interval: 3 of at least 5 seeds)
        """
        if self.low is None:
            return f"{self.mean:+.3f} (no interval: {self.n} of at least {MINIMUM_SEEDS} seeds)"
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@checked_except("values")
def estimate(values: Sequence[float], *, confidence: float = 0.95) -> Estimate:
    """Return the mean of one value per seed, with its standard deviation, interval, and test against zero.

    The interval is mean ± t sd / √n. Here t is the (1 + `confidence`) / 2 quantile of Student's t distribution with
    n - 1 degrees of freedom. The statistic of the test is mean √n / sd.

    Parameters
    ----------
    values:
        One finite value per seed, at least one.
    confidence:
        Confidence of the interval, in (0, 1).

    Raises
    ------
    ConfigurationError
        `values` is empty or contains a value that is not finite, or `confidence` is not in (0, 1).

    Examples
    --------
    >>> found = estimate([0.1, 0.2, 0.3, 0.4, 0.5])
    >>> round(found.low, 3), round(found.mean, 3), round(found.high, 3)
    (0.104, 0.3, 0.496)
    >>> estimate([0.1, 0.3]).low is None
    True
    """
    check_argument("values", values, Sequence)
    return estimate_from(values, values, confidence)


def estimate_from(values: Sequence[float], measured: Sequence[float], confidence: float) -> Estimate:
    """Return the estimate of values computed from `measured`. Its largest value gives the size of rounding errors."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):  # an integer beyond all floats
        array = np.empty(0)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ConfigurationError("values must be one or more finite numbers", got=list(values))
    check_number("confidence", confidence, 0, 1, open_ends="()")
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
    # The tests of scipy would warn if the values are nearly equal.
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error else float(abs(mean) <= rounding)
    return Estimate(mean, n, sd, mean - half, mean + half, p)
