"""Tables of all methods: what they reach, and how they compare with random and with each other."""

from __future__ import annotations

from alkit.report import Table
from alkit.statistics import aubc, estimate, holm, mean_curve, paired_difference, penalty_matrix, share_of_ceiling
from benchmarks.isic2017.protocol import CONTROL, METHODS, Arm
from benchmarks.isic2017.tables.cells import (
    OFF_ZERO,
    WITHIN,
    budgets_off_zero,
    dice_at,
    difference,
    gap_at,
    mean,
    probability,
    savings,
)
from benchmarks.isic2017.tables.curves import Results, ends, methods_of


def levels(results: Results, members: Results, weights: str) -> Table:
    """Return the Dice that each method reaches, and its share of the ceiling."""
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
        shares = [_share(results, arm, ("random", weights, variant), last) for variant in tops.values()]
        lines.append(
            [
                method,
                str(len(runs)),
                dice_at(results, arm, first),
                dice_at(results, arm, last),
                mean(area),
                dice_at(members, arm, last),
                *shares,
            ]
        )
    return Table(header, lines, title)


def _share(results: Results, arm: Arm, top: Arm, labels: int) -> str:
    """Return the share of a ceiling that an arm reaches, within seeds."""
    runs, tops = results[arm], results.get(top, {})
    if not set(runs) & set(tops):
        return "not measured"
    found = share_of_ceiling(runs, {seed: curve[max(curve)] for seed, curve in tops.items()}, labels=labels)
    return f"{found.mean:.1%} (n={found.n})"


def comparisons(results: Results, members: Results, weights: str) -> Table:
    """Return the comparison of each method with random, within seeds."""
    title = (
        f"Against random, {weights}: differences ({WITHIN}, Holm correction over the table) and labels saved; "
        "ensembles are not tested here, because they compare five networks with one"
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
        if method not in ("random", CONTROL) and set(runs) & set(random)
    }
    areas = {method: paired_difference(results[arm], random) for method, arm in arms.items()}
    tested = {m: gap.p for m, gap in areas.items() if gap.p is not None and not m.startswith("ensemble")}
    corrected = holm(tested)
    header = ["method", "seeds", "AUBC - random", "p", "p (Holm)", f"at {last} - random"]
    header += [f"its single networks at {last} - random", f"labels saved to reach {target:.3f}"]
    header += ["seeds in which both cross it (at least one never does, at least one starts above it)", OFF_ZERO]
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
                *savings(results[arm], random, target),
                budgets_off_zero(results, arm, base),
            ]
        )
    return Table(header, lines, title)


def ensembles(results: Results, members: Results, weights: str) -> Table:
    """Return the gain of ensembles by their choice of labels, and by having five networks."""
    control, random = (CONTROL, weights, ""), ("random", weights, "")
    members = members | {random: results.get(random, {})}
    choosing = [(method, weights, "") for method in METHODS if method.startswith("ensemble")]
    last = ends(results[control])[1] if control in results else 0
    lines = []
    for ours, theirs in [*((arm, control) for arm in choosing), (control, random)]:
        runs = [results.get(arm, {}) for arm in (ours, theirs)]
        if set(runs[0]) & set(runs[1]):
            gap = paired_difference(*runs)
            cells = [gap_at(measured, ours, theirs, last) for measured in (results, members)]
            lines.append([f"{ours[0]} - {theirs[0]}", str(gap.n), difference(gap), probability(gap.p), *cells])
    title = f"Ensembles, {weights}: gain by the choice of labels, and by five networks instead of one ({WITHIN})"
    header = ["difference", "seeds", "AUBC", "p", f"at {last}", f"of single networks at {last}"]
    return Table(header, lines if control in results else [], title)


def penalties(results: Results, weights: str) -> Table:
    """Return the pairwise penalty matrix of the methods that have enough seeds."""
    title = (
        f"Pairwise penalties, {weights}: share of budgets at which the row beats the column (paired t-test, p < .05, "
        "uncorrected); the first budget counts, although methods with a common start set are equal there"
    )
    compared = methods_of(results, weights)
    del compared[CONTROL]
    matrix = penalty_matrix({method: runs for method, runs in compared.items() if runs})
    methods = [a for a, row in matrix.items() if any(cell is not None for cell in row.values())]
    lines = [[a, *("" if (cell := matrix[a][b]) is None else f"{cell:.2f}" for b in methods)] for a in methods]
    lost = [sum(cell for a in methods if (cell := matrix[a][b]) is not None) for b in methods]
    last = ["sum of losses", *(f"{value:.2f}" for value in lost)]
    return Table(["method", *methods], [*lines, last] if methods else [], title)
