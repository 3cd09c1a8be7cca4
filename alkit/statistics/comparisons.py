"""Comparisons of methods within seeds, and corrections for several tests.

Runs with the same seed share the initial weights and the test images. So a comparison of two methods takes the
difference within each seed, which removes the variance that both share.

References
----------
Holm. "A Simple Sequentially Rejective Multiple Test Procedure". Scandinavian Journal of Statistics 6, 1979.
Ash, Zhang, Krishnamurthy, Langford, Agarwal. "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
Bounds". ICLR 2020, section 4 (the pairwise penalty matrix).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.statistics.curves import Curve, Runs, aubc, common_labels
from alkit.statistics.estimates import MINIMUM_SEEDS, Estimate, estimate_from


@checked
def paired_difference(a: Runs, b: Runs, *, labels: int | None = None, confidence: float = 0.95) -> Estimate:
    """Return the mean difference a - b within the common seeds, with the paired t-test.

    Parameters
    ----------
    a, b:
        Runs of the two methods.
    labels:
        Number of labels at which the methods are compared. Default: compare the :func:`aubc` over the numbers of labels
        that all runs have.
    confidence:
        Confidence of the interval, in (0, 1).

    Raises
    ------
    ConfigurationError
        The methods have no seed in common, a run has no value at `labels`, or `confidence` is not in (0, 1).

    Examples
    --------
    >>> random = {seed: {300: 0.6 + seed / 100} for seed in range(5)}
    >>> other = {seed: {300: 0.65 + seed / 100 + seed % 2 / 100} for seed in range(5)}
    >>> gap = paired_difference(other, random, labels=300)
    >>> round(gap.mean, 3), gap.n, gap.p < 0.01
    (0.054, 5, True)
    """
    seeds = common_seeds(a, b)
    common = common_labels([runs[seed] for runs in (a, b) for seed in seeds])
    if labels is not None and labels not in common:
        raise ConfigurationError(f"labels must be one of {common}, which all runs have", got=labels)

    def value(curve: Curve) -> float:
        return float(curve[labels]) if labels is not None else aubc({there: curve[there] for there in common})

    return gap([value(a[seed]) for seed in seeds], [value(b[seed]) for seed in seeds], confidence)


def gap(a: Sequence[float], b: Sequence[float], confidence: float) -> Estimate:
    """Return the mean difference a - b of paired values, with its interval and test."""
    return estimate_from([left - right for left, right in zip(a, b, strict=True)], [*a, *b], confidence)


def common_seeds(a: Runs, b: Runs) -> list[int]:
    """Return the seeds that both methods have, in ascending order; raise an error if there are none."""
    if seeds := sorted(set(a) & set(b)):
        return seeds
    raise ConfigurationError(
        "both methods must have a seed in common", got=f"{sorted(a)} and {sorted(b)}", hint="the same seeds for both"
    )


Name = TypeVar("Name")


@checked
def holm(p: Mapping[Name, float | None]) -> dict[Name, float | None]:
    """Return p-values corrected for the number of tests, which controls the family-wise error rate (Holm 1979).

    In ascending order, the k-th of m p-values is multiplied by m - k + 1. A corrected value is at least the one before
    it, and at most 1.

    Parameters
    ----------
    p:
        p-values by name. None means that no test was made; it stays None and does not count among the m.

    Raises
    ------
    ConfigurationError
        A value is not in [0, 1].

    Examples
    --------
    >>> holm({"ceal": 0.01, "dsal": 0.04, "bald": 0.03})
    {'ceal': 0.03, 'dsal': 0.06, 'bald': 0.06}
    """
    tested = {name: value for name, value in p.items() if value is not None}
    if wrong := {name: value for name, value in tested.items() if not 0 <= value <= 1}:
        raise ConfigurationError("p-values must be in [0, 1]", got=wrong)
    corrected: dict[Name, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(tested, key=tested.__getitem__)):
        least = max(least, min(1.0, (len(tested) - rank) * tested[name]))
        corrected[name] = least
    return {name: corrected.get(name) for name in p}


@checked_except("level")
def penalty_matrix(methods: Mapping[str, Runs], *, level: float = 0.05) -> dict[str, dict[str, float | None]]:
    """Return the share of numbers of labels at which each method (outer name) beats each other one (inner name).

    A method beats another if its mean is higher and the two-sided paired t-test has p < `level`. The sum of a method's
    column is the penalty for its losses, so lower is better. Ash et al. (2020) add up the matrices of several data
    sets; this function computes that of one. As in the paper, p-values are not corrected for the number of tests.

    The entry is None for two methods with fewer than :data:`MINIMUM_SEEDS` common seeds, and for a method with itself.

    Parameters
    ----------
    methods:
        Runs by name of the method.
    level:
        Significance level, in (0, 1).

    Raises
    ------
    ConfigurationError
        `level` is not in (0, 1), or two methods have no number of labels in common.

    Examples
    --------
    >>> random = {seed: {300: 0.6, 335: 0.7} for seed in range(5)}
    >>> better = {seed: {300: 0.6, 335: 0.8 + seed / 100} for seed in range(5)}
    >>> penalty_matrix({"better": better, "random": random})
    {'better': {'better': None, 'random': 0.5}, 'random': {'better': 0.0, 'random': None}}
    """
    check_number("level", level, 0, 1, open_ends="()")
    return {
        winner: {loser: _wins(methods[winner], methods[loser], level) if winner != loser else None for loser in methods}
        for winner in methods
    }


def _wins(a: Runs, b: Runs, level: float) -> float | None:
    """Return the share of numbers of labels at which a beats b; None with too few common seeds."""
    seeds = set(a) & set(b)
    if len(seeds) < MINIMUM_SEEDS:
        return None
    common = common_labels([runs[seed] for runs in (a, b) for seed in seeds])
    gaps = [paired_difference(a, b, labels=labels) for labels in common]
    return sum(gap.mean > 0 and gap.p is not None and gap.p < level for gap in gaps) / len(gaps)
