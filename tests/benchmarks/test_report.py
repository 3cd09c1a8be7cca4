from dataclasses import replace

import pytest

import alkit
from benchmarks import rows
from benchmarks.isic2017 import results
from benchmarks.isic2017.report import origins, section_of, settings_lines, write
from benchmarks.isic2017.tables import tables_in


def test_origins_show_recorded_versions_and_settings(measured, out):
    known = results.Environment("abc", "a machine", "3.11", "2", "1", 1, "AVX2", "a" * 64, "b" * 64)
    assert origins(measured, out).rows[0][:4] == [
        "abc",
        "a machine",
        str(len({r.configuration for r in measured})),
        "not recorded",
    ]
    rows.write(out / results.ENVIRONMENTS, [vars(known)])
    assert origins(measured, out).rows[0][3:] == ["3.11", "2", "1", "1", "AVX2", "a" * 12, "b" * 12]


def test_settings_are_indented_by_depth():
    learner = {"is": "a:Ensemble", "with": {"members": 5, "learner": {"is": "a:L", "with": {"lr": 0.1}}}}
    assert settings_lines(learner, "learner") == [
        "learner: a:Ensemble",
        "  members: 5",
        "  learner: a:L",
        "    lr: 0.1",
    ]
    network = {"partial": {"named": "a:UNet"}, "args": [], "with": {"widths": [8]}}
    assert settings_lines(network, "network") == ["network: a:UNet", "  widths: [8]"]
    assert settings_lines({"is": "a:S", "with": {"features": network}}, "s", ("features",)) == [
        "s: a:S",
        "  features: a:UNet",
    ]


def test_the_report_is_complete_without_images(out):
    write(out, "small")
    there = {path.name for path in out.iterdir()}
    tables = {f"{name}.md" for name in tables_in(out, "small")}
    assert tables >= {"table1.md", "table2.md", "ceiling.md", "choices.md", "comparisons-pretext.md"}
    assert there == tables | {"rows.csv", "figure2.png", "figure2.svg", "report.html"}
    page = (out / "report.html").read_text()
    for title in (
        "Figure 2",
        "Table I",
        "Table II",
        "The ceiling",
        "Pairwise penalties, scratch",
        "Settings and environments",
    ):
        assert f"<h2>{title}</h2>" in page
    assert "a machine" in page


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_the_report_works_with_few_seeds_and_few_arms(measured, kept, tmp_path):
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


def test_a_table_explains_only_the_signs_it_contains(out):
    captions = {name: section_of(table).blocks[0].caption for name, table in tables_in(out, "small").items()}
    signs = {name: ("±" in caption, "[ ]" in caption) for name, caption in captions.items()}
    assert signs["choices"] == (True, True)
    assert signs["table1"] == (True, False)
    assert signs["ceiling"] == (True, True)
    assert signs["table1-differences"] == signs["table2-differences"] == (False, True)
    assert signs["penalties-scratch"] == (False, False)


def test_no_rows_are_an_error(tmp_path):

    with pytest.raises(alkit.errors.ConfigurationError, match="has no rows of results"):
        write(tmp_path, "small")


def test_the_page_shows_separate_panels_and_contradictions(measured, tmp_path):
    mixed = [replace(row, dice=0.9) if (row.method, row.seed) == ("ceal", 1) else row for row in measured]
    rows.write(tmp_path / "rows.csv", [vars(row) for row in mixed])
    write(tmp_path, "small")
    page = (tmp_path / "report.html").read_text()
    assert "From scratch: mean Dice over seeds" in page
    assert "From the pretext&#39;s weights: mean Dice over seeds" in page
    assert "scratch seed 1: same networks and same start set, but different Dice in round 0" in page
    for said in ("not recorded", "    batch: 10", "cross-entropy + Dice", "  draws: 20", "  members: 5"):
        assert said in page
