"""What the committed rows of the ISIC 2017 benchmark show: figure 2, tables I and II, comparisons, and one page of all.

Everything but the pictures of images is drawn from the rows, in seconds. Nothing is corrected or left out: where an arm
has fewer than five seeds there is no interval and no test, and the number of seeds stands beside each mean.

All runs were measured with the instructions that arithmetic.py allows. Those in :data:`isic2017.OTHER`, with wider
ones, show what the arithmetic alone does, and are in no other table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import base_set
import isic2017
import numpy as np
import rows
from matplotlib import rc_context
from matplotlib.figure import Figure

import alkit
from alkit.configuration import written
from alkit.pictures.colours import LINES
from alkit.pictures.sheets import contact_sheet
from alkit.report.curves import draw_curves
from alkit.report.page import Block, Code, Picture, Section, Table, Text, write_page
from alkit.statistics import (
    MINIMUM_SEEDS,
    Estimate,
    Runs,
    aubc,
    estimate,
    holm,
    labels_saved,
    mean_curve,
    paired,
    penalty_matrix,
    share_of_ceiling,
)

if TYPE_CHECKING:
    from isic2017 import Arm, Chosen, Profile, Row
    from matplotlib.axes import Axes

PAPER_TABLE_1 = {
    300: (0.580, 0.744, 0.682, 0.732),
    370: (0.657, 0.683, 0.576, 0.682),
    440: (0.717, 0.743, 0.696, 0.763),
    510: (0.687, 0.765, 0.725, 0.777),
    580: (0.774, 0.797, 0.785, 0.803),
}
"""By labels: random and the paper's method without, then with the pretext's weights (Table I)."""

PAPER_TABLE_2 = (
    (0.580, 0.714, 0.734, 0.739, 0.744),
    (0.614, 0.676, 0.673, 0.667, 0.647),
    (0.657, 0.663, 0.690, 0.682, 0.683),
    (0.645, 0.723, 0.720, 0.699, 0.716),
    (0.717, 0.737, 0.719, 0.736, 0.743),
    (0.708, 0.749, 0.753, 0.741, 0.750),
    (0.687, 0.772, 0.767, 0.741, 0.765),
    (0.763, 0.762, 0.762, 0.747, 0.767),
    (0.774, 0.786, 0.784, 0.779, 0.797),
    (0.766, 0.793, 0.793, 0.776, 0.800),
)
"""By round: random; then K = 5 and K = 10, each with 512 and 2048 features (Table II, without the weights)."""

VARIANTS_OF_TABLE_2 = ("k5-1x1", "k5-2x2", "k10-1x1", "")

BANDS = ("random", "ssl-cluster")
"""Whose intervals Fig. 2 shows: ten bands on each other show none. The others' are in the tables."""

PANELS = {"scratch": "from scratch", "pretext": "from the pretext's weights"}

WITHIN = "paired t, within seeds"

Results = dict["Arm", dict[int, dict[int, float]]]
"""Dice by arm, seed and number of labels."""


@dataclass(frozen=True)
class Place:
    """Where an image lies among the pool's, by the pretext's features of seed 0."""

    id: str
    x: float
    y: float
    cluster: int
    rank: int  # in its cluster, by distance to the centre


MAP = "map.csv"


def write(out: Path, name: str, data: Path | None = None) -> None:
    """Write figures, tables and the page of a results folder.

    Parameters
    ----------
    data:
        Folder of images/ and masks/; without it the page has no pictures of images.
    """
    measured = isic2017.read_rows(out)
    if not measured:
        raise alkit.errors.ConfigurationError(f"there are no rows in {out}", hint="run the benchmark first")
    results = results_of(measured)
    figure = figure_2(results, name)
    figure.savefig(out / "figure2.png", dpi=150)
    with rc_context({"svg.hashsalt": name}):  # else its ids, and so the file, differ each time
        figure.savefig(out / "figure2.svg", metadata={"Date": None})
    tables = tables_in(out, name)
    for file, table in tables.items():
        (out / f"{file}.md").write_text(f"{table.caption}\n\n{table.markdown()}\n")
    sections = [
        Section("What this is", [Text(text) for text in (summary(measured, name), *isic2017.disagreements(out))]),
        Section("Figure 2", [*curves(results)]),
        *map(section_of, tables.values()),
        Section("Where the clusters lie", [*cluster_map(out)]),
        Section("Which images each method chose first", [*sheets(out, name, data)]),
        Section("What was run", [*about(measured, isic2017.PROFILES[name], out)]),
        Section("How to make this page again", [Code(commands(name))]),
    ]
    write_page(out / "report.html", f"ISIC 2017, {name} profile", [section for section in sections if section.blocks])


