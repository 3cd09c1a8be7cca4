from dataclasses import replace

import isic2017
import numpy as np
import pytest
from isic2017 import COMPOSED, CONTROL, METHODS, PARTS, WEIGHTS, Chosen, Row, read_rows, rows
from isic2017_report import (
    OUTSIDE,
    PAPER_TABLE_1,
    PAPER_TABLE_2,
    Place,
    ceilings,
    choices_of_ours,
    compared_twice,
    comparisons,
    draw_map,
    figure_2,
    levels,
    members_of,
    origins,
    other_arithmetic,
    out_of_zero,
    outside,
    penalties,
    probability,
    results_of,
    saved,
    section_of,
    settings,
    sheets,
    table_1,
    table_1_differences,
    table_1_pretext,
    table_2,
    table_2_contrasts,
    table_2_differences,
    tables_in,
    tables_of,
    write,
)
from scipy import stats

BUDGETS = [300 + 35 * number for number in range(10)]
SMALL = isic2017.PROFILES["small"]


def all_tables(measured):
    return tables_of(results_of(measured), members_of(measured), SMALL)


@pytest.fixture
def measured():
    """Return rows of every arm there is: five seeds, of the ensembles three, with known Dice."""
    rng = np.random.default_rng(0)
    found = []
    for number, arm in enumerate(dict.fromkeys(arm for part in PARTS.values() for arm in part)):
        method, _, variant = arm
        for seed in range(3 if method.startswith("ensemble") else 5):
            for round, labels in enumerate([1600] if variant.startswith("full") else BUDGETS):
                dice = round_off(0.6 + round / 50 + number / 500 + seed / 30 + rng.normal(0, 0.01))
                found.append(
                    Row(
                        "small",
                        *arm,
                        seed,
                        round,
                        labels,
                        0,
                        dice,
                        dice,
                        dice,
                        1.0,
                        f"{arm} {seed}",
                        "abc",
                        "a machine",
                    )
                )
    return found


def round_off(value):
    return round(float(value), 5)


@pytest.fixture
def out(measured, tmp_path):
    rows.write(tmp_path / "rows.csv", [vars(row) for row in measured])
    return tmp_path


def mean_of(values):
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def gap_of(a, b):
    low, high = stats.ttest_rel(a, b).confidence_interval()
    return f"{np.mean(a) - np.mean(b):+.3f} [{low:+.3f}, {high:+.3f}]"


def dice_of(measured, method, weights, variant, labels):
    return [
        row.dice
        for row in measured
        if (row.method, row.weights, row.variant, row.labels) == (method, weights, variant, labels)
    ]


def test_table_1_has_the_papers_figures_and_ours_beside_them(measured):
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


def test_table_2_has_a_row_a_round_and_a_column_a_setting(measured):
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


def test_clusters_and_features_are_set_against_each_other_over_both_values_of_the_other(measured):
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


def test_intervals_over_all_budgets_are_counted_but_where_the_runs_are_the_same():
    def runs(*rows):
        return {seed: dict(zip((300, 335, 370, 405), row, strict=True)) for seed, row in enumerate(rows)}

    random = runs(*[(0.5, 0.5, 0.5, 0.5)] * 5)
    ours = runs(*((0.5, 0.6 + n / 99, 0.4 - n / 99, 0.5 + (n - 2) / 99) for n in range(5)))
    arms = {("a", "", ""): ours, ("random", "", ""): random}
    assert outside(arms, *arms) == "1, 1 of 3"
    assert outside({arm: {0: found[0]} for arm, found in arms.items()}, *arms) == ""


def test_intervals_that_leave_zero_out_are_counted_by_side():
    lines = [
        ["0", "+0.002 [-0.001, +0.004]", "-0.020 [-0.030, -0.010]"],
        ["1", "+0.2 [+0.1, +0.3]", "+0.1 ± 0.1 (n=3)"],
    ]
    assert out_of_zero(lines).startswith("of 3 intervals 1 lie above zero and 1 below")


