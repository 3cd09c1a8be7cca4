"""Tables of the benchmark, computed from its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from alkit.report import Table
from benchmarks.cold_start.tables import NAMES
from benchmarks.labels.curves import (
    MEASURES,
    Case,
    Results,
    corrected,
    gain,
    labels_text,
    mean_curve,
    needed,
    needed_by_seed,
)
from benchmarks.labels.protocol import BUDGETS, LONG, RANDOM

LEARNER_NAMES = {
    "long": f"strong learner with {LONG} steps",
    "strong": "strong learner",
    "paper": "paper's learner",
}
SHARES = (0.9, 0.95, 0.97, 0.99)


def tables_of(results: Results) -> dict[str, Table]:
    """Return all tables by the name of their file."""
    tables = {"ceilings": ceilings(results), "areas": areas(results), "saving": saving(results)}
    for case in results.cases():
        data, size, learner = case
        tables[f"{data}-{size}-{learner}-levels"] = levels(results, case)
        tables[f"{data}-{size}-{learner}-reach"] = reach(results, case)
    return {name: table for name, table in tables.items() if table.rows}


def name_of(case: Case) -> str:
    """Return the words for a case."""
    data, size, learner = case
    return f"{NAMES[data]} at {size} pixels, {LEARNER_NAMES[learner]}"


def levels(results: Results, case: Case) -> Table:
    """Return mean Dice by number of labels: over images, over kinds, and of the worst kind."""
    lines = []
    for arm in results.arms(case):
        curves = [mean_curve(results.runs(case, arm, measure)) for measure in MEASURES]
        cells = [" / ".join(f"{curve[labels]:.3f}" for curve in curves) for labels in BUDGETS[case[0]]]
        lines.append((arm, *cells, str(len(results.finished(case, arm)))))
    about = "mean Dice over images / over kinds / of the worst kind, by number of labels"
    return Table(("strategy", *map(str, BUDGETS[case[0]]), "seeds"), lines, f"{name_of(case)}: {about}.")


def ceilings(results: Results) -> Table:
    """Return the Dice of each learner that was trained on the whole pool, by length of the training."""
    lines = []
    for case in results.cases():
        if case[2] != "long" and (found := results.ceiling(case)):
            unit = "epochs" if case[2] == "paper" else "steps"
            means = ", ".join(f"{length} {unit}: {mean:.3f}" for length, mean in found.means.items())
            longest = "yes" if found.length == max(found.means, default=0) else "no"
            lines.append(
                (name_of(case), str(found.labels), means, f"{found.mean:.3f}", longest, str(len(found.by_seed)))
            )
    header = ("data and learner", "labels", "mean Dice over images", "ceiling", "longest training is best", "seeds")
    return Table(header, lines, "Ceilings: mean Dice of a learner that is trained on the whole pool.")


def reach(results: Results, case: Case) -> Table:
    """Return the numbers of labels that reach shares of the ceiling, by each measure."""
    budgets = BUDGETS[case[0]]
    lines = []
    for measure, words in MEASURES.items():
        found = results.ceiling(case, measure)
        for arm in results.arms(case) if found else ():
            assert found
            runs = results.runs(case, arm, measure)
            cells = []
            for share in SHARES:
                mean = labels_text(needed(runs, share * found.mean), budgets)
                seeds = needed_by_seed(runs, {seed: share * own for seed, own in found.by_seed.items()})
                cells.append(f"{mean} ({sum(labels is not None for labels in seeds)} of {len(seeds)})")
            lines.append((words, arm, *cells))
    about = (
        "labels at which the mean curve reaches a share of the learner's ceiling by the same measure, and in "
        "parentheses how many seeds reach that share of their own ceiling"
    )
    header = ("Dice", "strategy", *(f"{share:.0%}" for share in SHARES))
    return Table(header, lines, f"{name_of(case)}: {about}.")


def areas(results: Results) -> Table:
    """Return the area under the curve of each arm compared with random selection."""
    lines = []
    p = {measure: corrected(results, measure) for measure in MEASURES}
    for case in results.cases():
        for arm in results.arms(case):
            if arm == RANDOM:
                continue
            cells = []
            for measure in MEASURES:
                own = gain(results, case, arm, measure)
                cells.append("" if own is None else f"{own}{_p(p[measure][case, arm])}")
            lines.append((name_of(case), arm, *cells))
    about = (
        "Area under the curve over the logarithm of the number of labels, minus that of random selection within seeds, "
        "in Dice, with 95 % intervals and p after Holm's correction for all lines"
    )
    return Table(("data and learner", "strategy", *MEASURES.values()), lines, f"{about}.")


def saving(results: Results) -> Table:
    """Return how many labels each learner and strategy need for what the paper's learner reaches at random."""
    lines = []
    for case in results.cases():
        data, size, _ = case
        target = level_of_paper(results, data, size)
        if target is None:
            continue
        for arm in results.arms(case):
            runs = results.runs(case, arm)
            lines.append((name_of(case), arm, f"{target:.3f}", labels_text(needed(runs, target), BUDGETS[data])))
    about = "Labels to reach the Dice that the paper's learner reaches with the largest number of random labels"
    return Table(("data and learner", "strategy", "Dice", "labels"), lines, f"{about}.")


def level_of_paper(results: Results, data: str, size: int) -> float | None:
    """Return the mean Dice of the paper's learner with the largest number of random labels; None without its runs."""
    runs = results.runs((data, size, "paper"), RANDOM)
    return mean_curve(runs)[BUDGETS[data][-1]] if runs else None


def settings(trials: Sequence[Mapping[str, str]]) -> Table:
    """Return the mean Dice of the settings that were tried on the tuning images, by number of labels."""
    found: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = {}
    for trial in trials:
        own = found.setdefault((trial["steps"], f"{float(trial['lr']):g}"), {})
        own.setdefault((trial["data"], int(trial["labels"])), []).append(float(trial["dice"]))
    places = list(dict.fromkeys(place for own in found.values() for place in own))
    lines = [
        (*setting, *(f"{mean(own[place]):.3f}" if place in own else "" for place in places))
        for setting, own in found.items()
    ]
    seeds = len({trial["seed"] for trial in trials})
    return Table(
        ("steps", "learning rate", *(f"{NAMES[data]}, {labels}" for data, labels in places)),
        lines,
        f"Mean Dice of {seeds} trainings on tuning images, by data set and number of labels.",
    )


def _p(corrected: float | None) -> str:
    if corrected is None:
        return ""
    return ", p < 0.001" if corrected < 0.001 else f", p = {corrected:.3f}"