def curves(results: Results) -> Iterator[Block]:
    """Yield Fig. 2 a panel at a time, so that it can be read on a phone too."""
    for weights, title in PANELS.items():
        methods = methods_of(results, weights)
        if not any(methods.values()):
            continue
        figure = Figure(figsize=(5.6, 5), layout="constrained")
        panel(figure.subplots(), results, weights)
        last = ends(next(runs for runs in methods.values() if runs))[1]
        best = max((mean_curve(runs)[last].mean, method) for method, runs in methods.items() if runs)
        yield Picture(
            figure,
            f"Mean Dice over the number of labels, a line for each of {sum(map(bool, methods.values()))} methods, "
            f"{title}; the highest at {last} labels is {best[1]}, {best[0]:.3f}",
            f"{title[0].upper()}{title[1:]}: mean Dice over seeds. The bands, of random and SSL-cluster alone, are "
            "95 % intervals of the mean (Student's t), from five seeds on. Seeds differ more than methods do: lines "
            "are to be compared in the tables of differences, within seeds, and not by eye.",
            least=340,
        )


def section_of(table: Table) -> Section:
    """Return a table under the first words of its caption, with what its signs mean."""
    title, _, text = table.caption.partition(": ")
    signs = {
        " ± ": "± is the standard deviation over seeds",
        " [": "[ ] is the 95 % interval of a mean difference within seeds (paired t)",
    }
    cells = [*table.header, *(cell for row in table.rows for cell in row)]
    notes = [note for sign, note in signs.items() if any(sign in cell for cell in cells)]
    return Section(title, [replace(table, caption="; ".join([f"{text[:1].upper()}{text[1:]}", *notes]) + ".")])


def summary(measured: Sequence[Row], name: str) -> str:
    """Return what was run, in a paragraph."""
    runs = {isic2017.run_of(row) for row in measured}
    arms = {(run.method, run.weights, run.variant) for run in runs}
    return (
        'The protocol of "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (Zhao et al., EMBC '
        f"2022) on ISIC 2017, in the {name} profile: {len(runs)} runs of {len(arms)} arms (a method, initial weights, "
        "and a variant of the protocol). Methods of a seed share the network's initial weights, which in an ensemble "
        "are the first member's, and are compared within seeds. "
        f"With fewer than {MINIMUM_SEEDS} seeds there is no interval and no test."
    )


def results_of(measured: Sequence[Row]) -> Results:
    """Return the learning curve of each arm and seed."""
    results: Results = {}
    for row in measured:
        results.setdefault(isic2017.arm_of(row), {}).setdefault(row.seed, {})[row.labels] = row.dice
    return results


def members_of(measured: Sequence[Row]) -> Results:
    """Return the learning curves of ensembles, each the mean of its members' own Dice."""
    ensembles = [replace(row, dice=row.member_dice) for row in measured if row.method.startswith("ensemble")]
    return results_of(ensembles)


def tables_in(out: Path, name: str) -> dict[str, Table]:
    """Return the tables of a results folder, by the name of their file."""
    measured = isic2017.read_rows(out)
    results = results_of(measured)
    tables = tables_of(results, members_of(measured), isic2017.PROFILES[name])
    tables |= base_set.tables_of(rows.read_as(base_set.Trained, out / base_set.FILE))
    wide = results_of(rows.read_as(isic2017.Row, out / isic2017.OTHER))
    tables |= {"arithmetic": other_arithmetic(results, wide), "arithmetic-differences": compared_twice(results, wide)}
    return {name: table for name, table in tables.items() if table.rows}


def tables_of(results: Results, members: Results, profile: Profile) -> dict[str, Table]:
    """Return the tables there are rows for, by the name of their file."""
    tables = {
        "table1": table_1(results),
        "table1-differences": table_1_differences(results),
        "table1-pretext": table_1_pretext(results),
        "table2": table_2(results, profile),
        "table2-differences": table_2_differences(results, profile),
        "table2-contrasts": table_2_contrasts(results, profile),
    }
    for weights in isic2017.WEIGHTS:
        tables[f"methods-{weights}"] = levels(results, members, weights)
        tables[f"comparisons-{weights}"] = comparisons(results, members, weights)
        tables[f"penalties-{weights}"] = penalties(results, weights)
        tables[f"ensembles-{weights}"] = ensembles(results, members, weights)
    tables["choices"] = choices_of_ours(results)
    tables["ceiling"] = ceilings(results)
    return {name: table for name, table in tables.items() if table.rows}


def figure_2(results: Results, name: str) -> Figure:
    """Return Fig. 2: all methods, from scratch and from the pretext's weights."""
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    for axes, weights in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
        panel(axes, results, weights)
    figure.suptitle(f"ISIC 2017, {name} profile; bands: 95 % intervals of {' and '.join(BANDS)}")
    return figure


def methods_of(results: Results, weights: str) -> dict[str, Runs]:
    """Return the runs of each method of Fig. 2 and beyond, in the order of their colours."""
    return {method: results.get((method, weights, ""), {}) for method in (*isic2017.METHODS, *isic2017.BEYOND)}


