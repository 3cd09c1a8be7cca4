"""Figures of the ISIC 2017 benchmark: learning curves, the map of clusters, and sheets of chosen images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

import alkit
from alkit.pictures import LINE_COLOURS, contact_sheet
from alkit.report import Block, Picture, Table, Text, draw_curves
from alkit.statistics import mean_curve
from benchmarks import rows
from benchmarks.isic2017.protocol import (
    BEYOND,
    CLASSES,
    METHODS,
    PROFILES,
    Run,
    learner_and_strategy,
    pretext_of,
    read_pools,
)
from benchmarks.isic2017.results import MAP, Chosen, MapPoint, read_choices, read_map, read_rows
from benchmarks.isic2017.tables.curves import Results, ends, methods_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BANDS = ("random", "ssl-cluster")
"""The methods whose intervals figure 2 shows. Ten overlapping bands cannot be read; the tables have the others."""

PANELS = {"scratch": "from scratch", "pretext": "from the pretext's weights"}


def figure_2(results: Results, name: str) -> Figure:
    """Return figure 2: all methods, from scratch and from the pretext's weights."""
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    for axes, weights in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
        draw_panel(axes, results, weights)
    figure.suptitle(f"ISIC 2017, {name} profile; bands: 95 % intervals of {' and '.join(BANDS)}")
    return figure


def draw_panel(axes: Axes, results: Results, weights: str) -> None:
    """Draw one panel of figure 2."""
    methods = methods_of(results, weights)
    labelled = {f"{method} (one seed)" if len(runs) == 1 else method: runs for method, runs in methods.items()}
    if any(methods.values()):
        draw_curves(axes, labelled, bands=BANDS)
        axes.legend(frameon=False, fontsize=8.5, loc="lower right", handlelength=4)
    axes.set(title=PANELS[weights], xlabel="labels", ylabel="Dice")


def panels(results: Results) -> Iterator[Block]:
    """Yield the panels of figure 2 as separate pictures, which can be read on a phone."""
    for weights, title in PANELS.items():
        methods = methods_of(results, weights)
        if not any(methods.values()):
            continue
        figure = Figure(figsize=(5.6, 5), layout="constrained")
        draw_panel(figure.subplots(), results, weights)
        last = ends(next(runs for runs in methods.values() if runs))[1]
        best = max((mean_curve(runs)[last].mean, method) for method, runs in methods.items() if runs)
        yield Picture(
            figure,
            f"Mean Dice over the number of labels, one line for each of {sum(map(bool, methods.values()))} methods, "
            f"{title}; the highest at {last} labels is {best[1]}, {best[0]:.3f}",
            f"{title[0].upper()}{title[1:]}: mean Dice over seeds. The bands, only for random and SSL-cluster, are "
            "95 % intervals of the mean (Student's t), given from five seeds on. Seeds differ more than methods, so "
            "do not compare lines by eye: the tables compare methods within seeds.",
            least=340,
        )


def cluster_map(out: Path) -> Iterator[Block]:
    """Yield the map of SSL-cluster's clusters in two dimensions, and their sizes, if the map was computed."""
    points = read_map(out)
    if not points:
        return
    chosen = {
        id
        for row in read_choices(out)
        if (row.method, row.weights, row.variant, row.seed, row.round) == ("ssl-cluster", "scratch", "", 0, 0)
        for id in row.ids.split()
    }
    numbers = sorted({point.cluster for point in points})
    figure = Figure(figsize=(6.2, 5.6), layout="constrained")
    axes = figure.subplots()
    for cluster in numbers:
        own = sorted((point for point in points if point.cluster == cluster), key=lambda point: point.rank)
        _draw_cluster(axes, own, chosen)
    axes.set(xticks=[], yticks=[], title="The pool by two principal components of its features")
    axes.set_aspect("equal")  # distances on the map are those of the features
    start = f"the {len(chosen)} of SSL-cluster's start set are in full colour; " if chosen else ""
    yield Picture(
        figure,
        f"{len(points)} images as points, coloured by {max(numbers)} clusters",
        f"Each point is an image; {start}the number of a cluster is at the image nearest to its centre. "
        "Features are the pretext's of seed 0.",
        least=340,
    )
    sizes = [sum(point.cluster == cluster for point in points) for cluster in numbers]
    yield Table(
        ["cluster", *map(str, range(1, len(sizes) + 1))], [["images", *map(str, sizes)]], "Sizes of the clusters"
    )


