"""Where the variance of results comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from alkit.errors import ConfigurationError
from alkit.statistics.estimates import check_probability


@dataclass(frozen=True)
class VarianceParts:
    """What of a variance is due to what; see :func:`variance_parts`.

    Attributes
    ----------
    initial, choice, residual: float
        In the square of the metric's unit.
    below_zero: tuple of str
        Which of them were estimated below zero and are given as zero.
    intervals: dict of str to (low, high)
        Of the three, by name, at the confidence asked for; never below zero.
    """

    initial: float
    choice: float
    residual: float
    below_zero: tuple[str, ...]
    intervals: Mapping[str, tuple[float, float]]


def variance_parts(table: Mapping[tuple[object, object], float], *, confidence: float = 0.95) -> VarianceParts:
    """Divide the variance of a metric between the initial weights and the choice of labels.

    The model is value(i, c) = mean + initial(i) + choice(c) + residual(i, c), all of them random and independent. The
    variances follow from the mean squares of the two-way table without replication: of the rows MS_i has the
    expectation C var(initial) + var(residual), where C is the number of choices, and the columns likewise (Searle et
    al. 1992). An estimate below zero, which happens where the true value is small, is given as zero and named in
    `below_zero`; the residual holds what initial weights and choice do only together.

    The intervals are those of Williams (1962) where all parts are normal: with the mean square MS of f degrees of
    freedom, F = MS / MS_residual, and l and u quantiles, from f (MS - F_u MS_residual) / chi2_u to
    f (MS - F_l MS_residual) / chi2_l, divided by the number of values in a mean. They are approximate: at the worst,
    they hold the true value with 2 `confidence` - 1.

    Parameters
    ----------
    table:
        The metric by (initial weights, choice), complete: each with each, two or more of both.

    Raises
    ------
    ConfigurationError
        A pair is lacking, there is but one of a kind, a value is not finite, or `confidence` is not between 0 and 1.

    Examples
    --------
    >>> parts = variance_parts({(i, c): 0.1 * i for i in range(3) for c in range(4)})
    >>> parts.initial, parts.choice, parts.residual
    (0.010000000000000002, 0.0, 0.0)
    >>> [round(bound**0.5, 3) for bound in parts.intervals["initial"]]  # standard deviations: three values say little
    [0.052, 0.628]
    """
    check_probability(confidence, "confidence")
    rows, columns = (list(dict.fromkeys(pair[side] for pair in table)) for side in (0, 1))
    lacking = [(i, c) for i in rows for c in columns if (i, c) not in table]
    if min(len(rows), len(columns)) < 2 or lacking:
        raise ConfigurationError(
            "this table cannot be divided",
            got=f"{len(rows)} initial weights, {len(columns)} choices, {len(lacking)} pairs lacking",
            expected="two or more of both, each with each",
        )
    values = np.array([[table[i, c] for c in columns] for i in rows], np.float64)
    if not np.isfinite(values).all():
        raise ConfigurationError("the table holds what is not finite", got=values[~np.isfinite(values)].tolist())
    of_rows, of_columns = values.mean(1), values.mean(0)
    rest = values - of_rows[:, None] - of_columns[None] + values.mean()
    residual = float((rest**2).sum() / ((len(rows) - 1) * (len(columns) - 1)))
    residual = 0.0 if residual < 1e-24 * float((values**2).mean()) else residual  # nothing but rounding
    parts = {
        "initial": float(of_rows.var(ddof=1)) - residual / len(columns),
        "choice": float(of_columns.var(ddof=1)) - residual / len(rows),
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
            "initial": interval(of_rows, len(columns)),
            "choice": interval(of_columns, len(rows)),
            "residual": (low, high),
        },
    )