def panel(axes: Axes, results: Results, weights: str) -> None:
    """Draw one panel of Fig. 2."""
    methods = methods_of(results, weights)
    named = {f"{method} (one seed)" if len(runs) == 1 else method: runs for method, runs in methods.items()}
    if any(methods.values()):
        draw_curves(axes, named, bands=BANDS)
        axes.legend(frameon=False, fontsize=8.5, loc="lower right", handlelength=4)
    axes.set(title=PANELS[weights], xlabel="labels", ylabel="Dice")


ARMS_OF_TABLE_1 = [(method, weights, "") for weights in isic2017.WEIGHTS for method in ("random", "ssl-cluster")]


def table_1(results: Results) -> Table:
    """Return Table I beside the paper's."""
    header = ["labels"]
    for method, weights, _ in arms_of(results, ARMS_OF_TABLE_1):
        name = f"{method}, {weights}"
        header += [f"{name}: paper", f"{name}: ours{count(results, (method, weights, ''))}"]
    lines = [
        [
            str(labels),
            *(
                cell
                for arm, value in zip(ARMS_OF_TABLE_1, paper, strict=True)
                if results.get(arm, {})
                for cell in (f"{value:.3f}", at(results, arm, labels))
            ),
        ]
        for labels, paper in measured_of_table_1(results).items()
    ]
    return Table(header, lines, "Table I: Dice by number of labels, with and without the pretext's weights")


def table_1_differences(results: Results) -> Table:
    """Return what SSL-cluster gains in Table I, the paper's single runs beside ours within seeds."""
    places = {f"ssl-cluster - random, {weights}": (2 * n + 1, 2 * n) for n, weights in enumerate(isic2017.WEIGHTS)}
    return gaps_of_table_1(results, places, "Table I, SSL-cluster - random")


def table_1_pretext(results: Results) -> Table:
    """Return what the pretext's weights gain in Table I, the paper's single runs beside ours within seeds."""
    places = {f"pretext - scratch, {method}": (2 + n, n) for n, method in enumerate(("random", "ssl-cluster"))}
    return gaps_of_table_1(results, places, "Table I, pretext - scratch")


def gaps_of_table_1(results: Results, places: Mapping[str, tuple[int, int]], title: str) -> Table:
    """Return differences between arms of Table I, by their places among its arms."""
    header = ["labels", *(f"{name}: {whose}" for name in places for whose in ("paper", "ours"))]
    lines = [
        [
            str(labels),
            *(
                cell
                for a, b in places.values()
                for cell in (
                    f"{paper[a] - paper[b]:+.3f}",
                    gap_at(results, ARMS_OF_TABLE_1[a], ARMS_OF_TABLE_1[b], labels),
                )
            ),
        ]
        for labels, paper in measured_of_table_1(results).items()
    ]
    found = [line for line in lines if any(line[2::2])]
    return Table(header, found, f"{title}: differences of Dice ({WITHIN}), and the paper's, of single runs")


def measured_of_table_1(results: Results) -> dict[int, tuple[float, ...]]:
    """Return those of Table I's numbers of labels at which there are rows."""
    measured = {labels for arm in ARMS_OF_TABLE_1 for curve in results.get(arm, {}).values() for labels in curve}
    return {labels: paper for labels, paper in PAPER_TABLE_1.items() if labels in measured}


ARMS_OF_TABLE_2 = [("random", "scratch", ""), *(("ssl-cluster", "scratch", v) for v in VARIANTS_OF_TABLE_2)]


def names_of_table_2(profile: Profile) -> list[str]:
    """Return the names of Table II's arms: clusters and the features that they are found by, at this size."""
    names = ["random"]
    for variant in VARIANTS_OF_TABLE_2:
        own = profile.variant(variant)
        names.append(f"K={own.clusters}, {own.widths[-1] * own.pooling**2}")
    return names


def table_2(results: Results, profile: Profile) -> Table:
    """Return Table II beside the paper's: clusters and features."""
    title = "Table II: Dice by round, for numbers of clusters and of features, without the weights"
    if not any(results.get(arm, {}) for arm in ARMS_OF_TABLE_2[1:-1]):
        return Table(["round"], [], title)
    header = ["round"]
    for name, arm in zip(names_of_table_2(profile), ARMS_OF_TABLE_2, strict=True):
        header += [f"{name}: paper", f"{name}: ours{count(results, arm)}"]
    lines = [
        [
            str(round),
            *(
                cell
                for arm, value in zip(ARMS_OF_TABLE_2, paper, strict=True)
                for cell in (f"{value:.3f}", at(results, arm, labels))
            ),
        ]
        for round, (labels, paper) in enumerate(zip(budgets_of_table_2(results), PAPER_TABLE_2, strict=False))
    ]
    full = " and ".join(f"{512 * pooling**2}" for pooling in (1, 2))
    ours = " and ".join(f"{profile.widths[-1] * pooling**2}" for pooling in (1, 2))
    return Table(header, lines, f"{title}; {ours} features here are what {full} are at the paper's size")


