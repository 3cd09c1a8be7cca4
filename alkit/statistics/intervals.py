"""Confidence intervals of figures that are means over images: the Bayesian bootstrap, with images nobody has seen.

References
----------
Rubin. "The Bayesian Bootstrap". The Annals of Statistics 9, 1981.
Brown, Cai, DasGupta. "Interval Estimation for a Binomial Proportion". Statistical Science 16, 2001 (Jeffreys interval).
Hesterberg. "What Teachers Should Know About the Bootstrap". The American Statistician 69, 2015, section 4.2 (quantiles
for small samples).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.values.interval import Interval

RESAMPLES = 4000
"""Number of random weightings."""

UNSEEN = 0.5
"""Number of images at each end of the range that are imagined beside the measured ones."""

FEWEST = 5
"""Fewest images, or groups of images, for the interval of a figure without a range."""


@checked_except("values")
def interval_of(
    values: Sequence[float] | npt.NDArray[np.float64],
    groups: Sequence[str] | None = None,
    *,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    confidence: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Interval:
    """Return the mean of one value per image, and an interval for the mean over all images of which these are a sample.

    Each of many weightings gives every group of images a random weight (exponential with mean 1); the interval has the
    middle share of the weighted means. A plain bootstrap of 40 images is too narrow if a few images have 0, because a
    sample often has none of them. So half an image at each end of the range is imagined in addition. For values of 0
    and 1, the interval is the one of Jeffreys.

    The images are taken as a random sample of a large number of images. If they are a large part of the pool, the
    interval is wider than it would have to be for this pool.

    Parameters
    ----------
    values:
        One number per image; NaN for an image without one, which does not count.
    groups:
        Group of each image. Images of one group get one weight. Default: each image is its own group.
    bounds:
        Range of the values; None if they have none, such as distances or differences. Then nothing is imagined, the
        interval is widened as Student's t would widen it, and there must be at least :data:`FEWEST` groups.
    confidence:
        Confidence of the interval, in (0, 1).
    rng:
        Draws the weights. Default: a generator with a fixed seed, so that equal values have equal intervals.

    Raises
    ------
    ConfigurationError
        There is no value, one is infinite or out of the range, `groups` has another length, or `confidence` is not in
        (0, 1).

    Reference
    ---------
    Rubin 1981, with two prior observations of weight 0.5; Brown et al. 2001.

    Examples
    --------
    >>> found = interval_of([0.9, 0.8, 0.85, 0.95, 0.7, 0.9, 0.0, 0.85, 0.9, 0.8])
    >>> round(found.value, 3), 0.4 < found.low < 0.6, 0.8 < found.high < 0.9, found.n
    (0.765, True, True, 10)
    """
    check_number("confidence", confidence, 0, 1, open_ends="()")
    numbers = _checked(values, bounds)
    if groups is not None and len(groups) != len(numbers):
        raise ConfigurationError("groups must have one entry for each value", got=f"{len(groups)} and {len(numbers)}")
    return interval_from(float(numbers[~np.isnan(numbers)].mean()), numbers, groups, bounds, confidence, rng)


def interval_from(
    figure: float,
    values: npt.NDArray[np.float64],
    groups: Sequence[str] | None = None,
    bounds: tuple[float, float] | None = None,
    confidence: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Interval:
    """Return a figure with the interval of a mean of values, which may leave the bounds: those of a jackknife do."""
    kept = ~np.isnan(values)
    names = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups, object), return_inverse=True)[1]
    found, place = np.unique(names[kept], return_inverse=True)
    sizes = np.bincount(place, minlength=len(found)).astype(np.float64)
    sums = np.bincount(place, values[kept], minlength=len(found)).astype(np.float64)
    n, clusters = int(kept.sum()), len(found)
    if bounds is None and clusters < FEWEST:
        return Interval(figure, None, None, n, clusters, float(confidence))
    means = _weighted_means(sums, sizes, bounds, rng or np.random.default_rng(0))
    tail = (1 - confidence) / 2
    if bounds is None:
        from scipy import stats  # half a second, which most commands do not need

        tail = float(stats.norm.cdf((clusters / (clusters - 1)) ** 0.5 * stats.t.ppf(tail, clusters - 1)))
    low, high = (float(end) for end in np.quantile(means, [tail, 1 - tail]))
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(figure, min(low, figure), max(high, figure), n, clusters, float(confidence))


def _checked(
    values: Sequence[float] | npt.NDArray[np.float64], bounds: tuple[float, float] | None
) -> npt.NDArray[np.float64]:
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.empty(0)
    if numbers.ndim != 1 or np.isinf(numbers).any() or not (~np.isnan(numbers)).any():
        raise ConfigurationError("values must be finite numbers, at least one of them not NaN", got=str(values)[:80])
    if bounds is not None:
        low, high = bounds
        known = numbers[~np.isnan(numbers)]
        if known.min() < low - 1e-9 or known.max() > high + 1e-9:
            raise ConfigurationError(
                f"values must be in [{low:g}, {high:g}]", got=f"{known.min():g} to {known.max():g}", hint="bounds=None"
            )
    return numbers


def _weighted_means(
    sums: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.float64],
    bounds: tuple[float, float] | None,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Return the means by random weights of groups with these sums and sizes, and of the imagined images."""
    weights = rng.standard_exponential((RESAMPLES, len(sums)))
    total, count = weights @ sums, weights @ sizes
    if bounds is not None:
        for end in bounds:
            imagined = rng.gamma(UNSEEN, size=RESAMPLES) * sizes.mean()
            total, count = total + imagined * end, count + imagined
    return np.asarray(total / count)
