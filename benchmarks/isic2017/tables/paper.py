"""Tables I and II of the paper, with its numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alkit.report import Table
from alkit.statistics import Runs, aubc, mean_curve
from benchmarks.isic2017.protocol import WEIGHTS, Profile
from benchmarks.isic2017.tables.cells import (
    OFF_ZERO,
    WITHIN,
    budgets_off_zero,
    count_off_zero,
    dice_at,
    gap_at,
    gap_of_areas,
    seed_count,
)
from benchmarks.isic2017.tables.curves import Results, arms_with_rows, ends, mean_of_curves

PAPER_TABLE_1 = {
    300: (0.580, 0.744, 0.682, 0.732),
    370: (0.657, 0.683, 0.576, 0.682),
    440: (0.717, 0.743, 0.696, 0.763),
    510: (0.687, 0.765, 0.725, 0.777),
    580: (0.774, 0.797, 0.785, 0.803),
}
"""By number of labels: random and the paper's method from scratch, then both from the pretext's weights (Table I)."""

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
"""By round: random; then K = 5 and K = 10, each with 512 and 2048 features, from scratch (Table II)."""

ARMS_1 = [(method, weights, "") for weights in WEIGHTS for method in ("random", "ssl-cluster")]
VARIANTS_2 = ("k5-1x1", "k5-2x2", "k10-1x1", "")
ARMS_2 = [("random", "scratch", ""), *(("ssl-cluster", "scratch", variant) for variant in VARIANTS_2)]


def table_1(results: Results) -> Table:
    """Return Table I."""
    header = ["labels"]
    for method, weights, _ in arms_with_rows(results, ARMS_1):
        name = f"{method}, {weights}"
        header += [f"{name}: paper", f"{name}: ours{seed_count(results, (method, weights, ''))}"]
    lines = [
        [
            str(labels),
            *(
                cell
                for arm, value in zip(ARMS_1, paper, strict=True)
                if results.get(arm, {})
                for cell in (f"{value:.3f}", dice_at(results, arm, labels))
            ),
        ]
        for labels, paper in _rows_of_table_1(results).items()
    ]
    return Table(header, lines, "Table I: Dice by number of labels, with and without the pretext's weights")


def table_1_differences(results: Results) -> Table:
    """Return the gain of SSL-cluster over random in Table I."""
    places = {f"ssl-cluster - random, {weights}": (2 * n + 1, 2 * n) for n, weights in enumerate(WEIGHTS)}
    return _gaps_of_table_1(results, places, "Table I, SSL-cluster - random")


def table_1_pretext(results: Results) -> Table:
    """Return the gain by the pretext's weights in Table I."""
    places = {f"pretext - scratch, {method}": (2 + n, n) for n, method in enumerate(("random", "ssl-cluster"))}
    return _gaps_of_table_1(results, places, "Table I, pretext - scratch")


def _gaps_of_table_1(results: Results, places: Mapping[str, tuple[int, int]], title: str) -> Table:
    """Return differences between arms of Table I, given by their places in :data:`ARMS_1`."""
    header = ["labels", *(f"{name}: {source}" for name in places for source in ("paper", "ours"))]
    lines = [
        [
            str(labels),
            *(
                cell
                for a, b in places.values()
                for cell in (
                    f"{paper[a] - paper[b]:+.3f}",
                    gap_at(results, ARMS_1[a], ARMS_1[b], labels),
                )
            ),
        ]
        for labels, paper in _rows_of_table_1(results).items()
    ]
    found = [line for line in lines if any(line[2::2])]
    return Table(header, found, f"{title}: differences in Dice ({WITHIN}); the paper's are of single runs")


def _rows_of_table_1(results: Results) -> dict[int, tuple[float, ...]]:
    """Return the rows of the paper's Table I at numbers of labels that we measured."""
    measured = {labels for arm in ARMS_1 for curve in results.get(arm, {}).values() for labels in curve}
    return {labels: paper for labels, paper in PAPER_TABLE_1.items() if labels in measured}


