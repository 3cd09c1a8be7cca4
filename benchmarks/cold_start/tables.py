"""Tables of the benchmark, computed from its rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean

from alkit.report import Table
from alkit.statistics import Estimate, estimate, holm
from benchmarks.cold_start.protocol import BUDGETS, CHOOSE, CONFIRM, RANDOM, Arm
from benchmarks.cold_start.runs import Row, read_rows

MEASURES = {"images": "mean over images", "kinds": "mean over kinds", "worst": "worst kind"}

NAMES = {"isic": "ISIC 2017", "nuclei": "Nuclei", "hippocampus": "Hippocampus"}
"""Names of the data sets in the tables."""

Values = dict[tuple[str, Arm, int, int], Row]


def tables_in(folder: Path) -> dict[str, Table]:
    """Return all tables of a folder of rows by the name of their file."""
    tables = tables_of([row for name in NAMES for row in read_rows(folder / f"{name}.csv")])
    if trained := read_rows(folder / "network.csv"):
        tables["network"] = network_table(trained)
    return tables


def tables_of(measured: Sequence[Row]) -> dict[str, Table]:
    """Return all tables by the name of their file."""
    values = {row.run: row for row in measured}
    sets = list(dict.fromkeys(row.data for row in measured))
    tables = {}
    for name, seeds in (("choose", CHOOSE), ("confirm", CONFIRM)):
        tables[f"overall-{name}"] = gains(values, sets, seeds, f"All data sets, seeds {seeds[0]} to {seeds[-1]}.")
        for data in sets:
            caption = f"{NAMES.get(data, data)}, seeds {seeds[0]} to {seeds[-1]}."
            tables[f"{data}-{name}"] = gains(values, [data], seeds, caption)
    both = [*CHOOSE, *CONFIRM]
    for measure in ("images", "kinds"):
        tables[f"gains-{measure}"] = gains_by_labels(values, sets, both, measure)
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


def network_table(measured: Sequence[Row]) -> Table:
    """Return the gain of each arm over random selection with a real network, by data set and number of labels."""
    values = {row.run: row for row in measured}
    lines = []
    for data, labels in dict.fromkeys((row.data, row.labels) for row in measured):
        for arm in dict.fromkeys(row_arm for _, row_arm, _, _ in values if row_arm != RANDOM):
            seeds = [
                seed
                for some, own, seed, n in values
                if (some, own, n) == (data, arm, labels) and (data, RANDOM, seed, labels) in values
            ]
            if not seeds:
                continue
            cells = []
            for measure in ("images", "kinds"):
                found = gain(values, arm, [data], seeds, measure, [labels])
                level = fmean(getattr(values[data, RANDOM, seed, labels], measure) for seed in seeds)
                cells.append(f"{level:.3f}, {found}")
            lines.append(
                (NAMES.get(data, data), str(labels), f"{arm.strategy}, {arm.features}", *cells, str(len(seeds)))
            )
    header = ("data", "labels", "strategy", MEASURES["images"], MEASURES["kinds"], "seeds")
    return Table(
        header, lines, "A U-Net at 64 x 64 pixels: Dice of random selection, and the gain with its 95 % interval."
    )


def gain(
    values: Values,
    arm: Arm,
    sets: Sequence[str],
    seeds: Collection[int],
    measure: str,
    budgets: Sequence[int] = BUDGETS,
) -> Estimate:
    """Return the mean over seeds of the gain over random selection, averaged over budgets and data sets."""

    def value(data: str, own: Arm, seed: int, labels: int) -> float:
        return float(getattr(values[data, own, seed, labels], measure))

    return estimate(
        [
            fmean(
                value(data, arm, seed, labels) - value(data, RANDOM, seed, labels)
                for data in sets
                for labels in budgets
            )
            for seed in seeds
        ]
    )


def gains_by_labels(values: Values, sets: Sequence[str], seeds: Collection[int], measure: str) -> Table:
    """Return the gain of each arm over random selection at each number of labels, averaged over data sets."""
    lines = []
    for arm in complete_arms(values, sets, seeds):
        cells = [str(gain(values, arm, sets, seeds, measure, [labels])) for labels in BUDGETS]
        lines.append((arm.strategy, arm.features, *cells))
    about = f"{MEASURES[measure]}, Dice minus that of random selection by number of labels, with 95 % intervals."
    return Table(("strategy", "features", *map(str, BUDGETS)), lines, f"All data sets, all seeds: {about}")


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
    return Table(("strategy", "features", *map(str, BUDGETS)), lines, f"{NAMES.get(data, data)}: {about}")


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