def test_what_is_said_of_a_method_against_random_is_of_their_seeds_in_common():
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
            "labels saved on the way to 0.750": "no number",
            "seeds in which both cross it (either never does, either has it from the start)": "1 of 2 (1, 0)",
            OUTSIDE: "",
        }
    ]
    assert (
        "not measured"
        in levels(results, members, "scratch").rows[0]
        + levels({arm: runs for arm, runs in results.items() if arm[2] != "full"}, members, "scratch").rows[0]
    )


def test_labels_saved_are_a_number_only_where_nearly_all_seeds_cross_the_target():
    def runs(*firsts, end=0.8):
        return {seed: {300: first, 400: end} for seed, first in enumerate(firsts)}

    slow, fast = runs(0.5, 0.5, 0.5, 0.5, 0.5), runs(0.6, 0.62, 0.6, 0.6, 0.6)
    assert saved(fast, slow, 0.65)[0] == "+27 [+22, +31]"
    assert saved(fast, slow, 0.65)[1] == "5 of 5 (0, 0)"
    assert saved(fast | {4: {300: 0.7, 400: 0.8}}, slow, 0.65) == ("+27 ± 4", "4 of 5 (0, 1)")
    few = fast | {3: {300: 0.7, 400: 0.8}, 4: {300: 0.1, 400: 0.2}}
    assert saved(few, slow, 0.65) == ("no number", "3 of 5 (1, 1)")


def test_what_other_instructions_do_is_told_within_seeds():
    arm = ("random", "scratch", "")
    results = {arm: {seed: {300: 0.6, 335: 0.7} for seed in range(3)}}
    wide = {arm: {1: {300: 0.65, 335: 0.7}, 2: {300: 0.57, 335: 0.7}, 9: {300: 0.1}}, ("dsal", "scratch", ""): {}}
    (row,) = other_arithmetic(results, wide).rows
    assert row == ["random scratch", "1, 2", "+0.010 ± 0.057 (n=2)", "0.050", "+0.000 ± 0.000 (n=2)", "0.000", "0.050"]


def test_no_tables_but_those_of_the_arithmetic_know_of_runs_with_other_instructions(measured, out):
    before = tables_in(out, "small")
    wide = [replace(row, dice=row.dice / 2) for row in measured if row.method in ("random", "ssl-cluster")]
    rows.write(out / isic2017.OTHER, [vars(row) for row in wide])
    after = tables_in(out, "small")
    assert set(after) - set(before) == {"arithmetic", "arithmetic-differences"}
    assert all(after[name].rows == table.rows for name, table in before.items())
    ours, random = (dice_of(measured, method, "pretext", "", 615) for method in ("ssl-cluster", "random"))
    half = gap_of(np.divide(ours, 2), np.divide(random, 2))
    assert after["arithmetic-differences"].rows[3] == ["pretext", "615", gap_of(ours, random), half]


def test_ensembles_are_set_against_one_on_random_labels(measured):
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


def test_the_control_is_no_method_that_is_tested(measured):
    five = [replace(row, seed=row.seed + 3, configuration=f"{row.configuration} again") for row in measured
            if row.method.startswith("ensemble") and row.seed < 2]  # fmt: skip
    tables = all_tables([*measured, *five])
    assert [row[0] for row in tables["comparisons-scratch"].rows] == [*METHODS[1:], *COMPOSED]
    assert list(tables["penalties-scratch"].header) == ["method", *METHODS, *COMPOSED]
    assert tables["ensembles-scratch"].rows[0][3]  # it is tested there, and an ensemble against random is not
    assert not any(row[3] for row in tables["comparisons-scratch"].rows if row[0].startswith("ensemble"))


