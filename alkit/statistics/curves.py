"""Learning curves over seeds: their mean, and the area under them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import integrate

from alkit.errors import ConfigurationError
from alkit.statistics.estimates import Estimate, estimate

Curve = Mapping[int, float]
"""A metric by number of labels."""

Runs = Mapping[int, Curve]
"""Curves by seed."""


def mean_curve(runs: Runs, *, confidence: float = 0.95) -> dict[int, Estimate]:
    """Return the mean over seeds at each number of labels that every seed was measured at.

    Intervals hold for each number of labels by itself, not for the curve as a whole.

    Raises
    ------
    ConfigurationError
        The seeds have no number of labels in common.

    Examples
    --------
    >>> mean_curve({0: {300: 0.6, 335: 0.7}, 1: {300: 0.8}})
    {300: Estimate(mean=0.7, n=2, sd=0.141..., low=None, high=None, p=None)}
    """
    return {
        labels: estimate([curve[labels] for curve in runs.values()], confidence=confidence)
        for labels in common_labels(runs.values())
    }


def aubc(curve: Curve) -> float:
    """Return the area under the budget curve, by trapezoids, divided by its width: a mean in the metric's own units.

    Raises
    ------
    ConfigurationError
        Fewer than two numbers of labels, or a value that is not finite.

    Examples
    --------
    >>> aubc({300: 0.6, 400: 0.8, 500: 0.8})
    0.75
    """
    labels, values = sorted_curve(curve)
    if len(labels) < 2:
        raise ConfigurationError("there is no area under a point", got=dict(curve), expected="two numbers of labels")
    return float(integrate.trapezoid(values, labels) / (labels[-1] - labels[0]))


def common_labels(curves: Iterable[Curve]) -> list[int]:
    """Return the numbers of labels that all curves have, rising."""
    sets = [set(curve) for curve in curves]
    common = sorted(set.intersection(*sets)) if sets else []
    if not common:
        raise ConfigurationError(
            "these runs have no number of labels in common", hint="the same start and batch for all"
        )
    return common


def sorted_curve(curve: Curve) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the budgets of a curve in ascending order, and its values."""
    labels = sorted(curve)
    values = np.array([curve[there] for there in labels], np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ConfigurationError("this is no curve", got=dict(curve), expected="finite values by number of labels")
    return np.array(labels, np.float64), values
