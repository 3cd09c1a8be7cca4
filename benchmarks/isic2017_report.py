"""What the committed rows of the ISIC 2017 benchmark show: figure 2, tables I and II, comparisons, and one page of all.

Everything but the pictures of images is drawn from the rows, in seconds. Nothing is corrected or left out: where an arm
has fewer than five seeds there is no interval and no test, and the number of seeds stands beside each mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from alkit.report.curves import COLOURS, draw_curves
from alkit.report.page import Block, Code, Picture, Section, Table, Text, write_page
from alkit.report.sheets import contact_sheet
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
        raise alkit.ConfigurationError(f"there are no rows in {out}", hint="run the benchmark first")
    results = results_of(measured)
    figure = figure_2(results, name)
    figure.savefig(out / "figure2.png", dpi=150)
    with rc_context({"svg.hashsalt": name}):  # else its ids, and so the file, differ each time
        figure.savefig(out / "figure2.svg", metadata={"Date": None})
    tables = tables_in(out)
    for file, table in tables.items():
        (out / f"{file}.md").write_text(f"{table.caption}\n\n{table.markdown()}\n")
    picture = Picture(
        figure,
        "Mean Dice over the number of labels, a line for each method",
        "Mean Dice over seeds; the band is the 95 % interval of the mean (Student's t), from five seeds on. Lines "
        "of different numbers of seeds are to be compared in the tables, within seeds, and not by eye.",
    )
    sections = [
        Section("What this is", [Text(summary(measured, name))]),
        Section("Figure 2", [picture]),
        *map(section_of, tables.values()),
        Section("Where the clusters lie", [*cluster_map(out)]),
        Section("Which images each method chose first", [*sheets(out, name, data)]),
        Section("What was run", [*about(measured, isic2017.PROFILES[name])]),
        Section("How to make this page again", [Code(commands(name))]),
    ]
    write_page(out / "report.html", f"ISIC 2017, {name} profile", [section for section in sections if section.blocks])


def section_of(table: Table) -> Section:
    """Return a table under the first words of its caption, with what its signs mean."""
    title, _, text = table.caption.partition(": ")
    signs = {
        " ± ": "± is the standard deviation over seeds",
        " [": "[ ] is the 95 % interval of a mean difference within seeds (paired t)",
    }
    cells = [cell for row in table.rows for cell in row[1:]]
    notes = [note for sign, note in signs.items() if any(sign in cell for cell in cells)]
    return Section(title, [replace(table, caption="; ".join([f"{text[:1].upper()}{text[1:]}", *notes]) + ".")])


def summary(measured: Sequence[Row], name: str) -> str:
    """Return what was run, in a paragraph."""
    runs = {isic2017.run_of(row) for row in measured}
    arms = {(run.method, run.weights, run.variant) for run in runs}
    return (
        'The protocol of "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (Zhao et al., EMBC '
        f"2022) on ISIC 2017, in the {name} profile: {len(runs)} runs of {len(arms)} arms (a method, initial weights, "
        "and a variant of the protocol). Methods of a seed share the initial weights, and are compared within seeds. "
        f"With fewer than {MINIMUM_SEEDS} seeds there is no interval and no test."
    )


def results_of(measured: Sequence[Row]) -> Results:
    """Return the learning curve of each arm and seed."""
    results: Results = {}
    for row in measured:
        results.setdefault(isic2017.arm_of(row), {}).setdefault(row.seed, {})[row.labels] = row.dice
    return results


def tables_in(out: Path) -> dict[str, Table]:
    """Return the tables of a results folder, by the name of their file."""
    results = results_of(isic2017.read_rows(out))
    return tables_of(results) | base_set.tables_of(rows.read_as(base_set.Trained, out / base_set.FILE))


def tables_of(results: Results) -> dict[str, Table]:
    """Return the tables there are rows for, by the name of their file."""
    tables = {"table1": table_1(results), "table2": table_2(results)}
    for weights in isic2017.WEIGHTS:
        tables[f"comparisons-{weights}"] = comparisons(results, weights)
        tables[f"penalties-{weights}"] = penalties(results, weights)
    tables["choices"] = choices_of_ours(results)
    tables["ceiling"] = ceilings(results)
    return {name: table for name, table in tables.items() if table.rows}


def figure_2(results: Results, name: str) -> Figure:
    """Return Fig. 2: all methods, from scratch and from the pretext's weights."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, weights, title in zip(
        panels, isic2017.WEIGHTS, ("from scratch", "from the pretext's weights"), strict=True
    ):
        methods = {
            f"{method} (one seed)" if len(runs) == 1 else method: runs
            for method in (*isic2017.METHODS, *isic2017.BEYOND)
            for runs in [results.get((method, weights, ""), {})]
        }
        if any(methods.values()):
            draw_curves(axes, methods)
            axes.legend(frameon=False, fontsize=8, loc="lower right")
        axes.set(title=title, xlabel="labels", ylabel="Dice")
    figure.suptitle(f"ISIC 2017, {name} profile")
    return figure