def table_2_differences(results: Results, profile: Profile) -> Table:
    """Return Table II's differences to random, within seeds, beside the paper's; at its end those over all budgets."""
    names = names_of_table_2(profile)[1:]
    arms, random = ARMS_OF_TABLE_2[1:], ARMS_OF_TABLE_2[0]
    budgets = budgets_of_table_2(results)
    ours = [[gap_at(results, arm, random, labels) for arm in arms] for labels in budgets]
    title = f"Table II, differences: of Dice to random's, by clusters and features; {out_of_zero(ours)}"
    header = ["round", *(f"{name} - random: {whose}" for name in names for whose in ("paper", "ours"))]
    if not any(results.get(arm) for arm in arms[:-1]):
        return Table(header, [], title)
    lines = [
        [str(round), *interleaved([f"{value - paper[0]:+.3f}" for value in paper[1:]], cells)]
        for round, (paper, cells) in enumerate(zip(PAPER_TABLE_2, ours, strict=False))
    ]
    if len(budgets) == len(PAPER_TABLE_2):
        areas = [aubc(dict(zip(budgets, column, strict=True))) for column in zip(*PAPER_TABLE_2, strict=True)]
        whole = [gap_of_areas(results, arm, random) for arm in arms]
        lines.append(["AUBC", *interleaved([f"{area - areas[0]:+.3f}" for area in areas[1:]], whole)])
    return Table(header, lines, title)


def table_2_contrasts(results: Results, profile: Profile) -> Table:
    """Return what more clusters and more features do, each over both values of the other, within seeds."""
    fewer, more = (sorted({profile.variant(v).clusters for v in VARIANTS_OF_TABLE_2})[place] for place in (0, -1))
    few, many = (profile.widths[-1] * pooling**2 for pooling in (1, 2))
    contrasts = {
        f"K={more} - K={fewer}": (("k10-1x1", ""), ("k5-1x1", "k5-2x2")),
        f"{many} - {few} features": (("k5-2x2", ""), ("k5-1x1", "k10-1x1")),
    }
    arm = {variant: ("ssl-cluster", "scratch", variant) for variant in VARIANTS_OF_TABLE_2}
    seeds = set.intersection(*(set(results.get(one, {})) for one in arm.values()))
    lines = []
    for name, sides in contrasts.items() if seeds else ():
        means: list[Runs] = [
            {seed: mean_of_curves([results[arm[variant]][seed] for variant in side]) for seed in seeds}
            for side in sides
        ]
        pair = dict(zip([("more", "", ""), ("less", "", "")], means, strict=True))
        gaps = [gap_at(pair, *pair, labels) for labels in mean_curve(means[0])]
        lines.append([name, gap_of_areas(pair, *pair), gaps[0], gaps[-1], outside(pair, *pair)])
    first, last = ends(results[arm[""]]) if seeds else (0, 0)
    return Table(
        ["difference", "AUBC", f"at {first}", f"at {last}", OUTSIDE],
        lines,
        f"Table II, contrasts: SSL-cluster's clusters and features against each other, differences of Dice ({WITHIN})",
    )


