"""Components of the variance of results: initial weights, choice of labels, and the rest.

References
----------
Searle, Casella, McCulloch. "Variance Components". Wiley 1992.
Williams. "A Confidence Interval for Variance Components". Biometrika 49, 1962.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError


@checked
@dataclass(frozen=True)
class VarianceParts:
    """Components of a variance: see :func:`variance_parts`.

    Attributes
    ----------
    initial, choice, residual: float
        The components, in the square of the metric's unit.
    below_zero: tuple of str
        Names of the components that were estimated below zero and set to zero.
    intervals: dict of str to (low, high)
        Confidence interval of each component by name; never below zero.
    """

    initial: float
    choice: float
    residual: float
    below_zero: tuple[str, ...]
    intervals: Mapping[str, tuple[float, float]]


@checked_except("confidence")
def variance_parts(table: Mapping[tuple[object, object], float], *, confidence: float = 0.95) -> VarianceParts:
    """Divide the variance of a metric into components of the initial weights, the choice of labels, and the rest.

    The model is value(i, c) = mean + initial(i) + choice(c) + residual(i, c) with independent random terms. The
    components follow from the mean squares of the two-way table without replication: the mean square of the rows has
    the expectation C var(initial) + var(residual) with C choices, and that of the columns likewise (Searle et al.
    1992). An estimate may be below zero if the true value is small; it is then set to zero and named in `below_zero`.
    The residual includes the interaction of initial weights and choice.

    The intervals are those of Williams (1962) for normal terms. Let MS be a mean square with f degrees of freedom and u
    and l the upper and lower quantiles of the F and chi-squared distributions. The bounds are f (MS - F_u MS_residual)
    / chi2_u and f (MS - F_l MS_residual) / chi2_l, divided by the number of values in a mean. They are approximate: the
    probability that they contain the true value is at least 2 `confidence` - 1.

    Parameters
    ----------
    table:
        Metric by (initial weights, choice). It must be complete: each of two or more initial weights with each of two
        or more choices.
    confidence:
        Confidence of the intervals, in (0, 1).

    Raises
    ------
    ConfigurationError
        `table` is not complete or contains a value that is not finite, or `confidence` is not in (0, 1).

    Examples
    --------
    >>> parts = variance_parts({(i, c): 0.1 * i for i in range(3) for c in range(4)})
    >>> parts.initial, parts.choice, parts.residual
    (0.010000000000000002, 0.0, 0.0)
    >>> [round(bound**0.5, 3) for bound in parts.intervals["initial"]]  # as standard deviations
    [0.052, 0.628]
    """
    check_number("confidence", confidence, 0, 1, open_ends="()")
    rows, columns = (list(dict.fromkeys(pair[side] for pair in table)) for side in (0, 1))
    missing = [(i, c) for i in rows for c in columns if (i, c) not in table]
    if min(len(rows), len(columns)) < 2 or missing:
        raise ConfigurationError(
            "table must have two or more initial weights and choices, and a value for each pair of them",
            got=f"{len(rows)} initial weights and {len(columns)} choices, {len(missing)} pairs missing",
        )
    values = np.array([[table[i, c] for c in columns] for i in rows], np.float64)
    if not np.isfinite(values).all():
        raise ConfigurationError("values of table must be finite", got=values[~np.isfinite(values)].tolist())
    row_means, column_means = values.mean(1), values.mean(0)
    rest = values - row_means[:, None] - column_means[None] + values.mean()
    residual = float((rest**2).sum() / ((len(rows) - 1) * (len(columns) - 1)))
    residual = 0.0 if residual < 1e-24 * float((values**2).mean()) else residual  # only rounding errors
    parts = {
        "initial": float(row_means.var(ddof=1)) - residual / len(columns),
        "choice": float(column_means.var(ddof=1)) - residual / len(rows),
    }
    tails = np.array([1 + confidence, 1 - confidence]) / 2  # the upper quantile gives the lower bound
    freedom = (len(rows) - 1) * (len(columns) - 1)

    def interval(means: npt.NDArray[np.float64], each: int) -> tuple[float, float]:
        own = len(means) - 1
        square = each * float(means.var(ddof=1))
        bounds = own * (square - stats.f.ppf(tails, own, freedom) * residual) / stats.chi2.ppf(tails, own) / each
        low, high = np.maximum(0.0, bounds).tolist()
        return low, high

    low, high = (freedom * residual / stats.chi2.ppf(tails, freedom)).tolist()
    return VarianceParts(
        max(0.0, parts["initial"]),
        max(0.0, parts["choice"]),
        residual,
        tuple(name for name, part in parts.items() if part < 0),
        {
            "initial": interval(row_means, len(columns)),
            "choice": interval(column_means, len(rows)),
            "residual": (low, high),
        },
    )