def test_a_comparison_with_other_instructions_is_of_the_same_seeds(measured):
    results = results_of(measured)
    wide = {arm: {seed: curve for seed, curve in runs.items() if seed < 3} | {9: {300: 0.1, 615: 0.9}}
            for arm, runs in results.items()}  # fmt: skip
    for _, _, ours, theirs in compared_twice(results, wide).rows:
        assert ours == theirs
        assert ours.endswith("(n=3)")


def test_rows_say_what_they_were_computed_with_where_it_is_known(measured, out):
    known = isic2017.Environment("abc", "a machine", "3.11", "2", "1", 1, "AVX2", "a" * 64, "b" * 64)
    assert origins(measured, out)[0][:4] == [
        "abc",
        "a machine",
        str(len({r.configuration for r in measured})),
        "not recorded",
    ]
    rows.write(out / isic2017.ENVIRONMENTS, [vars(known)])
    assert origins(measured, out)[0][3:] == ["3.11", "2", "1", "1", "AVX2", "a" * 12, "b" * 12]


def test_settings_are_listed_by_their_depth():
    learner = {"is": "a:Ensemble", "with": {"members": 5, "learner": {"is": "a:L", "with": {"lr": 0.1}}}}
    assert settings(learner, "learner") == ["learner: a:Ensemble", "  members: 5", "  learner: a:L", "    lr: 0.1"]
    network = {"partial": {"named": "a:UNet"}, "args": [], "with": {"widths": [8]}}
    assert settings(network, "network") == ["network: a:UNet", "  widths: [8]"]
    assert settings({"is": "a:S", "with": {"features": network}}, "s", ("features",)) == [
        "s: a:S",
        "  features: a:UNet",
    ]


def test_penalties_are_of_the_row_against_the_column():
    results = {
        ("random", "pretext", ""): {seed: {300: 0.6, 335: 0.7} for seed in range(5)},
        ("dsal", "pretext", ""): {seed: {300: 0.6, 335: 0.8 + seed / 100} for seed in range(5)},
        ("ceal", "pretext", ""): {seed: {300: 0.9, 335: 0.9} for seed in range(4)},
    }
    assert penalties(results, "pretext").rows == [
        ["random", "", "0.00"],
        ["dsal", "0.50", ""],
        ["lost in all", "0.50", "0.00"],
    ]


def test_ceilings_are_those_of_their_arms(measured):
    dice = {
        (weights, variant): dice_of(measured, "random", weights, variant, 1600)
        for weights in WEIGHTS
        for variant in ("full", "full-equal-steps")
    }
    found = [row[2] for row in ceilings(results_of(measured)).rows]
    assert found[:4] == [mean_of(values) for values in dice.values()]
    assert found[4:6] == [gap_of(dice[weights, "full"], dice[weights, "full-equal-steps"]) for weights in WEIGHTS]
    variants = "full", "full-equal-steps"
    assert found[6:8] == [gap_of(dice["pretext", variant], dice["scratch", variant]) for variant in variants]
    ends = {weights: dice_of(measured, "random", weights, "", 615) for weights in WEIGHTS}
    assert found[8:] == [gap_of(values, ends[weights]) for (weights, _), values in dice.items()]


@pytest.mark.parametrize("kept", [3, 5])
def test_choices_of_ours_are_judged_in_the_same_seeds(measured, kept):
    measured = [row for row in measured if row.variant != "lr-1e-3" or row.seed < kept]
    table = choices_of_ours(results_of(measured))
    assert table.caption.endswith(f"(n={kept})")
    for row, variant in zip(table.rows, ("", "lr-1e-3", "epochs-x2"), strict=True):
        dice = {
            (labels, method): dice_of(measured, method, "scratch", variant, labels)[:kept]
            for labels in (300, 615)
            for method in ("random", "ssl-cluster")
        }
        assert row[1:5] == [mean_of(values) for values in dice.values()]
        if kept == 5:
            assert row[5:7] == [gap_of(dice[labels, "ssl-cluster"], dice[labels, "random"]) for labels in (300, 615)]