def mean_of_curves(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean of some runs of one seed, at the numbers of labels that all have."""
    common = sorted(set.intersection(*map(set, curves)))
    return {labels: float(np.mean([curve[labels] for curve in curves])) for labels in common}


def interleaved(a: Sequence[str], b: Sequence[str]) -> list[str]:
    """Return the cells of two rows in turn."""
    return [cell for pair in zip(a, b, strict=True) for cell in pair]


def budgets_of_table_2(results: Results) -> list[int]:
    """Return the numbers of labels at which the arms of Table II were measured."""
    return sorted({labels for arm in ARMS_OF_TABLE_2 for curve in results.get(arm, {}).values() for labels in curve})


def out_of_zero(lines: Sequence[Sequence[str]]) -> str:
    """Return in words how many of a table's intervals leave zero out."""
    intervals = [cell.partition("[")[2].rstrip("]").split(", ") for line in lines for cell in line if "[" in cell]
    above, below = sum(low.startswith("+") for low, _ in intervals), sum(high.startswith("-") for _, high in intervals)
    return f"of {len(intervals)} intervals {above} lie above zero and {below} below; they depend on each other"


def levels(results: Results, members: Results, weights: str) -> Table:
    """Return what each method reaches, and the share of the ceiling."""
    title = f"Methods, {weights}: Dice, area under the curve (AUBC), share of the ceiling"
    methods = {method: runs for method, runs in methods_of(results, weights).items() if runs}
    if len(methods) < 2 or "random" not in methods:
        return Table(["method"], [], title)
    first, last = ends(methods["random"])
    tops = {"ceiling": "full", "ceiling of equal steps": "full-equal-steps"}
    header = ["method", "seeds", f"Dice at {first}", f"at {last}", "AUBC", f"its single networks at {last}"]
    header += [f"share of the {name}" for name in tops]
    lines = []
    for method, runs in methods.items():
        arm = (method, weights, "")
        area = estimate([aubc(curve) for curve in runs.values()])
        shares = [share(results, arm, ("random", weights, variant), last) for variant in tops.values()]
        lines.append(
            [
                method,
                str(len(runs)),
                at(results, arm, first),
                at(results, arm, last),
                mean(area),
                at(members, arm, last),
                *shares,
            ]
        )
    return Table(header, lines, title)


def share(results: Results, arm: Arm, top: Arm, labels: int) -> str:
    """Return the share of a ceiling that an arm reaches, within seeds."""
    runs, tops = results[arm], results.get(top, {})
    if not set(runs) & set(tops):
        return "not measured"
    found = share_of_ceiling(runs, {seed: curve[max(curve)] for seed, curve in tops.items()}, labels=labels)
    return f"{found.mean:.1%} (n={found.n})"


def comparisons(results: Results, members: Results, weights: str) -> Table:
    """Return what there is to say of each method against random, within seeds."""
    title = (
        f"Against random, {weights}: differences ({WITHIN}; Holm over the table), labels saved; an ensemble's "
        "are of five networks to one, hold what five networks give whatever is labelled, and are not tested"
    )
    base = ("random", weights, "")
    random = results.get(base, {})
    if not random:
        return Table(["method"], [], title)
    last = ends(random)[1]
    target = mean_curve(random)[last].mean
    arms = {
        method: (method, weights, "")
        for method, runs in methods_of(results, weights).items()
        if method not in ("random", isic2017.CONTROL) and set(runs) & set(random)
    }
    areas = {method: paired(results[arm], random) for method, arm in arms.items()}
    tested = {m: gap.p for m, gap in areas.items() if gap.p is not None and not m.startswith("ensemble")}
    corrected = holm(tested)
    header = ["method", "seeds", "AUBC - random", "p", "p (Holm)", f"at {last} - random"]
    header += [f"its single networks at {last} - random", f"labels saved on the way to {target:.3f}"]
    header += ["seeds in which both cross it (either never does, either has it from the start)", OUTSIDE]
    lines = []
    for method, arm in arms.items():
        gap = areas[method]
        lines.append(
            [
                method,
                str(gap.n),
                difference(gap),
                probability(tested.get(method)),
                probability(corrected.get(method)),
                gap_at(results, arm, base, last),
                gap_at(members | {base: random}, arm, base, last),
                *saved(results[arm], random, target),
                outside(results, arm, base),
            ]
        )
    return Table(header, lines, title)


def ensembles(results: Results, members: Results, weights: str) -> Table:
    """Return what ensembles' choice of labels gives beside random labels, and what five networks give on those."""
    control, random = (isic2017.CONTROL, weights, ""), ("random", weights, "")
    members = members | {random: results.get(random, {})}
    choosing = [(method, weights, "") for method in isic2017.METHODS if method.startswith("ensemble")]
    last = ends(results[control])[1] if control in results else 0
    lines = []
    for ours, theirs in [*((arm, control) for arm in choosing), (control, random)]:
        runs = [results.get(arm, {}) for arm in (ours, theirs)]
        if set(runs[0]) & set(runs[1]):
            gap = paired(*runs)
            cells = [gap_at(measured, ours, theirs, last) for measured in (results, members)]
            lines.append([f"{ours[0]} - {theirs[0]}", str(gap.n), difference(gap), probability(gap.p), *cells])
    title = f"Ensembles, {weights}: what they gain by their choice of labels, and by being five networks ({WITHIN})"
    header = ["difference", "seeds", "AUBC", "p", f"at {last}", f"of single networks at {last}"]
    return Table(header, lines if control in results else [], title)


def penalties(results: Results, weights: str) -> Table:
    """Return the pairwise penalty matrix of the methods that have seeds enough."""
    title = (
        f"Pairwise penalties, {weights}: share of budgets at which the row beats the column (paired t, p < .05, not "
        "corrected for their number); the first budget counts, where methods with a common start set are the same"
    )
    compared = methods_of(results, weights)
    del compared[isic2017.CONTROL]
    matrix = penalty_matrix({method: runs for method, runs in compared.items() if runs})
    methods = [a for a, row in matrix.items() if any(cell is not None for cell in row.values())]
    lines = [[a, *("" if (cell := matrix[a][b]) is None else f"{cell:.2f}" for b in methods)] for a in methods]
    lost = [sum(cell for a in methods if (cell := matrix[a][b]) is not None) for b in methods]
    last = ["lost in all", *(f"{value:.2f}" for value in lost)]
    return Table(["method", *methods], [*lines, last] if methods else [], title)


def choices_of_ours(results: Results) -> Table:
    """Return what two choices of this project do to the comparison: the learning rate and the epochs.

    Over the seeds that all settings have, so that it is the setting alone that differs.
    """
    title = "Choices of ours: what they do to Dice, from scratch, all in the same seeds"
    methods = ("random", "ssl-cluster")
    names = {"": "the protocol", "lr-1e-3": "learning rate 1e-3, not 1e-4", "epochs-x2": "epochs x 2"}
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
            *(at(same, arm, labels) for labels in budgets for arm in arms),
            *(gap_at(same, arms[1], arms[0], labels) for labels in budgets),
            gap_of_areas(same, arms[1], arms[0]),
            outside(same, arms[1], arms[0]),
        ]
        for name, arms in settings.items()
    ]
    header = ["setting", *(f"{method} at {labels}" for labels in budgets for method in methods)]
    header += [*(f"ssl-cluster - random at {labels}" for labels in budgets), "of AUBC", OUTSIDE]
    return Table(header, lines, f"{title} (n={len(seeds)})")


