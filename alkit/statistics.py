"""Comparing methods over seeds: curves with intervals, paired differences, and what is left when chance is taken out.

A *curve* is a metric by number of labels; a method's *runs* are its curves by seed. Methods are compared within seeds,
which share the initial weights and the test images, so that what these do to both is taken out.

References
----------
Holm. "A Simple Sequentially Rejective Multiple Test Procedure". Scandinavian Journal of Statistics 6, 1979.
Ash, Zhang, Krishnamurthy, Langford, Agarwal. "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
Bounds". ICLR 2020, section 4 (the pairwise penalty matrix).
Zhan, Liu, Li, Chan. "A Comparative Survey: Benchmarking for Pool-based Active Learning". IJCAI 2021 (AUBC).
Searle, Casella, McCulloch. "Variance Components". Wiley 1992.
Williams. "A Confidence Interval for Variance Components". Biometrika 49, 1962.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import integrate, stats

from alkit.errors import ConfigurationError

Curve = Mapping[int, float]
"""A metric by number of labels."""

Runs = Mapping[int, Curve]
"""Curves by seed."""

MINIMUM_SEEDS = 5
"""With fewer, intervals and tests are left out: their errors cannot be told from those of single runs."""

ROUNDING = 1e-12
"""Differences smaller than this share of what was measured are rounding, and count as none."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and how sure it is.

    Attributes
    ----------
    mean: float
        Over the seeds.
    n: int
        How many seeds.
    sd: float or None
        Standard deviation over the seeds (n - 1); None of one.
    low, high: float or None
        Interval of the mean by Student's t; None below :data:`MINIMUM_SEEDS`.
    p: float or None
        Of the two-sided t-test that the mean is zero; None below :data:`MINIMUM_SEEDS`. Where the values are equal
        but for :data:`ROUNDING`, `sd` is 0, the interval is the mean, and p is 1 for zeros and 0 for others.
    """

    mean: float
    n: int
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def estimate(values: Sequence[float], *, confidence: float = 0.95) -> Estimate:
    """Return the mean of one value per seed, with its spread, interval and test against zero.

    The interval is mean ± t sd / √n, where t is the (1 + `confidence`) / 2 quantile of Student's t with n - 1 degrees
    of freedom; the test's statistic is mean √n / sd.

    Raises
    ------
    ConfigurationError
        There is no value, one is not finite, or `confidence` is not between 0 and 1.

    Examples
    --------
    >>> found = estimate([0.1, 0.2, 0.3, 0.4, 0.5])
    >>> round(found.low, 3), round(found.mean, 3), round(found.high, 3)
    (0.104, 0.3, 0.496)
    >>> estimate([0.1, 0.3]).low is None
    True
    """
    return _estimate(values, values, confidence)


def _estimate(values: Sequence[float], measured: Sequence[float], confidence: float) -> Estimate:
    """Return the estimate of values that come from what was `measured`, whose size says what is rounding."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ConfigurationError("there is no mean of these values", got=list(values), expected="finite, at least one")
    _check_probability(confidence, "confidence")
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
    # Not scipy's own tests, which warn where the values are near to equal.
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error else float(abs(mean) <= rounding)
    return Estimate(mean, n, sd, mean - half, mean + half, p)


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
        for labels in _common_labels(runs.values())
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
    labels, values = _sorted(curve)
    if len(labels) < 2:
        raise ConfigurationError("there is no area under a point", got=dict(curve), expected="two numbers of labels")
    return float(integrate.trapezoid(values, labels) / (labels[-1] - labels[0]))


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
    seeds = _common_seeds(a, b)
    common = _common_labels([runs[seed] for runs in (a, b) for seed in seeds])
    if labels is not None and labels not in common:
        raise ConfigurationError(f"not all of these runs were measured at {labels} labels", expected=f"one of {common}")

    def value(curve: Curve) -> float:
        return float(curve[labels]) if labels is not None else aubc({there: curve[there] for there in common})

    return _gap([value(a[seed]) for seed in seeds], [value(b[seed]) for seed in seeds], confidence)


def _gap(a: Sequence[float], b: Sequence[float], confidence: float) -> Estimate:
    return _estimate([left - right for left, right in zip(a, b, strict=True)], [*a, *b], confidence)


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
    _check_probability(level, "level")
    return {
        winner: {loser: _wins(methods[winner], methods[loser], level) if winner != loser else None for loser in methods}
        for winner in methods
    }


def _wins(a: Runs, b: Runs, level: float) -> float | None:
    seeds = set(a) & set(b)
    if len(seeds) < MINIMUM_SEEDS:
        return None
    common = _common_labels([runs[seed] for runs in (a, b) for seed in seeds])
    gaps = [paired(a, b, labels=labels) for labels in common]
    return sum(gap.mean > 0 and gap.p is not None and gap.p < level for gap in gaps) / len(gaps)


def labels_to_reach(curve: Curve, value: float) -> float | None:
    """Return the number of labels at which a curve first reaches `value`, on straight lines between its points.

    None where it never does. A curve that begins above it reached it with its first labels, or with fewer: the answer
    is then an upper bound, the first number of labels.

    Raises
    ------
    ConfigurationError
        No point, or one or `value` is not finite.

    Examples
    --------
    >>> labels_to_reach({300: 0.6, 400: 0.8}, 0.7)
    350.0
    >>> labels_to_reach({300: 0.6, 400: 0.8}, 0.9) is None
    True
    """
    if not math.isfinite(value):
        raise ConfigurationError("this value cannot be reached", got=value, expected="a finite one")
    labels, values = _sorted(curve)
    if values[0] >= value:
        return float(labels[0])
    for (left, low), (right, high) in pairwise(zip(labels.tolist(), values.tolist(), strict=True)):
        if high >= value:
            return float(left + (right - left) * (value - low) / (high - low))
    return None