def _draw_cluster(axes: Axes, points: Sequence[MapPoint], chosen: set[str]) -> None:
    """Draw the points of one cluster, in order of rank, with its number at the first."""
    again, number = divmod(points[0].cluster - 1, len(LINE_COLOURS))
    marker, colour = "o^sD"[again % 4], LINE_COLOURS[number]
    first = [point for point in points if point.id in chosen]
    for drawn, size, alpha in ((points, 9, 0.3), (first, 16, 1)):
        axes.scatter([p.x for p in drawn], [p.y for p in drawn], s=size, alpha=alpha, color=colour, marker=marker, lw=0)
    axes.annotate(
        str(points[0].cluster), (points[0].x, points[0].y), ha="center", va="center", fontsize=9, zorder=4,
        bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": colour, "lw": 1.5},
    )  # fmt: skip


def write_map(out: Path, name: str, data: Path) -> None:
    """Compute the position of each image of the pool by the pretext's features of seed 0, and write the map."""
    from sklearn.decomposition import PCA

    profile = PROFILES[name]
    pool, _ = read_pools(profile, data)
    pretext = pretext_of(profile, "auto")
    learner, _ = learner_and_strategy(Run("random", "scratch", 0), profile, "auto")
    points: list[MapPoint] = []

    def record_points(view: alkit.View, n: int, rng: np.random.Generator) -> list[str]:
        flat = PCA(2, random_state=0).fit_transform(view.features(pretext))
        found = view.clusters(pretext, profile.clusters)
        place = dict(zip(found.ids, zip(found.labels.tolist(), found.distances.tolist(), strict=True), strict=True))
        order = sorted(place, key=lambda id: (*place[id], id))
        first = {cluster: order.index(id) for id in reversed(order) for cluster in (place[id][0],)}
        rank = {id: number - first[place[id][0]] for number, id in enumerate(order)}
        points.extend(
            MapPoint(id, round(float(x), 4), round(float(y), 4), place[id][0] + 1, rank[id])
            for id, (x, y) in zip(view.ids, flat, strict=True)
        )
        return list(view.candidates[:n])

    alkit.Experiment(pool, learner, record_points, classes=CLASSES, seed=0).ask(1)
    rows.write(out / MAP, [asdict(point) for point in points])


def contact_sheets(out: Path, name: str, data: Path | None, shown: int = 12) -> Iterator[Block]:
    """Yield a sheet for each method with the images it asked for first under seed 0."""
    chosen = [row for row in read_choices(out) if (row.seed, row.variant) == (0, "")]
    firsts = {row.method: row for row in chosen if row.weights == "scratch" and row.round == _first_own_round(row)}
    measured = {row.method for row in read_rows(out) if (row.seed, row.variant, row.weights) == (0, "", "scratch")}
    for method in (*METHODS, *BEYOND):
        if method in measured and method not in firsts:
            yield Text(f"{method}: the images that seed 0 chose were not recorded.")
    if not firsts:
        return
    if data is None:
        yield Text(
            "The results do not include the images. Any run without --data downloads the official archives to "
            "data/isic2017. To show the images here, name their folder: --report --data DIR."
        )
        return
    from PIL import Image

    pool, _ = read_pools(PROFILES[name], data)
    clusters = {point.id: f", cluster {point.cluster}" for point in read_map(out)}
    for choice in firsts.values():
        ids = choice.ids.split()[:shown]
        masks = {id: np.asarray(Image.open(data / "masks" / f"{id}.png").convert("L")) > 127 for id in ids}
        captions = {id: _number(id) + clusters.get(id, "") for id in ids}
        yield Picture(
            contact_sheet(pool, ids, masks=masks, captions=captions, columns=4),
            f"{choice.method}'s choice: {', '.join(map(_number, ids))}, with outlines of the lesions",
            f"{choice.method}: the first {len(ids)} of round {choice.round}, in rank order. Outlines are the true "
            "masks, which the method did not see.",
            least=340,
        )


def _number(id: str) -> str:
    """Return the number of an image."""
    return id.removeprefix("ISIC_")


def _first_own_round(choice: Chosen) -> int:
    """Return the first round in which the method chooses the images itself: most begin with a random start set."""
    return 0 if choice.method in ("random", "ssl-cluster") else 1
