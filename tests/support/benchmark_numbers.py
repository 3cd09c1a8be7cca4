"""Slow, obvious computations of the numbers in the benchmark's tables."""

import numpy as np
from scipy import stats

BUDGETS = [300 + 35 * number for number in range(10)]


def mean_of(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def gap_of(a, b):
    low, high = stats.ttest_rel(a, b).confidence_interval()
    return f"{np.mean(a) - np.mean(b):+.3f} [{low:+.3f}, {high:+.3f}]"


def dice_of(measured, method, weights, variant, labels):
    return [
        row.dice
        for row in measured
        if (row.method, row.weights, row.variant, row.labels) == (method, weights, variant, labels)
    ]