def ceilings(results: Results) -> Table:
    """Return the Dice of all labels at once."""
    names = {"full": "the protocol's epochs", "full-equal-steps": "as many images seen as in the protocol"}
    lines = [
        [
            f"{weights}, {text}",
            str(len(runs)),
            mean(estimate([curve[max(curve)] for curve in runs.values()])),
        ]
        for weights in isic2017.WEIGHTS
        for variant, text in names.items()
        if (runs := results.get(("random", weights, variant)))
    ]
    arms = {(weights, variant): ("random", weights, variant) for weights in isic2017.WEIGHTS for variant in names}
    pairs = {
        f"{weights}, the former - the latter": [arms[weights, variant] for variant in names]
        for weights in isic2017.WEIGHTS
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
        ["all labels from the start", "seeds", "Dice"], lines, "The ceiling: Dice where the whole pool is labelled"
    )


def other_arithmetic(results: Results, wide: Results) -> Table:
    """Return by how much the same runs differ where the processor used other instructions, AVX-512 in `wide`."""
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
        "What the arithmetic alone does: AVX-512 - AVX2 instructions, within seeds; a pretext is trained anew in each, "
        "so that only random from scratch has the same labels and the same initial weights"
    )
    return Table(header, lines, title)


def compared_twice(results: Results, wide: Results) -> Table:
    """Return SSL-cluster's differences to random with either kind of instructions."""
    lines = []
    for weights in isic2017.WEIGHTS:
        random, ours = ((method, weights, "") for method in isic2017.METHODS[:2])
        every = [measured.get(arm, {}) for arm in (random, ours) for measured in (results, wide)]
        if seeds := set.intersection(*map(set, every)):
            both = [{arm: {seed: measured[arm][seed] for seed in seeds} for arm in (random, ours)}
                    for measured in (results, wide)]  # fmt: skip
            for labels in ends(both[0][random]):
                gaps = [gap_at(measured, ours, random, labels) for measured in both]
                lines.append([weights, str(labels), *gaps])
    title = f"What the arithmetic does to a comparison: SSL-cluster - random, differences of Dice ({WITHIN})"
    return Table(["initial weights", "labels", "AVX2", "AVX-512"], lines, title)


def about(measured: Sequence[Row], profile: Profile, out: Path) -> Iterator[Block]:
    """Yield the configuration, and where the rows come from."""
    yield Table(
        ["setting", "value"], [[key, str(value)] for key, value in asdict(profile).items()], "The profile's numbers"
    )
    learner, _ = isic2017.parts(isic2017.Run("ensemble-s", "pretext", 0), profile, "auto")
    yield Text(
        "The learner, with all that some arms have: an ensemble's members, a pretext's weights. The loss is "
        "cross-entropy + Dice, over both classes and the batch; the optimiser Adam, anew each round, no weight decay."
    )
    yield Code("\n".join(settings(written(learner), "learner")))
    yield Text("The strategies. Self-supervised features are those of the learner's pretext.")
    lines = []
    for method in (*isic2017.METHODS, *isic2017.BEYOND):
        _, strategy = isic2017.parts(isic2017.Run(method, "scratch", 0), profile, "auto")
        lines += settings(written(strategy), method, ("features",))
    yield Code("\n".join(lines))
    yield Table(
        [
            "commit",
            "machine",
            "runs",
            "Python",
            "torch",
            "numpy",
            "threads",
            "instructions",
            "images to choose from",
            "to measure on",
        ],
        origins(measured, out),
        "Where the rows come from; images as the first digits of their digest. What is not recorded is older than the "
        "notes: constraints.txt of the commit names the versions it asks for, the images' digest is part of each row's "
        "configuration, and the kind of instructions is known from runs that were measured again with either",
    )


def origins(measured: Sequence[Row], out: Path) -> list[list[str]]:
    """Return for each commit, machine and kind of instructions its runs, and what they were computed with."""
    counts: dict[tuple[str, str, bool], set[str]] = {}
    for wide, those in ((False, measured), (True, rows.read_as(isic2017.Row, out / isic2017.OTHER))):
        for row in those:
            counts.setdefault((row.commit, row.machine, wide), set()).add(row.configuration)
    known = {
        (e.commit, e.machine, e.instructions.startswith("AVX512")): e
        for e in rows.read_as(isic2017.Environment, out / isic2017.ENVIRONMENTS)
    }
    lines = []
    for (commit, machine, wide), runs in sorted(counts.items()):
        e = known.get((commit, machine, wide))
        kind = "AVX-512" if wide else "AVX2"
        facts = ["not recorded"] * 4 + [kind] + ["not recorded"] * 2
        if e:
            facts = [e.python, e.torch, e.numpy, str(e.threads), e.instructions, e.pool[:12], e.test[:12]]
        lines.append([commit, machine, str(len(runs)), *facts])
    return lines


