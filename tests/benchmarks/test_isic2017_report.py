import numpy as np
import pytest
from isic2017 import BEYOND, METHODS, PARTS, WEIGHTS, Row, read_rows, rows
from isic2017_report import (
    PAPER_TABLE_1,
    PAPER_TABLE_2,
    comparisons,
    draw_map,
    results_of,
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
        assert table.rows[2][2 + 2 * place] == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    ours, random = (dice_of(measured, m, "pretext", "", 440) for m in ("ssl-cluster", "random"))
    known = stats.ttest_rel(ours, random)
    low, high = known.confidence_interval()
    gap = np.mean(ours) - np.mean(random)
    assert row["ssl-cluster - random, pretext"] == f"{gap:+.3f} [{low:+.3f}, {high:+.3f}]"


def test_table_2_has_a_row_a_round_and_a_column_a_setting(measured):
    table = table_2(results_of(measured))
    assert len(table.rows) == len(PAPER_TABLE_2) == 10
    row = table.rows[3]
    assert [row[1 + 2 * place] for place in range(5)] == [f"{value:.3f}" for value in PAPER_TABLE_2[3]]
    for place, variant in enumerate(("k5-1x1", "k5-2x2", "k10-1x1", "")):
        values = dice_of(measured, "ssl-cluster", "scratch", variant, BUDGETS[3])
        assert row[4 + 2 * place].startswith(f"{np.mean(values):.3f} ±")


def test_methods_are_tested_together_and_those_with_few_seeds_are_not(measured):
    table = comparisons(results_of(measured), "scratch")
    by_method = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert list(by_method) == [*METHODS, *BEYOND]
    tested = [method for method, row in by_method.items() if row["p"]]
    assert tested == ["ssl-cluster", "mc-dropout", "ceal", "dsal", *BEYOND]
    p, corrected = ({m: float(by_method[m][name]) for m in tested} for name in ("p", "p (Holm)"))
    least = min(p, key=p.__getitem__)
    assert corrected[least] == pytest.approx(min(1, p[least] * len(tested)), abs=0.002 * len(tested))
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
    bench("--methods", "ssl-cluster", "random", "--weights", "scratch", "--seeds", 0)
    draw_map(tmp_path / "out", "smoke", data)
    write(tmp_path / "out", "smoke", data)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "48 images as points, coloured by 4 clusters" in page
    assert "ssl-cluster: the first 12 of round 0" in page
    write(tmp_path / "out", "smoke")
    assert "give their folder" in (tmp_path / "out" / "report.html").read_text()
