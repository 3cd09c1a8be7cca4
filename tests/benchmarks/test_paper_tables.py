import numpy as np
from benchmark_numbers import BUDGETS, dice_of, gap_of, mean_of

from benchmarks.isic2017.protocol import METHODS, PROFILES, WEIGHTS
from benchmarks.isic2017.tables.curves import results_of
from benchmarks.isic2017.tables.paper import (
    PAPER_TABLE_1,
    PAPER_TABLE_2,
    table_1,
    table_1_differences,
    table_1_pretext,
    table_2,
    table_2_contrasts,
    table_2_differences,
)

SMALL = PROFILES["small"]


def test_table_1_shows_the_papers_numbers_and_ours(measured):
    tables = [found(results_of(measured)) for found in (table_1, table_1_differences, table_1_pretext)]
    assert all([row[0] for row in table.rows] == ["300", "370", "440", "510", "580"] for table in tables)
    table = tables[0]
    row, gap, gain = (dict(zip(found.header, found.rows[2], strict=True)) for found in tables)
    assert len(row) == len(table.header), "each column says which arm it is of"
    assert (row["random, scratch: paper"], row["ssl-cluster, scratch: paper"]) == ("0.717", "0.743")
    assert (row["random, pretext: paper"], row["ssl-cluster, pretext: paper"]) == ("0.696", "0.763")
    for method in METHODS[:2]:
        for weights in WEIGHTS:
            values = dice_of(measured, method, weights, "", 440)
            assert row[f"{method}, {weights}: ours (n=5)"] == mean_of(values)
    for weights, paper in zip(WEIGHTS, ("+0.026", "+0.067"), strict=True):
        ours, random = (dice_of(measured, m, weights, "", 440) for m in ("ssl-cluster", "random"))
        assert gap[f"ssl-cluster - random, {weights}: ours"] == gap_of(ours, random)
        assert gap[f"ssl-cluster - random, {weights}: paper"] == paper
    for method, paper in zip(METHODS[:2], ("-0.021", "+0.020"), strict=True):
        pretext, scratch = (dice_of(measured, method, weights, "", 440) for weights in ("pretext", "scratch"))
        assert gain[f"pretext - scratch, {method}: ours"] == gap_of(pretext, scratch)
        assert gain[f"pretext - scratch, {method}: paper"] == paper


def test_table_2_has_a_row_per_round_and_columns_per_setting(measured):
    table, gaps = table_2(results_of(measured), SMALL), table_2_differences(results_of(measured), SMALL)
    assert len(table.rows) == len(gaps.rows) - 1 == len(PAPER_TABLE_2) == 10
    assert list(table.header[3::2]) == [f"{name}: paper" for name in ("K=5, 128", "K=5, 512", "K=10, 128", "K=10, 512")]
    row = table.rows[3]
    assert [row[1 + 2 * place] for place in range(5)] == [f"{value:.3f}" for value in PAPER_TABLE_2[3]]
    for place, variant in enumerate(("k5-1x1", "k5-2x2", "k10-1x1", "")):
        values = dice_of(measured, "ssl-cluster", "scratch", variant, BUDGETS[3])
        assert row[4 + 2 * place].startswith(f"{np.mean(values):.3f} ±")
        assert gaps.rows[3][2 + 2 * place] == gap_of(values, dice_of(measured, "random", "scratch", "", BUDGETS[3]))
        paper, random = ([line[column] for line in PAPER_TABLE_2] for column in (1 + place, 0))
        assert gaps.rows[3][1 + 2 * place] == f"{paper[3] - random[3]:+.3f}"
        assert gaps.rows[10][1 + 2 * place] == f"{area_of(paper) - area_of(random):+.3f}"
        areas = areas_of(measured, "ssl-cluster", variant)
        assert gaps.rows[10][2 + 2 * place] == gap_of(areas, areas_of(measured, "random", ""))


def area_of(values):
    return np.trapezoid(values, BUDGETS) / (BUDGETS[-1] - BUDGETS[0])


def areas_of(measured, method, variant):
    curves = [dice_of(measured, method, "scratch", variant, labels) for labels in BUDGETS]
    return [area_of(curve) for curve in zip(*curves, strict=True)]


def test_contrasts_of_clusters_and_features_average_over_the_other_factor(measured):
    clusters, features = table_2_contrasts(results_of(measured), SMALL).rows
    assert [row[0] for row in (clusters, features)] == ["K=10 - K=5", "512 - 128 features"]
    areas = {v: areas_of(measured, "ssl-cluster", v) for v in ("k5-1x1", "k5-2x2", "k10-1x1", "")}
    first = {v: dice_of(measured, "ssl-cluster", "scratch", v, 300) for v in areas}
    for row, more, less in (
        (clusters, ("k10-1x1", ""), ("k5-1x1", "k5-2x2")),
        (features, ("k5-2x2", ""), ("k5-1x1", "k10-1x1")),
    ):
        for cell, values in zip(row[1:3], (areas, first), strict=True):
            assert cell == gap_of(*(np.mean([values[v] for v in side], axis=0) for side in (more, less)))


def test_the_papers_tables_agree_in_common_cells():
    for round, labels in enumerate(BUDGETS):
        if labels in PAPER_TABLE_1 and labels != 440:
            assert PAPER_TABLE_1[labels][0] == PAPER_TABLE_2[round][0]
            assert PAPER_TABLE_1[labels][1] == PAPER_TABLE_2[round][4]
    assert PAPER_TABLE_2[4][0] == PAPER_TABLE_1[440][0]