def settings(entry: object, name: str, short: Sequence[str] = ()) -> list[str]:
    """Return a part's settings and its parts', a line each, further in by their depth; of some, the name alone."""
    if not isinstance(entry, dict) or not {"is", "partial"} & set(entry):
        return [f"{name}: {entry}"]
    inner = entry.get("partial", {})
    what = entry.get("is", inner.get("named", "") if isinstance(inner, dict) else "")
    within = {} if name in short else entry.get("with", {})
    return [f"{name}: {what}", *(f"  {line}" for key in within for line in settings(within[key], key, short))]


def cluster_map(out: Path) -> Iterator[Block]:
    """Yield the clusters of SSL-cluster in two dimensions, where the map was made."""
    places = rows.read_as(Place, out / MAP)
    if not places:
        return
    chosen = {
        id
        for c in rows.read_as(isic2017.Chosen, out / isic2017.CHOICES)
        if (c.method, c.weights, c.variant, c.seed, c.round) == ("ssl-cluster", "scratch", "", 0, 0)
        for id in c.ids.split()
    }
    figure = Figure(figsize=(6.2, 5.6), layout="constrained")
    axes = figure.subplots()
    for cluster in sorted({place.cluster for place in places}):
        own = sorted((place for place in places if place.cluster == cluster), key=lambda place: place.rank)
        again, number = divmod(cluster - 1, len(LINES))
        marker, colour = "o^sD"[again % 4], LINES[number]
        first = [place for place in own if place.id in chosen]
        for drawn, size, alpha in ((own, 9, 0.3), (first, 16, 1)):
            axes.scatter(
                [p.x for p in drawn], [p.y for p in drawn], s=size, alpha=alpha, color=colour, marker=marker, lw=0
            )
        axes.annotate(
            str(cluster), (own[0].x, own[0].y), ha="center", va="center", fontsize=9, zorder=4,
            bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": colour, "lw": 1.5},
        )  # fmt: skip
    axes.set(xticks=[], yticks=[], title="The pool by two principal components of its features")
    axes.set_aspect("equal")  # as far apart as the features are
    marked = f"the {len(chosen)} of SSL-cluster's start set are in full colour; " if chosen else ""
    yield Picture(
        figure,
        f"{len(places)} images as points, coloured by {max(place.cluster for place in places)} clusters",
        f"Each point is an image; {marked}a cluster's number stands at the image nearest to its centre. "
        "Features are the pretext's of seed 0.",
        least=340,
    )
    sizes = [sum(place.cluster == cluster for place in places) for cluster in sorted({p.cluster for p in places})]
    yield Table(
        ["cluster", *map(str, range(1, len(sizes) + 1))], [["images", *map(str, sizes)]], "How large the clusters are"
    )


def sheets(out: Path, name: str, data: Path | None, shown: int = 12) -> Iterator[Block]:
    """Yield contact sheets of what each method asked for first under seed 0."""
    chosen = [c for c in rows.read_as(isic2017.Chosen, out / isic2017.CHOICES) if (c.seed, c.variant) == (0, "")]
    firsts = {c.method: c for c in chosen if c.weights == "scratch" and c.round == first_own_round(c)}
    run = {row.method for row in isic2017.read_rows(out) if (row.seed, row.variant, row.weights) == (0, "", "scratch")}
    for method in (*isic2017.METHODS, *isic2017.BEYOND):
        if method in run and method not in firsts:
            yield Text(f"{method}: which images seed 0 chose was not recorded.")
    if not firsts:
        return
    if data is None:
        yield Text(
            "The images are no part of the results. Any run without --data downloads the official archives to "
            "data/isic2017; give their folder with --report --data DIR, and the pictures are here."
        )
        return
    from PIL import Image

    pool, _ = isic2017.pools(isic2017.PROFILES[name], data)
    clusters = {place.id: f", cluster {place.cluster}" for place in rows.read_as(Place, out / MAP)}
    for choice in firsts.values():
        ids = choice.ids.split()[:shown]
        masks = {id: np.asarray(Image.open(data / "masks" / f"{id}.png").convert("L")) > 127 for id in ids}
        when = f"the first {len(ids)} of round {choice.round}"
        yield Picture(
            contact_sheet(
                pool, ids, masks=masks, captions={id: short(id) + clusters.get(id, "") for id in ids}, columns=4
            ),
            f"{choice.method}'s choice: {', '.join(map(short, ids))}, with outlines of the lesions",
            f"{choice.method}: {when}, in the order of its choice. Outlines are the true masks, which it did not see.",
            least=340,
        )


def short(id: str) -> str:
    """Return an image's number."""
    return id.removeprefix("ISIC_")


def first_own_round(choice: Chosen) -> int:
    """Return the first round whose images are the method's own choice: most begin with a random start set."""
    return 0 if choice.method in ("random", "ssl-cluster") else 1


