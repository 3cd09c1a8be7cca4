"""The page ``docs/explanation/labels.md``: text, figures and tables that follow from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Template

from benchmarks import rows
from benchmarks.cold_start.tables import NAMES
from benchmarks.labels.curves import (
    Case,
    Results,
    Runs,
    corrected,
    gain,
    labels_text,
    mean_curve,
    needed,
)
from benchmarks.labels.protocol import ARMS, BLOCK, BUDGETS, LEARNERS, LONG, RANDOM, SEEDS
from benchmarks.labels.runs import Book, Row
from benchmarks.labels.tables import LEARNER_NAMES, level_of_paper, settings, tables_of

TEMPLATE = Path(__file__).with_suffix(".md")
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "labels.md"
ROWS, TRIALS = "rows.csv", "tuning.csv"
ISIC: Case = ("isic", 64, "strong")
LONGER: Case = ("isic", 64, "long")
GOALS = ((0.97, 80), (0.99, 200))
"""Shares of the ceiling, and numbers of labels that should reach them on ISIC."""

PAPER_DICE, PAPER_GOAL = 0.800, 30
"""Final Dice of the paper with 615 labels, and the number of labels that should reach it."""


def write_report(work: Path, out: Path, page: Path = PAGE) -> None:
    """Add the finished rows of a folder of work to the committed ones, and write tables and page."""
    found = Book(work, out / ROWS).rows()
    out.mkdir(parents=True, exist_ok=True)
    if found:
        found.sort(key=_order)
        rows.write(out / ROWS, [vars(row) for row in found])
    results = Results(found)
    for old in out.glob("*.md"):
        old.unlink()
    for name, table in tables_of(results).items():
        (out / f"{name}.md").write_text(f"{table.caption}\n\n{table.markdown()}\n")
    page.write_text(page_of(results, rows.read(out / TRIALS)))


def _order(row: Row) -> tuple[object, ...]:
    arms = [*ARMS, "full"]
    sets = list(BUDGETS)
    return (
        sets.index(row.data), row.size, LEARNERS.index(row.learner), arms.index(row.arm), row.length, row.seed,
        row.labels,
    )  # fmt: skip


def page_of(results: Results, trials: Sequence[Mapping[str, str]] = ()) -> str:
    """Return the text of the page, from the results and the settings that were tried on the tuning images."""
    tried = settings(trials)
    tables = {name: f"{table.caption}\n\n{table.markdown()}\n" for name, table in tables_of(results).items()}
    named = {name: tables.pop(name, NOTHING).strip() for name in ("ceilings", "saving", "areas")}
    return Template(TEMPLATE.read_text(), keep_trailing_newline=True).render(
        headline=headline(results),
        findings=findings(results),
        coverage=coverage(results),
        steps=steps(results),
        decomposition=decomposition(results),
        settings=f"{tried.caption}\n\n{tried.markdown()}".strip() if trials else NOTHING,
        budgets={name: ", ".join(map(str, own)) for name, own in BUDGETS.items()},
        tables="\n\n".join(table.strip() for table in tables.values()) or NOTHING,
        **named,
    )


def headline(results: Results) -> str:
    """Return the first sentence."""
    if not results.cases():
        return "Nothing has been measured yet."
    parts = [part for part in (_learning(results), _ceiling(results), _strategies(results)) if part]
    text = "; ".join(parts) + "."
    if not _is_complete(results):
        return f"A part of the grid is measured: {text}"
    return text[0].upper() + text[1:]


def _learning(results: Results) -> str:
    target, runs = level_of_paper(results, "isic", 64), results.runs(ISIC, RANDOM)
    if target is None or not runs:
        return ""
    budgets = BUDGETS["isic"]
    return (
        f"with {labels_text(needed(runs, target), budgets)} random labels of ISIC 2017, the strong learner is as good "
        f"as the paper's with {budgets[-1]} (Dice {target:.3f})"
    )


def _ceiling(results: Results) -> str:
    runs, ceiling, most = results.runs(ISIC, RANDOM), results.ceiling(ISIC), BUDGETS["isic"][-1]
    if not runs or not ceiling:
        return ""
    value, of_all = 0.97 * ceiling.mean, f"97 % of the Dice of all {ceiling.labels} labels"
    labels = needed(runs, value)
    text = (
        f"it does not reach {of_all} with {most}"
        if labels is None
        else f"it reaches {of_all} with {labels_text(labels, BUDGETS['isic'])}"
    )
    if patient := _runs(results, LONGER):
        text += f" ({labels_text(needed(patient, value), BUDGETS['isic'])} if it takes {LONG} steps, not 300)"
    return text


def _strategies(results: Results) -> str:
    better, tested = winners(results), compared(results)
    if not tested:
        return "whether a strategy beats random selection is open, because too few seeds are finished"
    beaten = [data for data in tested if better.get(data)]
    if len(beaten) >= 2:
        return f"some strategy beats random selection on {len(beaten)} of {len(tested)} data sets ({_names(beaten)})"
    names = _words([f"`{arm}`" for arm in dict.fromkeys(arm for arms in tested.values() for arm in arms)])
    where = f"only on {_names(beaten)}" if beaten else "on none"
    if len(tested) == 1:
        if beaten:
            who = f"a strategy beats random selection ({names} were compared)"
        else:
            who = f"none of the strategies that were compared ({names}) beats random selection"
        return f"on {_names(list(tested))}, the only data set with enough seeds, {who}"
    return (
        f"none of the strategies that were compared ({names}) beats random selection on two data sets ({where} of "
        f"{_names(list(tested))}, after Holm's correction)"
    )


def compared(results: Results) -> dict[str, list[str]]:
    """Return the data sets with enough seeds to test strategies against random selection, and these strategies."""
    found: dict[str, list[str]] = {}
    for (case, arm), value in corrected(results, "images").items():
        if value is not None and arm not in found.get(case[0], []):
            found.setdefault(case[0], []).append(arm)
    return found


def winners(results: Results) -> dict[str, list[tuple[Case, str]]]:
    """Return the arms whose area is larger than that of random selection, by data set."""
    p = corrected(results, "images")
    found: dict[str, list[tuple[Case, str]]] = {}
    for (case, arm), value in p.items():
        own = gain(results, case, arm)
        if own and own.mean > 0 and value is not None and value < 0.05:
            found.setdefault(case[0], []).append((case, arm))
    return found


def findings(results: Results) -> list[str]:
    """Return the goals, and whether they are reached; and what helps and what harms."""
    found = []
    if ceiling := results.ceiling(ISIC):
        for share, goal in GOALS:
            found.append(
                f"Goal: {share:.0%} of the ceiling on ISIC with at most {goal} labels. "
                f"{_reached(results, share * ceiling.mean, goal)}"
            )
    if results.runs(ISIC, RANDOM):
        found.append(
            f"Goal: the paper's final Dice of {PAPER_DICE:.3f} (615 labels, other images, grayscale) with at most "
            f"{PAPER_GOAL} labels. {_reached(results, PAPER_DICE, PAPER_GOAL)}"
        )
    better, tested = winners(results), compared(results)
    reached = sum(bool(better.get(data)) for data in tested) >= 2
    missed = "Not reached" if _is_complete(results) else "Not reached by what is compared so far"
    found.append(
        "Goal: a strategy that beats random selection by the area under the curve on two of the three data sets (Holm, "
        f"p < 0.05). {'Reached' if reached else missed}."
    )
    for data in tested:
        named = [f"`{arm}` ({LEARNER_NAMES[case[2]]})" for case, arm in better.get(data, [])]
        beats = "beat" if len(named) > 1 else "beats"
        others = _words([f"`{arm}`" for arm in tested[data]])
        who = ", ".join(named) or "no strategy"
        found.append(f"{NAMES[data]}: {who} {beats} random selection over images (compared: {others}).")
    if untested := [data for data in BUDGETS if data not in tested]:
        found.append(f"{_names(untested)}: too few seeds are finished to compare strategies.")
    worse = [
        f"`{arm}` ({NAMES[case[0]]}, {LEARNER_NAMES[case[2]]})"
        for (case, arm), value in corrected(results, "images").items()
        if (own := gain(results, case, arm)) and own.mean < 0 and value is not None and value < 0.05
    ]
    if worse:
        found.append(f"Worse than random selection over images: {', '.join(worse)}.")
    return found


def _reached(results: Results, value: float, goal: int) -> str:
    """Return whether a goal is reached on ISIC with random labels, by the strong learner or with more steps."""
    parts = {}
    for case in (ISIC, LONGER):
        if runs := _runs(results, case):
            parts[case] = needed(runs, value)
    told = [
        f"{labels_text(labels, BUDGETS['isic'])} with the {LEARNER_NAMES[case[2]]}" for case, labels in parts.items()
    ]
    reached = [case for case, labels in parts.items() if labels is not None and labels <= goal]
    words = "Reached" if ISIC in reached else f"Reached only with {LONG} steps" if reached else "Not reached"
    return f"{words}: random labels, {', '.join(told)}."


def _runs(results: Results, case: Case) -> Runs:
    """Return the runs with random labels; none of more steps while these have too few seeds."""
    runs = results.runs(case, RANDOM)
    return runs if case != LONGER or len(runs) >= BLOCK else {}


def coverage(results: Results) -> str:
    """Return which part of the grid is there."""
    lines = []
    for case, counts in _counts(results).items():
        least, most = min(counts), max(counts)
        seeds = f"{least or 'no'} seed{'s' * (least != 1)}" if least == most else f"{least} to {most} seeds"
        lines.append(f"{NAMES[case[0]]}, {LEARNER_NAMES[case[2]]}: {seeds} of each strategy")
    machines = sorted({row.machine for row in results.rows})
    commits = sorted({row.commit for row in results.rows})
    start = (
        "All runs are there."
        if _is_complete(results)
        else f"**The grid of {len(SEEDS)} seeds is not complete.** ISIC at 128 pixels was not run."
    )
    return "\n".join(
        [
            f"{start} The rows have:",
            "",
            *(f"- {line};" for line in lines[:-1]),
            f"- {lines[-1]}.",
            "",
            f"Machines: {'; '.join(machines) or 'none'}. Commits: {', '.join(commits) or 'none'}.",
        ]
    )


def _counts(results: Results) -> dict[Case, list[int]]:
    """Return the number of finished seeds of each arm, by case."""
    cases = [(data, 64, learner) for data in BUDGETS for learner in LEARNERS if learner != "long" or data == "isic"]
    return {
        case: [len(results.finished(case, arm)) for arm in ((RANDOM,) if case[2] == "long" else ARMS)] for case in cases
    }


def _is_complete(results: Results) -> bool:
    return all(min(counts) >= len(SEEDS) for counts in _counts(results).values())


def steps(results: Results) -> str:
    """Return what many labels give the strong learner on ISIC, with its steps and with more."""
    runs, ceiling = results.runs(ISIC, RANDOM), results.ceiling(ISIC)
    if not runs or not ceiling:
        return ""
    curve = mean_curve(runs)
    (few, low), (many, high) = list(curve.items())[-3], list(curve.items())[-1]
    return (
        f"With its own number of steps, the strong learner has a Dice of {low:.3f} on ISIC with {few} random labels, "
        f"and of {high:.3f} with {many}: {high - low:+.3f} by more labels alone. On all labels and with "
        f"{ceiling.length} steps it has {ceiling.mean:.3f}, another {ceiling.mean - high:+.3f}."
    )


def decomposition(results: Results) -> str:
    """Return how much of the saving comes from the learner, and how much from the choice of labels."""
    lines = [
        "The two are compared in labels: how many does each learner need, with which strategy, for the Dice that the "
        "paper's learner has with its last random label?"
    ]
    for data in BUDGETS:
        case, target = (data, 64, "strong"), level_of_paper(results, data, 64)
        runs = results.runs(case, RANDOM)
        if target is None or not runs:
            continue
        budgets = BUDGETS[data]
        alone = needed(runs, target)
        text = f"- {NAMES[data]}: {budgets[-1]} random labels with the paper's learner, "
        text += f"{labels_text(alone, budgets)} with the strong learner"
        gains = {arm: own.mean for arm in results.arms(case) if arm != RANDOM and (own := gain(results, case, arm))}
        if gains:
            best = max(gains, key=gains.__getitem__)
            learning = _mean(runs) - _mean(results.runs((data, 64, "paper"), RANDOM))
            text += (
                f". In Dice, averaged over the budgets, the learner gives {learning:+.3f}, and the best choice of "
                f"labels (`{best}`, the best of {len(gains)} afterwards) {gains[best]:+.3f} more"
            )
        lines.append(f"{text}.")
    return "\n".join([*lines[:1], "", *lines[1:]])


def _mean(runs: dict[int, dict[int, float]]) -> float:
    curve = mean_curve(runs)
    return sum(curve.values()) / len(curve)


def _names(sets: list[str]) -> str:
    return _words([NAMES[data] for data in sets])


def _words(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


NOTHING = "No rows yet."