def table_1(results: Results) -> Table:
    """Return Table I beside the paper's, and the differences within seeds."""
    arms = [(method, weights, "") for weights in isic2017.WEIGHTS for method in ("random", "ssl-cluster")]
    header = ["labels"]
    for method, weights, _ in arms:
        header += [f"{method}, {weights}: paper", f"ours{count(results, (method, weights, ''))}"]
    header += [f"ssl-cluster - random, {weights}" for weights in isic2017.WEIGHTS]
    header += [f"pretext - scratch, {method}" for method in ("random", "ssl-cluster")]
    gaps = [(arms[1], arms[0]), (arms[3], arms[2]), (arms[2], arms[0]), (arms[3], arms[1])]
    lines = [
        [
            str(labels),
            *(
                cell
                for arm, value in zip(arms, paper, strict=True)
                for cell in (f"{value:.3f}", at(results, arm, labels))
            ),
            *(gap_at(results, a, b, labels) for a, b in gaps),
        ]
        for labels, paper in PAPER_TABLE_1.items()
        if any(labels in curve for arm in arms for curve in results.get(arm, {}).values())
    ]
    return Table(header, lines, "Table I: Dice by number of labels, with and without the pretext's weights")


def table_2(results: Results) -> Table:
    """Return Table II beside the paper's: clusters and features."""
    arms = [("random", "scratch", ""), *(("ssl-cluster", "scratch", variant) for variant in VARIANTS_OF_TABLE_2)]
    if not any(arm in results for arm in arms[1:-1]):
        return Table(["round"], [])
    names = ["random", "K=5, 1x1", "K=5, 2x2", "K=10, 1x1", "K=10, 2x2"]
    budgets = sorted({labels for arm in arms for curve in results.get(arm, {}).values() for labels in curve})
    header = ["round"]
    for name, arm in zip(names, arms, strict=True):
        header += [f"{name}: paper", f"ours{count(results, arm)}"]
    header += [f"{name} - random" for name in names[1:]]
    lines = [
        [
            str(round),
            *(
                cell
                for arm, value in zip(arms, paper, strict=True)
                for cell in (f"{value:.3f}", at(results, arm, labels))
            ),
            *(gap_at(results, arm, arms[0], labels) for arm in arms[1:]),
        ]
        for round, (labels, paper) in enumerate(zip(budgets, PAPER_TABLE_2, strict=False))
    ]
    return Table(header, lines, "Table II: Dice by round, for numbers of clusters and of features, without the weights")


