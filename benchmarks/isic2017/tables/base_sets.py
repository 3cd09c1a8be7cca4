"""Tables of the base sets: their Dice, their differences, and the sources of its variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from alkit.report import Table
from alkit.statistics import estimate, variance_parts
from benchmarks.isic2017.results import BaseSetKey, TrainedBaseSet, key_of

STOPPED_ON_TEST = ", stopped on test"

Choice = tuple[str, str]
"""Base set, masks."""


def base_set_tables(measured: Sequence[TrainedBaseSet]) -> dict[str, Table]:
    """Return the tables that have rows, by the name of their file."""
    initials = sorted({row.initial for row in measured})
    dice = {key_of(row): row.dice for row in measured}
    random = {
        (str(initial), choice): value
        for (choice, masks, initial), value in dice.items()
        if choice.startswith("random") and masks == "whole"
    }
    tables = {
        "base-sets": base_sets(dice, initials),
        "base-set-differences": differences(dice, initials),
        "variance": variance(random),
    }
    return {name: table for name, table in tables.items() if table.rows}


def base_sets(dice: dict[BaseSetKey, float], initials: Sequence[int]) -> Table:
    """Return Dice by base set and initial weights."""
    lines = []
    for choice, masks in dict.fromkeys((choice, masks) for choice, masks, _ in dice):
        values = [dice.get((choice, masks, initial)) for initial in initials]
        known = [value for value in values if value is not None]
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        lines.append([choice, masks, *cells, f"{np.mean(known):.3f}"])
    header = ["base set", "masks", *(f"weights {initial}" for initial in initials), "mean"]
    return Table(header, lines, "Base sets: Dice at the first labels, by initial weights, from scratch")


def differences(dice: dict[BaseSetKey, float], initials: Sequence[int]) -> Table:
    """Return the differences between base sets under the same initial weights.

    There are two tests if a side has more than one set. The test over initial weights asks whether these sets are
    better than those. The test against the spread of the sets asks whether sets of this kind are better than sets of
    that kind.
    """
    values: dict[Choice, list[float]] = {}
    for choice, masks, _ in dice:
        found = [dice[choice, masks, initial] for initial in initials if (choice, masks, initial) in dice]
        if len(found) == len(initials):
            values[choice, masks] = found
    random, clustered = (
        [(choice, masks) for choice, masks in values if masks == "whole" and choice.removeprefix(kind).isdecimal()]
        for kind in ("random ", "ssl-cluster ")
    )
    random = random if len(random) > 1 else []
    against = f"mean of {len(random)} random sets"
    wanted = {
        f"mean of {len(clustered)} ssl-cluster sets - {against}": (clustered if len(clustered) > 1 else [], random)
    }
    for choice, masks in values:
        if masks == "whole" and (choice, masks) not in random:
            wanted[f"{choice} - {against}"] = [(choice, masks)], random
        if choice.endswith(STOPPED_ON_TEST):
            plain = choice.removesuffix(STOPPED_ON_TEST)
            wanted[f"{choice} - {plain}"] = [(choice, masks)], [(plain, masks)]
        if masks == "eroded":
            wanted[f"{choice}: eroded - whole masks"] = [(choice, masks)], [(choice, "whole")]
    header = ["difference", "mean", "95 % interval", "p", "interval by the spread of the sets", "its p"]
    return Table(
        [*header, *(f"weights {initial}" for initial in initials)],
        [
            [name, *_difference(values, *sides)]
            for name, sides in wanted.items()
            if all(sides) and {*sides[0], *sides[1]} <= {*values}
        ],
        "Base sets, differences: Dice of one side minus the other under the same initial weights (paired t-test)",
    )


def _difference(values: dict[Choice, list[float]], ours: Sequence[Choice], theirs: Sequence[Choice]) -> list[str]:
    """Return the cells of the difference between the mean of some base sets and the mean of others."""
    a, b = (np.array([values[choice] for choice in side]) for side in (ours, theirs))
    gaps = (a.mean(0) - b.mean(0)).tolist()
    found = estimate(gaps)
    interval = "" if found.low is None else f"[{found.low:+.4f}, {found.high:+.4f}]"
    cells = [f"{found.mean:+.4f}", interval, "" if found.p is None else f"{found.p:.3f}"]
    return [*cells, *_by_spread(a.mean(1), b.mean(1)), *(f"{gap:+.3f}" for gap in gaps)]


def _by_spread(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> tuple[str, str]:
    """Return interval and p of the difference of two kinds of base sets, by their pooled variance (Student's t)."""
    freedom = len(ours) + len(theirs) - 2
    squares = sum(float(((side - side.mean()) ** 2).sum()) for side in (ours, theirs))
    if not freedom or not squares:
        return "", ""
    error = (squares / freedom * (1 / len(ours) + 1 / len(theirs))) ** 0.5
    gap, reach = ours.mean() - theirs.mean(), stats.t.ppf(0.975, freedom) * error
    return f"[{gap - reach:+.4f}, {gap + reach:+.4f}]", f"{2 * stats.t.sf(abs(gap) / error, freedom):.3f}"


def variance(random: dict[tuple[str, str], float]) -> Table:
    """Return the variance of Dice over random base sets by source; no rows if some pairs are missing."""
    title = "Where the variance comes from: standard deviation of Dice over random base sets, by source"
    initials, choices = ({pair[side] for pair in random} for side in (0, 1))
    if min(len(initials), len(choices)) < 2 or len(random) < len(initials) * len(choices):
        return Table(["source"], [], title)
    parts = variance_parts(random)
    names = {
        "initial": "initial weights and order of training",
        "choice": "images, drawn at random",
        "residual": "interaction of both, and rounding",
    }
    lines = [
        [
            name,
            f"{getattr(parts, part) ** 0.5:.3f}" + " (estimated below zero)" * (part in parts.below_zero),
            " to ".join(f"{bound**0.5:.3f}" for bound in parts.intervals[part]),
        ]
        for part, name in names.items()
    ]
    return Table(["source", "standard deviation", "95 % interval"], lines, title)