def commands(name: str) -> str:
    """Return what makes the page, and the rows that it is made from."""
    return (
        f"python benchmarks/isic2017.py --profile {name} --report --data DIR\n"
        f"python benchmarks/isic2017.py --profile {name} --all --data DIR --seeds 0 1 2 3 4   # from nothing\n"
        f"python benchmarks/isic2017.py --profile {name} --all --data DIR --seeds 0 1 2 3 4 --dry-run   # how long"
    )


def draw_map(out: Path, name: str, data: Path) -> None:
    """Write where each image of the pool lies by the pretext's features of seed 0, for the page."""
    from sklearn.decomposition import PCA

    profile = isic2017.PROFILES[name]
    pool, _ = isic2017.pools(profile, data)
    pretext = isic2017.pretext_of(profile, "auto")
    learner, _ = isic2017.parts(isic2017.Run("random", "scratch", 0), profile, "auto")
    places: list[Place] = []

    def look(view: alkit.View, n: int, rng: np.random.Generator) -> list[str]:
        flat = PCA(2, random_state=0).fit_transform(view.features(pretext))
        found = view.clusters(pretext, profile.clusters)
        place = dict(zip(found.ids, zip(found.labels.tolist(), found.distances.tolist(), strict=True), strict=True))
        order = sorted(place, key=lambda id: (*place[id], id))
        first = {cluster: order.index(id) for id in reversed(order) for cluster in (place[id][0],)}
        rank = {id: number - first[place[id][0]] for number, id in enumerate(order)}
        places.extend(
            Place(id, round(float(x), 4), round(float(y), 4), place[id][0] + 1, rank[id])
            for id, (x, y) in zip(view.ids, flat, strict=True)
        )
        return list(view.candidates[:n])

    alkit.Experiment(pool, learner, look, classes=("skin", "lesion"), seed=0).ask(1)
    rows.write(out / MAP, [asdict(place) for place in places])


# Cells.


def count(results: Results, arm: Arm) -> str:
    """Return how many seeds an arm has, where it has any."""
    return f" (n={len(runs)})" if (runs := results.get(arm, {})) else ""


def arms_of(results: Results, arms: Sequence[Arm]) -> list[Arm]:
    """Return those of some arms that there are rows of."""
    return [arm for arm in arms if results.get(arm)]


def at(results: Results, arm: Arm, labels: int) -> str:
    """Return mean and spread of an arm at a number of labels."""
    values = [curve[labels] for curve in results.get(arm, {}).values() if labels in curve]
    return mean(estimate(values)) if values else ""


def gap_at(results: Results, a: Arm, b: Arm, labels: int) -> str:
    """Return the difference within seeds between two arms at a number of labels."""
    runs = [{seed: curve for seed, curve in results.get(arm, {}).items() if labels in curve} for arm in (a, b)]
    return difference(paired(*runs, labels=labels)) if set(runs[0]) & set(runs[1]) else ""


def gap_of_areas(results: Results, a: Arm, b: Arm) -> str:
    """Return the difference within seeds between the areas under two arms' curves."""
    runs = results.get(a, {}), results.get(b, {})
    return difference(paired(*runs)) if set(runs[0]) & set(runs[1]) else ""


OUTSIDE = "budgets at which the interval lies above zero, below zero"


def outside(results: Results, a: Arm, b: Arm) -> str:
    """Return at how many budgets the interval of two arms' difference leaves zero out, by side.

    Budgets at which the runs are the same, as with a common start set, do not count.
    """
    common = set.intersection(*(set(curve) for arm in (a, b) for curve in results[arm].values()))
    found = [paired(results[a], results[b], labels=labels) for labels in sorted(common)]
    known = [gap for gap in found if gap.low is not None and gap.high is not None and gap.sd]
    above, below = sum(gap.low > 0 for gap in known), sum(gap.high < 0 for gap in known)
    return f"{above}, {below} of {len(known)}" if known else ""


def mean(found: Estimate) -> str:
    """Return a mean with its spread."""
    return f"{found.mean:.3f}" + ("" if found.sd is None else f" ± {found.sd:.3f}")


def difference(found: Estimate) -> str:
    """Return a difference with its interval; below five seeds with its spread and their number."""
    if found.low is not None:
        return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.mean:+.3f} " + ("(one seed)" if found.sd is None else f"± {found.sd:.3f} (n={found.n})")


def probability(p: float | None) -> str:
    """Return a p-value; nothing where there was no test."""
    return "" if p is None else "<0.001" if p < 0.0005 else f"{p:.3f}"


def saved(runs: Runs, random: Runs, target: float) -> tuple[str, str]:
    """Return how many labels fewer than random a method needs, and in how many seeds both are seen to reach the target.

    A number only where that is nearly all of them, four of five: it leaves the others out.
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


def ends(runs: Runs) -> tuple[int, int]:
    """Return the first and the last number of labels that all runs were measured at."""
    labels = list(mean_curve(runs))
    return labels[0], labels[-1]
