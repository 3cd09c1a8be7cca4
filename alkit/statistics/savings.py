"""Numbers of labels that a method saves, and its share of the metric of the full pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.statistics.comparisons import common_seeds, gap
from alkit.statistics.curves import Curve, Runs, sorted_curve
from alkit.statistics.estimates import Estimate, estimate


@checked_except("value")
def labels_to_reach(curve: Curve, value: float) -> float | None:
    """Return the number of labels at which a curve first reaches `value`, by linear interpolation between its points.

    Higher values are better. Negate the values of a metric that falls while a model improves, such as ``hd95``.
    It is None if the curve never reaches the value. If the curve starts at or above the value, it is the first number
    of labels of the curve, which is an upper bound.

    Raises
    ------
    ConfigurationError
        The curve has no values, or one of them or `value` is not finite.

    Examples
    --------
    >>> labels_to_reach({300: 0.6, 400: 0.8}, 0.7)
    350.0
    >>> labels_to_reach({300: 0.6, 400: 0.8}, 0.9) is None
    True
    """
    check_number("value", value)
    labels, values = sorted_curve(curve)
    if values[0] >= value:
        return float(labels[0])
    for (left, low), (right, high) in pairwise(zip(labels.tolist(), values.tolist(), strict=True)):
        if high >= value:
            return float(left + (right - left) * (value - low) / (high - low))
    return None


@checked
@dataclass(frozen=True)
class LabelsSaved:
    """The number of labels that method a saves compared with method b, to reach a value of the metric.

    A seed is censored if a method never reaches the value, or has it with its first labels: then the saved number of
    labels is only known to be above or below a bound. The mean does not include censored seeds, so look at the counts
    first.

    Attributes
    ----------
    saved: Estimate or None
        Labels that b needs minus labels that a needs, over the seeds that are not censored; None if all are. It has an
        interval and a test only if no seed is censored, because censored seeds are not a random sample.
    reached_a, reached_b: int
        Number of seeds in which each method reaches the value.
    began_a, began_b: int
        Number of seeds in which each method has the value with its first labels.
    n: int
        Number of seeds that both methods have.
    """

    saved: Estimate | None
    reached_a: int
    reached_b: int
    began_a: int
    began_b: int
    n: int


@checked
def labels_saved(a: Runs, b: Runs, value: float, *, confidence: float = 0.95) -> LabelsSaved:
    """Return the number of labels that method a saves compared with method b to reach `value`, within seeds.

    The number of labels of a run is its :func:`labels_to_reach`.

    Parameters
    ----------
    a, b:
        Runs of the two methods.
    value:
        Value of the metric.
    confidence:
        Confidence of the interval, in (0, 1).

    Raises
    ------
    ConfigurationError
        The methods have no seed in common, a value is not finite, or `confidence` is not in (0, 1).

    Examples
    --------
    >>> slow, fast = {0: {300: 0.6, 400: 0.8}}, {0: {300: 0.65, 400: 0.75}}
    >>> labels_saved(fast, slow, 0.675).saved.mean
    12.5
    >>> found = labels_saved({0: {300: 0.7, 400: 0.8}}, slow, 0.675)  # the fast method may have reached it with 200
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


@checked
def share_of_ceiling(runs: Runs, ceiling: Mapping[int, float], *, labels: int, confidence: float = 0.95) -> Estimate:
    """Return the metric at a number of labels as a share of the metric with all labels, within seeds.

    Parameters
    ----------
    runs:
        Runs of a method.
    ceiling:
        Metric of the model that was trained on all labels, by seed.
    labels:
        Number of labels.
    confidence:
        Confidence of the interval, in (0, 1).

    Raises
    ------
    ConfigurationError
        No seed has both values, a ceiling is not positive and finite, a value is not finite, or `confidence` is not in
        (0, 1).

    Notes
    -----
    The estimate is over the seeds that have both values; its `n` is their number. Its test against zero is meaningless
    here, but its interval is not.

    Examples
    --------
    >>> round(share_of_ceiling({0: {615: 0.78}}, {0: 0.84}, labels=615).mean, 3)
    0.929
    """
    seeds = sorted(seed for seed in set(runs) & set(ceiling) if labels in runs[seed])
    if not seeds:
        raise ConfigurationError(
            f"runs with {labels} labels and ceiling must have a seed in common",
            got=f"runs of seeds {sorted(runs)} and ceilings of seeds {sorted(ceiling)}",
        )
    if wrong := {seed: ceiling[seed] for seed in seeds if not 0 < ceiling[seed] < math.inf}:
        raise ConfigurationError("ceiling must be positive and finite for each seed", got=wrong)
    return estimate([runs[seed][labels] / ceiling[seed] for seed in seeds], confidence=confidence)