def table_2(results: Results, profile: Profile) -> Table:
    """Return Table II: numbers of clusters and of features."""
    title = "Table II: Dice by round, for numbers of clusters and of features, without the pretext's weights"
    if not any(results.get(arm, {}) for arm in ARMS_2[1:-1]):
        return Table(["round"], [], title)
    header = ["round"]
    for name, arm in zip(_names_of_table_2(profile), ARMS_2, strict=True):
        header += [f"{name}: paper", f"{name}: ours{seed_count(results, arm)}"]
    lines = [
        [
            str(round),
            *(
                cell
                for arm, value in zip(ARMS_2, paper, strict=True)
                for cell in (f"{value:.3f}", dice_at(results, arm, labels))
            ),
        ]
        for round, (labels, paper) in enumerate(zip(_budgets_of_table_2(results), PAPER_TABLE_2, strict=False))
    ]
    full = " and ".join(f"{512 * pooling**2}" for pooling in (1, 2))
    ours = " and ".join(f"{profile.widths[-1] * pooling**2}" for pooling in (1, 2))
    return Table(header, lines, f"{title}; {ours} features here correspond to {full} at the paper's size")


def table_2_differences(results: Results, profile: Profile) -> Table:
    """Return the differences to random in Table II, by round, and at the end over all budgets."""
    names = _names_of_table_2(profile)[1:]
    arms, random = ARMS_2[1:], ARMS_2[0]
    budgets = _budgets_of_table_2(results)
    ours = [[gap_at(results, arm, random, labels) for arm in arms] for labels in budgets]
    title = f"Table II, differences: Dice minus random's, by clusters and features; {count_off_zero(ours)}"
    header = ["round", *(f"{name} - random: {source}" for name in names for source in ("paper", "ours"))]
    if not any(results.get(arm) for arm in arms[:-1]):
        return Table(header, [], title)
    lines = [
        [str(round), *_alternate([f"{value - paper[0]:+.3f}" for value in paper[1:]], cells)]
        for round, (paper, cells) in enumerate(zip(PAPER_TABLE_2, ours, strict=False))
    ]
    if len(budgets) == len(PAPER_TABLE_2):
        areas = [aubc(dict(zip(budgets, column, strict=True))) for column in zip(*PAPER_TABLE_2, strict=True)]
        whole = [gap_of_areas(results, arm, random) for arm in arms]
        lines.append(["AUBC", *_alternate([f"{area - areas[0]:+.3f}" for area in areas[1:]], whole)])
    return Table(header, lines, title)


def table_2_contrasts(results: Results, profile: Profile) -> Table:
    """Return the effects of more clusters and of more features, each over both values of the other, within seeds."""
    fewer, more = (sorted({profile.variant(v).clusters for v in VARIANTS_2})[place] for place in (0, -1))
    few, many = (profile.widths[-1] * pooling**2 for pooling in (1, 2))
    contrasts = {
        f"K={more} - K={fewer}": (("k10-1x1", ""), ("k5-1x1", "k5-2x2")),
        f"{many} - {few} features": (("k5-2x2", ""), ("k5-1x1", "k10-1x1")),
    }
    arm = {variant: ("ssl-cluster", "scratch", variant) for variant in VARIANTS_2}
    seeds = set.intersection(*(set(results.get(one, {})) for one in arm.values()))
    lines = []
    for name, sides in contrasts.items() if seeds else ():
        means: list[Runs] = [
            {seed: mean_of_curves([results[arm[variant]][seed] for variant in side]) for seed in seeds}
            for side in sides
        ]
        pair = dict(zip([("more", "", ""), ("less", "", "")], means, strict=True))
        gaps = [gap_at(pair, *pair, labels) for labels in mean_curve(means[0])]
        lines.append([name, gap_of_areas(pair, *pair), gaps[0], gaps[-1], budgets_off_zero(pair, *pair)])
    first, last = ends(results[arm[""]]) if seeds else (0, 0)
    return Table(
        ["difference", "AUBC", f"at {first}", f"at {last}", OFF_ZERO],
        lines,
        f"Table II, contrasts: more clusters and more features in SSL-cluster, differences in Dice ({WITHIN})",
    )


def _names_of_table_2(profile: Profile) -> list[str]:
    """Return the names of Table II's arms: number of clusters and of features, at the profile's size."""
    names = ["random"]
    for variant in VARIANTS_2:
        own = profile.variant(variant)
        names.append(f"K={own.clusters}, {own.widths[-1] * own.pooling**2}")
    return names


def _budgets_of_table_2(results: Results) -> list[int]:
    """Return the numbers of labels at which the arms of Table II were measured."""
    return sorted({labels for arm in ARMS_2 for curve in results.get(arm, {}).values() for labels in curve})


def _alternate(a: Sequence[str], b: Sequence[str]) -> list[str]:
    """Return the cells of two rows in turn."""
    return [cell for pair in zip(a, b, strict=True) for cell in pair]
