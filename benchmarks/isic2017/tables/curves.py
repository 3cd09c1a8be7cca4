"""Learning curves of the runs, as all tables and figures use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from alkit.statistics import Runs, mean_curve
from benchmarks.isic2017.protocol import BEYOND, METHODS, Arm
from benchmarks.isic2017.results import Row, arm_of

Results = dict[Arm, dict[int, dict[int, float]]]
"""Dice by arm, seed and number of labels."""


def results_of(measured: Sequence[Row]) -> Results:
    """Return the learning curve of each arm and seed."""
    results: Results = {}
    for row in measured:
        results.setdefault(arm_of(row), {}).setdefault(row.seed, {})[row.labels] = row.dice
    return results


def members_of(measured: Sequence[Row]) -> Results:
    """Return the learning curves of ensembles, with the mean Dice of their members in place of their own."""
    ensembles = [replace(row, dice=row.member_dice) for row in measured if row.method.startswith("ensemble")]
    return results_of(ensembles)


def methods_of(results: Results, weights: str) -> dict[str, Runs]:
    """Return the runs of each method, in the order of their colours in figure 2."""
    return {method: results.get((method, weights, ""), {}) for method in (*METHODS, *BEYOND)}


def arms_with_rows(results: Results, arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms that have rows."""
    return [arm for arm in arms if results.get(arm)]


def ends(runs: Runs) -> tuple[int, int]:
    """Return the first and the last number of labels that all runs have."""
    labels = list(mean_curve(runs))
    return labels[0], labels[-1]


def mean_of_curves(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean of some curves of one seed, at the numbers of labels that all of them have."""
    common = sorted(set.intersection(*map(set, curves)))
    return {labels: float(np.mean([curve[labels] for curve in curves])) for labels in common}