def a_row(method):
    return Row("smoke", method, "scratch", "", 0, 0, 12, 0, 0.5, 0.5, 0.5, 1.0, method, "abc", "a machine")


def test_pictures_are_of_the_protocol_under_seed_0_from_scratch(data, tmp_path):
    ids = isic2017.pools(isic2017.PROFILES["smoke"], data)[0].ids
    arms = [(method, weights, variant, seed) for method in ("dsal", "ssl-cluster") for weights in WEIGHTS
            for variant in ("", "lr-1e-3") for seed in (0, 1)]  # fmt: skip
    chosen = [Chosen(*arm, round, " ".join(ids[round : round + 3])) for arm in arms for round in (0, 1)]
    rows.write(tmp_path / "choices.csv", [vars(c) for c in chosen])
    rows.write(tmp_path / "rows.csv", [vars(a_row(method)) for method in ("dsal", "ssl-cluster", "ceal")])
    missing, *pictures = sheets(tmp_path, "smoke", data)
    assert missing.text == "ceal: which images seed 0 chose was not recorded."
    assert [picture.caption.partition(",")[0] for picture in pictures] == [
        "dsal: the first 3 of round 1",
        "ssl-cluster: the first 3 of round 0",
    ]
    shown = [cell.get_xlabel() for picture in pictures for cell in picture.figure.axes]
    assert shown == [id.removeprefix("ISIC_") for id in (*ids[1:4], *ids[:3])]


def test_methods_are_tested_together_and_those_with_few_seeds_are_not(measured):
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


def test_everything_is_written_and_needs_no_images(out):
    write(out, "small")
    there = {path.name for path in out.iterdir()}
    tables = {f"{name}.md" for name in all_tables(read_rows(out))}
    assert tables >= {"table1.md", "table2.md", "ceiling.md", "choices.md", "comparisons-pretext.md"}
    assert there == tables | {"rows.csv", "figure2.png", "figure2.svg", "report.html"}
    page = (out / "report.html").read_text()
    for title in ("Figure 2", "Table I", "Table II", "The ceiling", "Pairwise penalties, scratch", "What was run"):
        assert f"<h2>{title}</h2>" in page
    assert "a machine" in page


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_few_seeds_and_few_arms_give_what_there_is(measured, kept, tmp_path):
    few = [row for row in measured if row.seed < kept and row.method in ("random", "dsal") and row.weights == "scratch"]
    few = [row for row in few if not row.variant]
    rows.write(tmp_path / "rows.csv", [vars(row) for row in few])
    write(tmp_path, "small")
    table = (tmp_path / "comparisons-scratch.md").read_text()
    assert "[" not in table
    assert f"| dsal | {kept} |" in table
    assert ("(one seed)" if kept == 1 else f"(n={kept})") in table
    assert not (tmp_path / "penalties-scratch.md").exists()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write(tmp_path, "small")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_method_has_one_colour_in_both_panels(measured):
    kept = [row for row in measured if row.weights == "scratch" or row.method in ("random", "dsal")]
    colours = [
        {line.get_label().partition(" ")[0]: line.get_color() for line in panel.lines}
        for panel in figure_2(results_of(kept), "small").axes
    ]
    assert set(colours[1]) == {"random", "dsal"}
    assert colours[0].items() > colours[1].items()


def test_a_line_says_of_how_many_seeds_it_is():
    runs = {seed: {300: 0.5, 335: 0.6} for seed in range(2)}
    figure = figure_2({("random", "scratch", ""): runs, ("dsal", "scratch", ""): {0: runs[0]}}, "small")
    assert [line.get_label() for line in figure.axes[0].lines] == ["random (mean of 2)", "dsal (one seed)"]


def test_a_small_p_is_not_shown_as_none():
    assert [probability(p) for p in (None, 0.0, 0.0004, 0.0005, 0.049)] == ["", "<0.001", "<0.001", "0.001", "0.049"]