@dataclass(frozen=True)
class LabelsSaved:
    """How many labels fewer one method needs than another to reach a value.

    Seeds in which one of the two never reaches the value, or has it with its first labels, say only that the number is
    larger or smaller than something (they are censored). They are in no mean: look at the counts first.

    Attributes
    ----------
    saved: Estimate or None
        Labels that b needs less those that a needs, over the seeds in which both are seen to cross the value; None
        where there are none. No interval and no test unless that is all of the `n` seeds: which seeds are censored is
        no chance.
    reached_a, reached_b: int
        In how many of the seeds each reaches the value.
    began_a, began_b: int
        In how many of them it has it with the first labels already.
    n: int
        Seeds that both have.
    """

    saved: Estimate | None
    reached_a: int
    reached_b: int
    began_a: int
    began_b: int
    n: int


def labels_saved(a: Runs, b: Runs, value: float, *, confidence: float = 0.95) -> LabelsSaved:
    """Return how many labels a saves against b on the way to `value`, within seeds.

    Those of each run are its :func:`labels_to_reach`, where it crosses the value after its first labels.

    Raises
    ------
    ConfigurationError
        No seed in common, or a point or `value` is not finite.

    Examples
    --------
    >>> slow, fast = {0: {300: 0.6, 400: 0.8}}, {0: {300: 0.65, 400: 0.75}}
    >>> labels_saved(fast, slow, 0.675).saved.mean
    12.5
    >>> found = labels_saved({0: {300: 0.7, 400: 0.8}}, slow, 0.675)  # the fast one may have had it with 200
    >>> found.saved, found.began_a
    (None, 1)
    """
    seeds = _common_seeds(a, b)
    needed = [(labels_to_reach(a[seed], value), labels_to_reach(b[seed], value)) for seed in seeds]
    began = [tuple(runs[seed][min(runs[seed])] >= value for runs in (a, b)) for seed in seeds]
    both = [
        (ours, theirs)
        for (ours, theirs), early in zip(needed, began, strict=True)
        if ours is not None and theirs is not None and not any(early)
    ]
    saved = _gap([theirs for _, theirs in both], [ours for ours, _ in both], confidence) if both else None
    if saved and len(both) < len(seeds):
        saved = replace(saved, low=None, high=None, p=None)
    return LabelsSaved(
        saved,
        sum(ours is not None for ours, _ in needed),
        sum(theirs is not None for _, theirs in needed),
        sum(ours for ours, _ in began),
        sum(theirs for _, theirs in began),
        len(seeds),
    )


def share_of_ceiling(runs: Runs, ceiling: Mapping[int, float], *, labels: int, confidence: float = 0.95) -> Estimate:
    """Return which share of the full pool's metric is reached at a number of labels, seed by seed.

    Parameters
    ----------
    ceiling:
        By seed, the metric of the model that was trained on all labels.

    Raises
    ------
    ConfigurationError
        No seed has both, a ceiling is not positive and finite, or a value is not finite.

    Notes
    -----
    Over the seeds that have both: `n` says how many. The test against zero says nothing here; look at the interval.

    Examples
    --------
    >>> round(share_of_ceiling({0: {615: 0.78}}, {0: 0.84}, labels=615).mean, 3)
    0.929
    """
    seeds = sorted(seed for seed in set(runs) & set(ceiling) if labels in runs[seed])
    if not seeds:
        raise ConfigurationError(
            f"no seed has both a ceiling and {labels} labels", got=f"{sorted(runs)}, {sorted(ceiling)}"
        )
    if wrong := {seed: ceiling[seed] for seed in seeds if not 0 < ceiling[seed] < math.inf}:
        raise ConfigurationError("a ceiling is positive and finite", got=wrong)
    return estimate([runs[seed][labels] / ceiling[seed] for seed in seeds], confidence=confidence)


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
    _check_probability(confidence, "confidence")
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


def _check_probability(value: float, what: str) -> None:
    if not 0 < value < 1:
        raise ConfigurationError(f"this is no {what}", got=value, expected="between 0 and 1, such as 0.95 or 0.05")


def _common_seeds(a: Runs, b: Runs) -> list[int]:
    """Return the seeds that both methods have, rising."""
    if seeds := sorted(set(a) & set(b)):
        return seeds
    raise ConfigurationError(
        "these runs have no seed in common", got=f"{sorted(a)} and {sorted(b)}", hint="the same seeds for all methods"
    )


def _common_labels(curves: Iterable[Curve]) -> list[int]:
    """Return the numbers of labels that all curves have, rising."""
    sets = [set(curve) for curve in curves]
    common = sorted(set.intersection(*sets)) if sets else []
    if not common:
        raise ConfigurationError(
            "these runs have no number of labels in common", hint="the same start and batch for all"
        )
    return common


def _sorted(curve: Curve) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    labels = sorted(curve)
    values = np.array([curve[there] for there in labels], np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ConfigurationError("this is no curve", got=dict(curve), expected="finite values by number of labels")
    return np.array(labels, np.float64), values