def comparisons(results: Results, weights: str) -> Table:
    """Return what there is to say of each method against random, within seeds."""
    title = f"Against random, {weights}: Dice, area under the curve (AUBC), tests, labels saved, share of the ceiling"
    random = results.get(("random", weights, ""))
    if not random:
        return Table(["method"], [], title)
    first, last = ends(random)
    target = mean_curve(random)[last].mean
    ceiling = {seed: curve[max(curve)] for seed, curve in results.get(("random", weights, "full"), {}).items()}
    areas = {
        method: paired(results[method, weights, ""], random)
        for method in (*isic2017.METHODS[1:], *isic2017.BEYOND)
        if set(results.get((method, weights, ""), {})) & set(random)
    }
    corrected = holm({method: gap.p for method, gap in areas.items() if gap.p is not None})
    header = ["method", "seeds", f"Dice at {first}", f"at {last}", "AUBC", "AUBC - random", "p", "p (Holm)"]
    header += [f"at {last} - random", f"labels saved on the way to {target:.3f}", "share of the ceiling"]
    lines = []
    for method in ("random", *areas):
        runs = results[method, weights, ""]
        area = estimate([aubc(curve) for curve in runs.values()])
        gap = areas.get(method)
        share = share_of_ceiling(runs, ceiling, labels=last) if set(runs) & set(ceiling) else None
        lines.append(
            [
                method,
                str(len(runs)),
                at(results, (method, weights, ""), first),
                at(results, (method, weights, ""), last),
                mean(area),
                difference(gap) if gap else "",
                probability(gap.p if gap else None),
                probability(corrected.get(method)),
                gap_at(results, (method, weights, ""), ("random", weights, ""), last) if gap else "",
                saved(runs, random, target) if gap else "",
                f"{share.mean:.1%} (n={share.n})" if share else "",
            ]
        )
    return Table(header, lines if areas else [], title)


def penalties(results: Results, weights: str) -> Table:
    """Return the pairwise penalty matrix of the methods that have seeds enough."""
    methods = {
        method: runs
        for method in (*isic2017.METHODS, *isic2017.BEYOND)
        if len(runs := results.get((method, weights, ""), {})) >= 5
    }
    title = f"Pairwise penalties, {weights}: share of budgets at which the row beats the column (paired t, p < .05)"
    if len(methods) < 2:
        return Table(["method"], [], title)
    matrix = penalty_matrix(methods)
    lines = [[a, *("" if (cell := matrix[a][b]) is None else f"{cell:.2f}" for b in methods)] for a in methods]
    lost = [sum(cell for a in methods if (cell := matrix[a][b]) is not None) for b in methods]
    return Table(["method", *methods], [*lines, ["lost in all", *(f"{value:.2f}" for value in lost)]], title)


def choices_of_ours(results: Results) -> Table:
    """Return what two choices of this project do to the comparison: the learning rate and the epochs."""
    lines = []
    for variant, name in (
        ("", "the protocol"),
        ("lr-1e-3", "learning rate 1e-3, not 1e-4"),
        ("epochs-x2", "epochs x 2"),
    ):
        arms = [(method, "scratch", variant) for method in ("random", "ssl-cluster")]
        if all(arm in results for arm in arms):
            first, last = ends(results[arms[0]])
            lines.append(
                [
                    name,
                    *(at(results, arm, labels) + count(results, arm) for labels in (first, last) for arm in arms),
                    *(gap_at(results, arms[1], arms[0], labels) for labels in (first, last)),
                ]
            )
    header = ["setting", "random, first", "ssl-cluster, first", "random, last", "ssl-cluster, last"]
    header += ["ssl-cluster - random, first", "ssl-cluster - random, last"]
    return Table(header, lines if len(lines) > 1 else [], "Choices of ours: what they do to Dice, from scratch")


def ceilings(results: Results) -> Table:
    """Return the Dice of all labels at once."""
    names = {"full": "the protocol's epochs", "full-equal-steps": "as many images seen as in the protocol"}
    lines = [
        [f"{weights}, {text}", str(len(runs)), mean(estimate([curve[max(curve)] for curve in runs.values()]))]
        for weights in isic2017.WEIGHTS
        for variant, text in names.items()
        if (runs := results.get(("random", weights, variant)))
    ]
    return Table(
        ["all labels from the start", "seeds", "Dice"], lines, "The ceiling: Dice where the whole pool is labelled"
    )