def test_a_table_explains_the_signs_it_has_and_no_others(measured):
    captions = {name: section_of(table).blocks[0].caption for name, table in all_tables(measured).items()}
    signs = {name: ("±" in caption, "[ ]" in caption) for name, caption in captions.items()}
    assert signs["choices"] == (True, True)
    assert signs["table1"] == (True, False)
    assert signs["ceiling"] == (True, True)
    assert signs["table1-differences"] == signs["table2-differences"] == (False, True)
    assert signs["penalties-scratch"] == (False, False)


def test_no_rows_are_an_error(tmp_path):
    import alkit

    with pytest.raises(alkit.errors.ConfigurationError, match="no rows"):
        write(tmp_path, "small")


def test_the_papers_tables_agree_where_they_say_the_same():
    for round, labels in enumerate(BUDGETS):
        if labels in PAPER_TABLE_1 and labels != 440:
            assert PAPER_TABLE_1[labels][0] == PAPER_TABLE_2[round][0]
            assert PAPER_TABLE_1[labels][1] == PAPER_TABLE_2[round][4]
    assert PAPER_TABLE_2[4][0] == PAPER_TABLE_1[440][0]


def test_the_page_shows_maps_and_pictures_where_the_images_are(bench, data, tmp_path):
    bench("--methods", "ssl-cluster", "--weights", "scratch", "--seeds", 0)
    draw_map(tmp_path / "out", "smoke", data)
    (chosen,) = [
        set(c.ids.split())
        for c in rows.read_as(Chosen, tmp_path / "out" / "choices.csv")
        if (c.method, c.round) == ("ssl-cluster", 0)
    ]
    places = rows.read_as(Place, tmp_path / "out" / "map.csv")
    for cluster in range(1, 5):
        own = sorted((place for place in places if place.cluster == cluster), key=lambda place: place.rank)
        assert [place.rank for place in own] == list(range(len(own)))
        first = [place.id for place in own if place.id in chosen]
        assert first == [place.id for place in own[: len(first)]]  # SSL-cluster takes the nearest of each cluster
    write(tmp_path / "out", "smoke", data)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "48 images as points, coloured by 4 clusters" in page
    assert "ssl-cluster: the first 12 of round 0" in page
    assert "the 12 of SSL-cluster&#39;s start set are in full colour" in page
    write(tmp_path / "out", "smoke")
    assert "give their folder" in (tmp_path / "out" / "report.html").read_text()


def test_every_method_of_the_committed_figure_has_its_first_images():
    folder = isic2017.HERE / "results" / "isic2017-small"
    drawn = {row.method for row in read_rows(folder) if (row.weights, row.variant, row.seed) == ("scratch", "", 0)}
    chosen = rows.read_as(Chosen, folder / "choices.csv")
    assert drawn == {c.method for c in chosen if (c.weights, c.variant, c.seed, c.round) == ("scratch", "", 0, 1)}


def test_bands_are_of_two_methods_and_no_two_lines_look_alike(measured):
    for axes in figure_2(results_of(measured), "small").axes:
        assert len(axes.collections) == 2
        assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == len(axes.lines)
        assert len({line.get_marker() for line in axes.lines}) == len(axes.lines)


def test_the_page_shows_a_panel_at_a_time_and_says_what_contradicts(measured, tmp_path):
    mixed = [replace(row, dice=0.9) if (row.method, row.seed) == ("ceal", 1) else row for row in measured]
    rows.write(tmp_path / "rows.csv", [vars(row) for row in mixed])
    write(tmp_path, "small")
    page = (tmp_path / "report.html").read_text()
    assert "From scratch: mean Dice over seeds" in page
    assert "From the pretext&#39;s weights: mean Dice over seeds" in page
    assert "scratch seed 1: the same networks, one start set, and unequal Dice in round 0" in page
    for said in ("not recorded", "    batch: 10", "cross-entropy + Dice", "  draws: 20", "  members: 5"):
        assert said in page
