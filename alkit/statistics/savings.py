"""How many labels a method saves, and its share of what is possible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from alkit.errors import ConfigurationError
from alkit.statistics.comparisons import common_seeds, gap
from alkit.statistics.curves import Curve, Runs, sorted_curve
from alkit.statistics.estimates import Estimate, estimate


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
    labels, values = sorted_curve(curve)
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
    seeds = common_seeds(a, b)
    needed = [(labels_to_reach(a[seed], value), labels_to_reach(b[seed], value)) for seed in seeds]
    began = [tuple(runs[seed][min(runs[seed])] >= value for runs in (a, b)) for seed in seeds]
    both = [
        (ours, theirs)
        for (ours, theirs), early in zip(needed, began, strict=True)
        if ours is not None and theirs is not None and not any(early)
    ]
    saved = gap([theirs for _, theirs in both], [ours for ours, _ in both], confidence) if both else None
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
