"""Learning curves over seeds: their mean, and the area under them.

References
----------
Zhan, Liu, Li, Chan. "A Comparative Survey: Benchmarking for Pool-based Active Learning". IJCAI 2021 (AUBC).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import integrate

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.statistics.estimates import Estimate, estimate

Curve = Mapping[int, float]
"""Learning curve of one run: a metric by number of labels."""

Runs = Mapping[int, Curve]
"""Runs of one method: learning curves by seed."""


@checked
def mean_curve(runs: Runs, *, confidence: float = 0.95) -> dict[int, Estimate]:
    """Return the mean over seeds at each number of labels that all seeds have.

    The confidence of an interval applies to one number of labels, not to the whole curve.

    Parameters
    ----------
    runs:
        Runs of one method.
    confidence:
        Confidence of the intervals, in (0, 1).

    Raises
    ------
    ConfigurationError
        The seeds have no number of labels in common, a value is not finite, or `confidence` is not in (0, 1).

    Examples
    --------
    >>> mean_curve({0: {300: 0.6, 335: 0.7}, 1: {300: 0.8}})
    {300: Estimate(mean=0.7, n=2, sd=0.141..., low=None, high=None, p=None)}
    """
    return {
        labels: estimate([curve[labels] for curve in runs.values()], confidence=confidence)
        for labels in common_labels(runs.values())
    }


@checked
def aubc(curve: Curve) -> float:
    """Return the area under the budget curve by the trapezoidal rule, divided by the range of the numbers of labels.

    It has the unit of the metric, because the division makes it a mean.

    Raises
    ------
    ConfigurationError
        The curve has fewer than two numbers of labels, or a value that is not finite.

    Examples
    --------
    >>> aubc({300: 0.6, 400: 0.8, 500: 0.8})
    0.75
    """
    labels, values = sorted_curve(curve)
    if len(labels) < 2:
        raise ConfigurationError("the area under the curve needs at least two numbers of labels", got=dict(curve))
    return float(integrate.trapezoid(values, labels) / (labels[-1] - labels[0]))


def common_labels(curves: Iterable[Curve]) -> list[int]:
    """Return the numbers of labels that all curves have, in ascending order; raise an error if there are none."""
    sets = [set(curve) for curve in curves]
    common = sorted(set.intersection(*sets)) if sets else []
    if not common:
        raise ConfigurationError(
            "the runs must have a number of labels in common", hint="the same start and batch for all runs"
        )
    return common


def sorted_curve(curve: Curve) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the numbers of labels in ascending order, and the values; raise an error if one is not finite."""
    labels = sorted(curve)
    values = np.array([curve[there] for there in labels], np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ConfigurationError("a curve must have one or more finite values by number of labels", got=dict(curve))
    return np.array(labels, np.float64), values