def about(measured: Sequence[Row], profile: Profile) -> Iterator[Block]:
    """Yield the configuration, and where the rows come from."""
    yield Table(
        ["setting", "value"], [[key, str(value)] for key, value in asdict(profile).items()], "The profile's numbers"
    )
    counts: dict[tuple[str, str], set[str]] = {}
    for row in measured:
        counts.setdefault((row.commit, row.machine), set()).add(row.configuration)
    lines = [[commit, machine, str(len(runs))] for (commit, machine), runs in sorted(counts.items())]
    yield Table(["commit", "machine", "runs"], lines, "Where the rows come from")


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
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for cluster in sorted({place.cluster for place in places}):
        own = sorted((place for place in places if place.cluster == cluster), key=lambda place: place.rank)
        again, number = divmod(cluster - 1, len(COLOURS))
        marker, colour = "o^sD"[again % 4], COLOURS[number]
        first = [place for place in own if place.id in chosen]
        for drawn, size, alpha in ((own, 9, 0.3), (first, 16, 1)):
            axes.scatter(
                [p.x for p in drawn], [p.y for p in drawn], s=size, alpha=alpha, color=colour, marker=marker, lw=0
            )
        axes.annotate(
            str(cluster), (own[0].x, own[0].y), ha="center", va="center", fontsize=9, zorder=4,
            bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": colour, "lw": 1.5},
        )  # fmt: skip
    axes.set(xticks=[], yticks=[], title="The pool by its self-supervised features (two principal components)")
    axes.set_aspect("equal")  # as far apart as the features are
    marked = f"the {len(chosen)} of SSL-cluster's start set are in full colour; " if chosen else ""
    yield Picture(
        figure,
        f"{len(places)} images as points, coloured by {max(place.cluster for place in places)} clusters",
        f"Each point is an image; {marked}a cluster's number stands at the image nearest to its centre. Seed 0.",
    )
    sizes = [sum(place.cluster == cluster for place in places) for cluster in sorted({p.cluster for p in places})]
    yield Table(["cluster", *map(str, range(1, len(sizes) + 1))], [["images", *map(str, sizes)]], "Sizes")


def sheets(out: Path, name: str, data: Path | None, shown: int = 12) -> Iterator[Block]:
    """Yield contact sheets of what each method asked for first under seed 0."""
    chosen = [c for c in rows.read_as(isic2017.Chosen, out / isic2017.CHOICES) if (c.seed, c.variant) == (0, "")]
    firsts = [c for c in chosen if c.weights == "scratch" and c.round == first_own_round(c)]
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
    for choice in firsts:
        ids = choice.ids.split()[:shown]
        masks = {id: np.asarray(Image.open(data / "masks" / f"{id}.png").convert("L")) > 127 for id in ids}
        when = f"the first {len(ids)} of round {choice.round}"
        yield Picture(
            contact_sheet(pool, ids, masks=masks, captions={id: short(id) + clusters.get(id, "") for id in ids}),
            f"{choice.method}'s choice: {', '.join(map(short, ids))}, with outlines of the lesions",
            f"{choice.method}: {when}, in the order of its choice. Outlines are the true masks, which it did not see.",
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
    pretext = alkit.Reconstruction(profile.network(), epochs=profile.pretext_epochs, pooling=profile.pooling)
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
    return f" (n={len(results[arm])})" if arm in results else ""


def at(results: Results, arm: Arm, labels: int) -> str:
    """Return mean and spread of an arm at a number of labels."""
    values = [curve[labels] for curve in results.get(arm, {}).values() if labels in curve]
    return mean(estimate(values)) if values else ""


def gap_at(results: Results, a: Arm, b: Arm, labels: int) -> str:
    """Return the difference within seeds between two arms at a number of labels."""
    runs = [{seed: curve for seed, curve in results.get(arm, {}).items() if labels in curve} for arm in (a, b)]
    return difference(paired(*runs, labels=labels)) if set(runs[0]) & set(runs[1]) else ""


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


def saved(runs: Runs, random: Runs, target: float) -> str:
    """Return how many labels fewer than random a method needs, and in how many seeds both reach the target."""
    found = labels_saved(runs, random, target)
    reached = f"reached in {found.reached_a} of {found.n}, random in {found.reached_b}"
    return f"{found.saved.mean:+.0f} (n={found.saved.n}; {reached})" if found.saved else f"({reached})"


def ends(runs: Runs) -> tuple[int, int]:
    """Return the first and the last number of labels that all runs were measured at."""
    labels = list(mean_curve(runs))
    return labels[0], labels[-1]
