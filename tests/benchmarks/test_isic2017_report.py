import isic2017
import numpy as np
import pytest
from isic2017 import BEYOND, METHODS, PARTS, WEIGHTS, Chosen, Row, read_rows, rows
from isic2017_report import (
    PAPER_TABLE_1,
    PAPER_TABLE_2,
    Place,
    ceilings,
    choices_of_ours,
    comparisons,
    draw_map,
    figure_2,
    penalties,
    probability,
    results_of,
    section_of,
    sheets,
    table_1,
    table_2,
    tables_of,
    write,
)
from scipy import stats

BUDGETS = [300 + 35 * number for number in range(10)]


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
    table = table_1(results_of(measured))
    assert [row[0] for row in table.rows] == ["300", "370", "440", "510", "580"]
    row = dict(zip(table.header, table.rows[2], strict=True))
    assert (row["random, scratch: paper"], row["ssl-cluster, scratch: paper"]) == ("0.717", "0.743")
    assert (row["random, pretext: paper"], row["ssl-cluster, pretext: paper"]) == ("0.696", "0.763")
    for place, (method, weights) in enumerate((m, w) for w in WEIGHTS for m in METHODS[:2]):
        values = dice_of(measured, method, weights, "", 440)
        assert table.rows[2][2 + 2 * place] == mean_of(values)
    for weights in WEIGHTS:
        ours, random = (dice_of(measured, m, weights, "", 440) for m in ("ssl-cluster", "random"))
        assert row[f"ssl-cluster - random, {weights}"] == gap_of(ours, random)
    for method in ("random", "ssl-cluster"):
        pretext, scratch = (dice_of(measured, method, weights, "", 440) for weights in ("pretext", "scratch"))
        assert row[f"pretext - scratch, {method}"] == gap_of(pretext, scratch)


def test_table_2_has_a_row_a_round_and_a_column_a_setting(measured):
    table = table_2(results_of(measured))
    assert len(table.rows) == len(PAPER_TABLE_2) == 10
    row = table.rows[3]
    assert [row[1 + 2 * place] for place in range(5)] == [f"{value:.3f}" for value in PAPER_TABLE_2[3]]
    for place, variant in enumerate(("k5-1x1", "k5-2x2", "k10-1x1", "")):
        values = dice_of(measured, "ssl-cluster", "scratch", variant, BUDGETS[3])
        assert row[4 + 2 * place].startswith(f"{np.mean(values):.3f} ±")
        assert row[11 + place] == gap_of(values, dice_of(measured, "random", "scratch", "", BUDGETS[3]))


def test_what_is_said_of_a_method_against_random_is_of_their_seeds_in_common():
    results = {
        ("random", "scratch", ""): {0: {300: 0.6, 400: 0.7, 500: 0.8}, 1: {300: 0.5, 400: 0.6, 500: 0.7}},
        ("ceal", "scratch", ""): {0: {300: 0.7, 400: 0.8, 500: 0.9}, 1: {300: 0.6, 400: 0.7, 500: 0.8}},
        ("random", "scratch", "full"): {0: {1600: 0.9}, 1: {1600: 1.0}},
        ("random", "scratch", "full-equal-steps"): {0: {1600: 0.5}, 1: {1600: 0.5}},
    }
    table = comparisons(results, "scratch")
    assert dict(zip(table.header, table.rows[1], strict=True)) == {
        "method": "ceal",
        "seeds": "2",
        "Dice at 300": "0.650 ± 0.071",
        "at 500": "0.850 ± 0.071",
        "AUBC": "0.750 ± 0.071",
        "AUBC - random": "+0.100 ± 0.000 (n=2)",
        "p": "",
        "p (Holm)": "",
        "at 500 - random": "+0.100 ± 0.000 (n=2)",
        "labels saved on the way to 0.750": "+100 (n=1; reached in 2 of 2, random in 1)",
        "share of the ceiling": "90.0% (n=2)",
    }


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


def test_ceilings_and_choices_of_ours_are_those_of_their_arms(measured):
    results = results_of(measured)
    assert [row[2] for row in ceilings(results).rows] == [
        mean_of(dice_of(measured, "random", weights, variant, 1600))
        for weights in WEIGHTS
        for variant in ("full", "full-equal-steps")
    ]
    for row, variant in zip(choices_of_ours(results).rows, ("", "lr-1e-3", "epochs-x2"), strict=True):
        dice = {
            (labels, method): dice_of(measured, method, "scratch", variant, labels)
            for labels in (300, 615)
            for method in ("random", "ssl-cluster")
        }
        assert row[1:5] == [f"{mean_of(values)} (n=5)" for values in dice.values()]
        assert row[5:] == [gap_of(dice[labels, "ssl-cluster"], dice[labels, "random"]) for labels in (300, 615)]


def test_pictures_are_of_the_protocol_under_seed_0_from_scratch(data, tmp_path):
    ids = isic2017.pools(isic2017.PROFILES["smoke"], data)[0].ids
    arms = [(method, weights, variant, seed) for method in ("dsal", "ssl-cluster") for weights in WEIGHTS
            for variant in ("", "lr-1e-3") for seed in (0, 1)]  # fmt: skip
    chosen = [Chosen(*arm, round, " ".join(ids[round : round + 3])) for arm in arms for round in (0, 1)]
    rows.write(tmp_path / "choices.csv", [vars(c) for c in chosen])
    pictures = list(sheets(tmp_path, "smoke", data))
    assert [picture.caption.partition(",")[0] for picture in pictures] == [
        "dsal: the first 3 of round 1",
        "ssl-cluster: the first 3 of round 0",
    ]
    shown = [cell.get_xlabel() for picture in pictures for cell in picture.figure.axes]
    assert shown == [id.removeprefix("ISIC_") for id in (*ids[1:4], *ids[:3])]


def test_methods_are_tested_together_and_those_with_few_seeds_are_not(measured):
    table = comparisons(results_of(measured), "scratch")
    by_method = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert list(by_method) == [*METHODS, *BEYOND]
    tested = [method for method, row in by_method.items() if row["p"]]
    assert tested == ["ssl-cluster", "mc-dropout", "ceal", "dsal", *BEYOND]
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
    assert by_method["ceal"]["share of the ceiling"] == f"{share:.1%} (n=5)"


def test_everything_is_written_and_needs_no_images(out):
    write(out, "small")
    there = {path.name for path in out.iterdir()}
    tables = {f"{name}.md" for name in tables_of(results_of(read_rows(out)))}
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
    captions = {name: section_of(table).blocks[0].caption for name, table in tables_of(results_of(measured)).items()}
    signs = {name: ("±" in caption, "[ ]" in caption) for name, caption in captions.items()}
    assert signs["table1"] == signs["choices"] == (True, True)
    assert signs["ceiling"] == (True, False)
    assert signs["penalties-scratch"] == (False, False)


def test_no_rows_are_an_error(tmp_path):
    import alkit

    with pytest.raises(alkit.ConfigurationError, match="no rows"):
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
