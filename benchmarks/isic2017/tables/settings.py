"""Tables of other settings: our choices, the ceiling, and the arithmetic."""

from __future__ import annotations

from alkit.report import Table
from alkit.statistics import estimate
from benchmarks.isic2017.protocol import METHODS, WEIGHTS
from benchmarks.isic2017.tables.cells import (
    OFF_ZERO,
    WITHIN,
    budgets_off_zero,
    dice_at,
    difference,
    gap_at,
    gap_of_areas,
    mean,
)
from benchmarks.isic2017.tables.curves import Results, ends


def own_choices(results: Results) -> Table:
    """Return the effect of two choices of this project on the comparison: the learning rate and the epochs.

    All settings use the same seeds, so that only the setting differs.
    """
    title = "Our choices: effect on Dice, from scratch, over the same seeds"
    methods = ("random", "ssl-cluster")
    names = {"": "the protocol", "lr-1e-3": "learning rate 1e-3 instead of 1e-4", "epochs-x2": "epochs x 2"}
    arms_of_setting = {name: [(method, "scratch", variant) for method in methods] for variant, name in names.items()}
    settings = {name: arms for name, arms in arms_of_setting.items() if all(arm in results for arm in arms)}
    every = [results[arm] for arms in settings.values() for arm in arms]
    seeds = sorted(set.intersection(*map(set, every))) if every else []
    if len(settings) < 2 or not seeds:
        return Table(["setting"], [], title)
    same = {arm: {seed: results[arm][seed] for seed in seeds} for arms in settings.values() for arm in arms}
    budgets = ends(every[0])
    lines = [
        [
            name,
            *(dice_at(same, arm, labels) for labels in budgets for arm in arms),
            *(gap_at(same, arms[1], arms[0], labels) for labels in budgets),
            gap_of_areas(same, arms[1], arms[0]),
            budgets_off_zero(same, arms[1], arms[0]),
        ]
        for name, arms in settings.items()
    ]
    header = ["setting", *(f"{method} at {labels}" for labels in budgets for method in methods)]
    header += [*(f"ssl-cluster - random at {labels}" for labels in budgets), "of AUBC", OFF_ZERO]
    return Table(header, lines, f"{title} (n={len(seeds)})")


def ceilings(results: Results) -> Table:
    """Return the Dice with the whole pool labelled at once."""
    names = {"full": "the protocol's epochs", "full-equal-steps": "as many images shown as in the protocol"}
    lines = [
        [
            f"{weights}, {text}",
            str(len(runs)),
            mean(estimate([curve[max(curve)] for curve in runs.values()])),
        ]
        for weights in WEIGHTS
        for variant, text in names.items()
        if (runs := results.get(("random", weights, variant)))
    ]
    arms = {(weights, variant): ("random", weights, variant) for weights in WEIGHTS for variant in names}
    pairs = {
        f"{weights}, the protocol's epochs - as many images shown": [arms[weights, variant] for variant in names]
        for weights in WEIGHTS
    }
    pairs |= {
        f"pretext - scratch, {text}": [arms[weights, variant] for weights in ("pretext", "scratch")]
        for variant, text in names.items()
    }
    last = {arm: {seed: {0: curve[max(curve)]} for seed, curve in runs.items()} for arm, runs in results.items()}
    for (weights, variant), arm in arms.items():
        pairs[f"{weights}, {names[variant]} - random's last round"] = [arm, ("random", weights, "")]
    for name, (a, b) in pairs.items():
        if cell := gap_at(last, a, b, 0):
            lines.append([name, str(len(set(last[a]) & set(last[b]))), cell])
    return Table(
        ["all labels from the start", "seeds", "Dice"], lines, "The ceiling: Dice with the whole pool labelled"
    )


def arithmetic(results: Results, wide: Results) -> Table:
    """Return how much the same runs differ with AVX-512 instructions (`wide`) and with AVX2 (`results`)."""
    lines = []
    for arm, runs in results.items():
        others = wide.get(arm, {})
        seeds = sorted(set(runs) & set(others))
        if not seeds:
            continue
        common = set.intersection(*(set(curves[seed]) for curves in (runs, others) for seed in seeds))
        gaps = {labels: [others[seed][labels] - runs[seed][labels] for seed in seeds] for labels in sorted(common)}
        largest = {labels: max(map(abs, found)) for labels, found in gaps.items()}
        cells = []
        for labels in dict.fromkeys((min(common), max(common))):
            cells += [difference(estimate(gaps[labels])), f"{largest[labels]:.3f}"]
        name = " ".join(part for part in arm if part)
        lines.append(
            [name, ", ".join(map(str, seeds)), *cells, *[""] * (4 - len(cells)), f"{max(largest.values()):.3f}"]
        )
    header = ["arm", "seeds", "first Dice, mean difference", "largest", "last Dice, mean difference", "largest"]
    header.append("largest at any budget")
    title = (
        "Effect of the arithmetic alone: AVX-512 - AVX2 instructions, within seeds; the pretext is trained separately "
        "with each, so only random from scratch has the same labels and the same initial weights"
    )
    return Table(header, lines, title)


def arithmetic_differences(results: Results, wide: Results) -> Table:
    """Return the differences of SSL-cluster to random with either kind of instructions."""
    lines = []
    for weights in WEIGHTS:
        random, ours = ((method, weights, "") for method in METHODS[:2])
        every = [measured.get(arm, {}) for arm in (random, ours) for measured in (results, wide)]
        if seeds := set.intersection(*map(set, every)):
            both = [{arm: {seed: measured[arm][seed] for seed in seeds} for arm in (random, ours)}
                    for measured in (results, wide)]  # fmt: skip
            for labels in ends(both[0][random]):
                gaps = [gap_at(measured, ours, random, labels) for measured in both]
                lines.append([weights, str(labels), *gaps])
    title = f"Effect of the arithmetic on a comparison: SSL-cluster - random, differences in Dice ({WITHIN})"
    return Table(["initial weights", "labels", "AVX2", "AVX-512"], lines, title)
