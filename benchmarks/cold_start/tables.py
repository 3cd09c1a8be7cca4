"""Tables of the benchmark, computed from its rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import fmean

from alkit.report import Table
from alkit.statistics import Estimate, estimate, holm
from benchmarks.cold_start.protocol import BUDGETS, CHOOSE, CONFIRM, RANDOM, Arm
from benchmarks.cold_start.runs import Row

MEASURES = {"images": "mean over images", "kinds": "mean over kinds", "worst": "worst kind"}

Values = dict[tuple[str, Arm, int, int], Row]


def tables_of(measured: Sequence[Row]) -> dict[str, Table]:
    """Return all tables by the name of their file."""
    values = {row.run: row for row in measured}
    sets = list(dict.fromkeys(row.data for row in measured))
    tables = {}
    for name, seeds in (("choose", CHOOSE), ("confirm", CONFIRM)):
        tables[f"overall-{name}"] = gains(values, sets, seeds, f"All data sets, seeds {seeds[0]} to {seeds[-1]}.")
        for data in sets:
            caption = f"{data.capitalize()}, seeds {seeds[0]} to {seeds[-1]}."
            tables[f"{data}-{name}"] = gains(values, [data], seeds, caption)
    both = [*CHOOSE, *CONFIRM]
    for data in sets:
        tables[f"{data}-levels"] = levels(values, data, both)
    return {name: table for name, table in tables.items() if table.rows}


def gains(values: Values, sets: Sequence[str], seeds: Collection[int], caption: str) -> Table:
    """Return the gain of each arm over random selection, averaged over budgets and data sets."""
    arms = complete_arms(values, sets, seeds)
    found = {measure: {arm: gain(values, arm, sets, seeds, measure) for arm in arms} for measure in MEASURES}
    corrected = {measure: holm({arm: own.p for arm, own in some.items()}) for measure, some in found.items()}
    arms.sort(key=lambda arm: -found["kinds"][arm].mean)
    lines = []
    for arm in arms:
        cells = [f"{found[measure][arm]}{_p(corrected[measure][arm])}" for measure in MEASURES]
        lines.append((arm.strategy, arm.features, *cells))
    header = ("strategy", "features", *MEASURES.values())
    about = "Dice minus that of random selection within seeds, averaged over the budgets, with 95 % intervals and "
    return Table(header, lines, f"{caption} {about}p after Holm's correction for the number of arms.")


def gain(values: Values, arm: Arm, sets: Sequence[str], seeds: Collection[int], measure: str) -> Estimate:
    """Return the mean over seeds of the gain over random selection, averaged over budgets and data sets."""

    def value(data: str, own: Arm, seed: int, labels: int) -> float:
        return float(getattr(values[data, own, seed, labels], measure))

    return estimate(
        [
            fmean(
                value(data, arm, seed, labels) - value(data, RANDOM, seed, labels)
                for data in sets
                for labels in BUDGETS
            )
            for seed in seeds
        ]
    )


def levels(values: Values, data: str, seeds: Collection[int]) -> Table:
    """Return mean Dice by number of labels: over images, and over kinds."""
    arms = [RANDOM, *complete_arms(values, [data], seeds)]
    lines = []
    for arm in arms if len(arms) > 1 else []:
        cells = []
        for labels in BUDGETS:
            rows = [values[data, arm, seed, labels] for seed in seeds]
            cells.append(" / ".join(f"{fmean(getattr(row, m) for row in rows):.3f}" for m in MEASURES))
        lines.append((arm.strategy, arm.features, *cells))
    about = "mean Dice over images / over kinds / of the worst kind, by number of labels, over all seeds."
    return Table(("strategy", "features", *map(str, BUDGETS)), lines, f"{data.capitalize()}: {about}")


def complete_arms(values: Values, sets: Sequence[str], seeds: Collection[int]) -> list[Arm]:
    """Return the arms, without random selection, that have all runs."""
    arms = list(dict.fromkeys(run[1] for run in values))
    needed = [(data, seed, labels) for data in sets for seed in seeds for labels in BUDGETS]
    return [
        arm
        for arm in arms
        if arm != RANDOM
        and all((data, own, seed, labels) in values for own in (arm, RANDOM) for data, seed, labels in needed)
    ]


def _p(corrected: float | None) -> str:
    if corrected is None:
        return ""
    return ", p < 0.001" if corrected < 0.001 else f", p = {corrected:.3f}"
