"""Comparisons of several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from alkit.errors import ConfigurationError
from alkit.statistics.curves import Curve, Runs, aubc, common_labels
from alkit.statistics.estimates import MINIMUM_SEEDS, Estimate, check_probability, estimate_from


def paired(a: Runs, b: Runs, *, labels: int | None = None, confidence: float = 0.95) -> Estimate:
    """Return the difference a - b within the seeds that both have: the paired t-test.

    Parameters
    ----------
    labels:
        At this number of labels. Default: of the :func:`aubc` over the numbers of labels that all these runs have.

    Raises
    ------
    ConfigurationError
        No seed in common, or not measured there.

    Examples
    --------
    >>> random = {seed: {300: 0.6 + seed / 100} for seed in range(5)}
    >>> other = {seed: {300: 0.65 + seed / 100 + seed % 2 / 100} for seed in range(5)}
    >>> gap = paired(other, random, labels=300)
    >>> round(gap.mean, 3), gap.n, gap.p < 0.01
    (0.054, 5, True)
    """
    seeds = common_seeds(a, b)
    common = common_labels([runs[seed] for runs in (a, b) for seed in seeds])
    if labels is not None and labels not in common:
        raise ConfigurationError(f"not all of these runs were measured at {labels} labels", expected=f"one of {common}")

    def value(curve: Curve) -> float:
        return float(curve[labels]) if labels is not None else aubc({there: curve[there] for there in common})

    return gap([value(a[seed]) for seed in seeds], [value(b[seed]) for seed in seeds], confidence)


def gap(a: Sequence[float], b: Sequence[float], confidence: float) -> Estimate:
    """Return the mean difference a - b of paired values, with its interval."""
    return estimate_from([left - right for left, right in zip(a, b, strict=True)], [*a, *b], confidence)


def common_seeds(a: Runs, b: Runs) -> list[int]:
    """Return the seeds that both methods have, rising."""
    if seeds := sorted(set(a) & set(b)):
        return seeds
    raise ConfigurationError(
        "these runs have no seed in common", got=f"{sorted(a)} and {sorted(b)}", hint="the same seeds for all methods"
    )


Name = TypeVar("Name")


def holm(p: Mapping[Name, float | None]) -> dict[Name, float | None]:
    """Return p-values corrected for how many there are (Holm 1979), so that the chance of any error keeps its level.

    In rising order the k-th of m is multiplied by m - k + 1; none may be less than the one before, or more than 1.
    None, for what was not tested, stays None and does not count among the m.

    Raises
    ------
    ConfigurationError
        A value that is no probability.

    Examples
    --------
    >>> holm({"ceal": 0.01, "dsal": 0.04, "bald": 0.03})
    {'ceal': 0.03, 'dsal': 0.06, 'bald': 0.06}
    """
    tested = {name: value for name, value in p.items() if value is not None}
    if wrong := {name: value for name, value in tested.items() if not 0 <= value <= 1}:
        raise ConfigurationError("these are no p-values", got=wrong, expected="between 0 and 1")
    corrected: dict[Name, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(tested, key=tested.__getitem__)):
        least = max(least, min(1.0, (len(tested) - rank) * tested[name]))
        corrected[name] = least
    return {name: corrected.get(name) for name in p}


def penalty_matrix(methods: Mapping[str, Runs], *, level: float = 0.05) -> dict[str, dict[str, float | None]]:
    """Return for each method (outer name) the share of their budgets at which it beats each other one (inner name).

    It does where the paired t-test of their difference has p < `level` (two-sided). A method's column adds up to what
    it loses: the lower, the better (Ash et al. 2020, who count several data sets so; this is one of them).

    A pair with fewer than :data:`MINIMUM_SEEDS` seeds in common has None, and so has a method with itself. As in the
    paper, nothing is corrected for how many tests there are.

    Raises
    ------
    ConfigurationError
        `level` is not between 0 and 1, or a pair has no number of labels in common.

    Examples
    --------
    >>> random = {seed: {300: 0.6, 335: 0.7} for seed in range(5)}
    >>> better = {seed: {300: 0.6, 335: 0.8 + seed / 100} for seed in range(5)}
    >>> penalty_matrix({"better": better, "random": random})
    {'better': {'better': None, 'random': 0.5}, 'random': {'better': 0.0, 'random': None}}
    """
    check_probability(level, "level")
    return {
        winner: {loser: _wins(methods[winner], methods[loser], level) if winner != loser else None for loser in methods}
        for winner in methods
    }


def _wins(a: Runs, b: Runs, level: float) -> float | None:
    seeds = set(a) & set(b)
    if len(seeds) < MINIMUM_SEEDS:
        return None
    common = common_labels([runs[seed] for runs in (a, b) for seed in seeds])
    gaps = [paired(a, b, labels=labels) for labels in common]
    return sum(gap.mean > 0 and gap.p is not None and gap.p < level for gap in gaps) / len(gaps)
