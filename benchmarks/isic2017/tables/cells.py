"""Cells of the tables: means, differences, intervals and counts as text.

Arms with fewer than five seeds have no interval and no test; the number of seeds is given beside each mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from alkit.statistics import Estimate, Runs, estimate, labels_saved, paired_difference
from benchmarks.isic2017.protocol import Arm
from benchmarks.isic2017.tables.curves import Results

WITHIN = "paired t-test within seeds"
OFF_ZERO = "budgets with the interval above zero, below zero"


def seed_count(results: Results, arm: Arm) -> str:
    """Return the number of seeds of an arm, or an empty text if it has none."""
    return f" (n={len(runs)})" if (runs := results.get(arm, {})) else ""


def mean(found: Estimate) -> str:
    """Return a mean with its standard deviation."""
    return f"{found.mean:.3f}" + ("" if found.sd is None else f" ± {found.sd:.3f}")


def difference(found: Estimate) -> str:
    """Return a difference with its interval, or below five seeds with its standard deviation and their number."""
    if found.low is not None:
        return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.mean:+.3f} " + ("(one seed)" if found.sd is None else f"± {found.sd:.3f} (n={found.n})")


def probability(p: float | None) -> str:
    """Return a p-value, or an empty text if there was no test."""
    return "" if p is None else "<0.001" if p < 0.0005 else f"{p:.3f}"


def dice_at(results: Results, arm: Arm, labels: int) -> str:
    """Return mean and standard deviation of an arm's Dice at a number of labels."""
    values = [curve[labels] for curve in results.get(arm, {}).values() if labels in curve]
    return mean(estimate(values)) if values else ""


def gap_at(results: Results, a: Arm, b: Arm, labels: int) -> str:
    """Return the difference within seeds between two arms at a number of labels."""
    runs = [{seed: curve for seed, curve in results.get(arm, {}).items() if labels in curve} for arm in (a, b)]
    return difference(paired_difference(*runs, labels=labels)) if set(runs[0]) & set(runs[1]) else ""


def gap_of_areas(results: Results, a: Arm, b: Arm) -> str:
    """Return the difference within seeds between the areas under the curves of two arms."""
    runs = results.get(a, {}), results.get(b, {})
    return difference(paired_difference(*runs)) if set(runs[0]) & set(runs[1]) else ""


def budgets_off_zero(results: Results, a: Arm, b: Arm) -> str:
    """Count the budgets at which the interval of the difference of two arms excludes zero, by side.

    Budgets at which the runs are equal, as with a common start set, are left out.
    """
    common = set.intersection(*(set(curve) for arm in (a, b) for curve in results[arm].values()))
    gaps = [paired_difference(results[a], results[b], labels=labels) for labels in sorted(common)]
    known = [gap for gap in gaps if gap.low is not None and gap.high is not None and gap.sd]
    above, below = sum(gap.low > 0 for gap in known), sum(gap.high < 0 for gap in known)
    return f"{above}, {below} of {len(known)}" if known else ""


def count_off_zero(lines: Sequence[Sequence[str]]) -> str:
    """Count in words the intervals in some rows of cells that exclude zero, by side."""
    intervals = [cell.partition("[")[2].rstrip("]").split(", ") for line in lines for cell in line if "[" in cell]
    above, below = sum(low.startswith("+") for low, _ in intervals), sum(high.startswith("-") for _, high in intervals)
    return f"of {len(intervals)} intervals, {above} lie above zero and {below} below; they are not independent"


def savings(runs: Runs, random: Runs, target: float) -> tuple[str, str]:
    """Return how many labels a method saves against random, and the number of seeds in which both cross the target.

    The number of labels is given only if at least four of five seeds cross it, because it leaves the other seeds out.
    """
    found = labels_saved(runs, random, target)
    crossed = found.saved.n if found.saved else 0
    never = found.n - min(found.reached_a, found.reached_b)
    began = max(found.began_a, found.began_b)
    seeds = f"{crossed} of {found.n} ({never}, {began})"
    if not found.saved or crossed < max(2, 0.8 * found.n):
        return "no number", seeds
    if found.saved.low is not None:
        return f"{found.saved.mean:+.0f} [{found.saved.low:+.0f}, {found.saved.high:+.0f}]", seeds
    return f"{found.saved.mean:+.0f} ± {found.saved.sd:.0f}", seeds
