from dataclasses import replace

import numpy as np
from benchmark_numbers import BUDGETS, dice_of
from scipy import stats

from benchmarks.isic2017.protocol import COMPOSED, CONTROL, METHODS, PROFILES
from benchmarks.isic2017.tables import tables_of
from benchmarks.isic2017.tables.cells import OFF_ZERO, probability
from benchmarks.isic2017.tables.curves import members_of, results_of
from benchmarks.isic2017.tables.methods import comparisons, levels, penalties


def all_tables(measured):
    return tables_of(results_of(measured), members_of(measured), PROFILES["small"])


def test_comparisons_with_random_use_common_seeds():
    results = {
        ("random", "scratch", ""): {0: {300: 0.6, 400: 0.7, 500: 0.8}, 1: {300: 0.5, 400: 0.6, 500: 0.7}},
        ("ensemble-s", "scratch", ""): {0: {300: 0.7, 400: 0.8, 500: 0.9}, 1: {300: 0.6, 400: 0.7, 500: 0.8}},
        ("random", "scratch", "full"): {0: {1600: 0.9}, 1: {1600: 1.0}},
        ("random", "scratch", "full-equal-steps"): {0: {1600: 0.5}},
    }
    members = {("ensemble-s", "scratch", ""): {0: {500: 0.85}, 1: {500: 0.75}}}
    table = levels(results, members, "scratch")
    assert dict(zip(table.header, table.rows[1], strict=True)) == {
        "method": "ensemble-s",
        "seeds": "2",
        "Dice at 300": "0.650 ± 0.071",
        "at 500": "0.850 ± 0.071",
        "AUBC": "0.750 ± 0.071",
        "its single networks at 500": "0.800 ± 0.071",
        "share of the ceiling": "90.0% (n=2)",
        "share of the ceiling of equal steps": "180.0% (n=1)",
    }
    table = comparisons(results, members, "scratch")
    assert [dict(zip(table.header, row, strict=True)) for row in table.rows] == [
        {
            "method": "ensemble-s",
            "seeds": "2",
            "AUBC - random": "+0.100 ± 0.000 (n=2)",
            "p": "",
            "p (Holm)": "",
            "at 500 - random": "+0.100 ± 0.000 (n=2)",
            "its single networks at 500 - random": "+0.050 ± 0.000 (n=2)",
            "labels saved to reach 0.750": "no number",
            "seeds in which both cross it (at least one never does, at least one starts above it)": "1 of 2 (1, 0)",
            OFF_ZERO: "",
        }
    ]
    assert (
        "not measured"
        in levels(results, members, "scratch").rows[0]
        + levels({arm: runs for arm, runs in results.items() if arm[2] != "full"}, members, "scratch").rows[0]
    )


def test_ensembles_are_compared_with_an_ensemble_on_random_labels(measured):
    measured = [replace(row, member_dice=row.dice / 2) for row in measured]
    table = all_tables(measured)["ensembles-scratch"]
    assert "ensembles-pretext" not in all_tables(measured)
    assert [row[:2] for row in table.rows] == [
        ["ensemble-s - ensemble-random", "3"],
        ["ensemble-js - ensemble-random", "3"],
        ["ensemble-random - random", "3"],
    ]
    dice = {m: dice_of(measured, m, "scratch", "", 615)[:3] for m in ("ensemble-s", CONTROL, "random")}

    def spread(gaps):
        return f"{np.mean(gaps):+.3f} ± {np.std(gaps, ddof=1):.3f} (n=3)"

    gaps = np.subtract(dice["ensemble-s"], dice[CONTROL])
    assert list(table.rows[0][4:]) == [spread(gaps), spread(gaps / 2)]
    five = np.subtract(dice[CONTROL], dice["random"])
    singles = np.divide(dice[CONTROL], 2) - dice["random"]
    assert list(table.rows[2][4:]) == [spread(five), spread(singles)]
    areas = [
        np.trapezoid([dice_of(measured, method, "scratch", "", labels)[0] for labels in BUDGETS], BUDGETS)
        for method in ("ensemble-s", CONTROL)
    ]
    gap = (areas[0] - areas[1]) / (BUDGETS[-1] - BUDGETS[0])
    one = [row for row in measured if row.seed == 0]
    assert all_tables(one)["ensembles-scratch"].rows[0][2] == f"{gap:+.3f} (one seed)"


def test_the_control_is_not_tested_as_a_method(measured):
    five = [replace(row, seed=row.seed + 3, configuration=f"{row.configuration} again") for row in measured
            if row.method.startswith("ensemble") and row.seed < 2]  # fmt: skip
    tables = all_tables([*measured, *five])
    assert [row[0] for row in tables["comparisons-scratch"].rows] == [*METHODS[1:], *COMPOSED]
    assert list(tables["penalties-scratch"].header) == ["method", *METHODS, *COMPOSED]
    assert tables["ensembles-scratch"].rows[0][3]  # tested against the control, and below not against random
    assert not any(row[3] for row in tables["comparisons-scratch"].rows if row[0].startswith("ensemble"))


def test_penalties_count_wins_of_the_row_over_the_column():
    results = {
        ("random", "pretext", ""): {seed: {300: 0.6, 335: 0.7} for seed in range(5)},
        ("dsal", "pretext", ""): {seed: {300: 0.6, 335: 0.8 + seed / 100} for seed in range(5)},
        ("ceal", "pretext", ""): {seed: {300: 0.9, 335: 0.9} for seed in range(4)},
    }
    assert penalties(results, "pretext").rows == [
        ["random", "", "0.00"],
        ["dsal", "0.50", ""],
        ["sum of losses", "0.50", "0.00"],
    ]


def test_methods_are_tested_together_except_those_with_few_seeds(measured):
    table = comparisons(results_of(measured), members_of(measured), "scratch")
    by_method = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert list(by_method) == [*METHODS[1:], *COMPOSED]
    tested = [method for method, row in by_method.items() if row["p"]]
    assert tested == ["ssl-cluster", "mc-dropout", "ceal", "dsal", *COMPOSED]
    areas = {
        method: [
            np.trapezoid([row.dice for row in curve], BUDGETS) / (BUDGETS[-1] - BUDGETS[0])
            for seed in range(5)
            for curve in [[r for r in measured if (r.method, r.weights, r.variant, r.seed) == (*arm, seed)]]
        ]
        for method in ("random", *tested)
        for arm in [(method, "scratch", "")]
    }
    p = {method: stats.ttest_rel(areas[method], areas["random"]).pvalue for method in tested}
    for method in tested:
        steps = [(len(tested) - rank) * p[m] for rank, m in enumerate(sorted(tested, key=p.get)) if p[m] <= p[method]]
        assert by_method[method]["p"] == probability(p[method])
        assert by_method[method]["p (Holm)"] == probability(min(1, max(steps)))
    assert by_method["ensemble-s"]["AUBC - random"].endswith("(n=3)")
    ceiling = dice_of(measured, "random", "scratch", "full", 1600)
    last = dice_of(measured, "ceal", "scratch", "", BUDGETS[-1])
    share = np.mean(np.divide(last, ceiling))
    reached = levels(results_of(measured), members_of(measured), "scratch")
    assert f"{share:.1%} (n=5)" in dict(zip([row[0] for row in reached.rows], reached.rows, strict=True))["ceal"]
