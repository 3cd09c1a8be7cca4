import re
from pathlib import Path

from benchmarks.isic2017 import protocol, results
from benchmarks.isic2017.tables import tables_in

ROOT = Path(__file__).parents[2]


def test_committed_rows_are_complete_runs():
    for folder in results.FOLDER.glob("isic2017-*"):
        profile = protocol.PROFILES[folder.name.removeprefix("isic2017-")]
        runs = {}
        for row in results.read_rows(folder):
            runs.setdefault((row.variant, row.configuration), []).append(row.labels)
        for (variant, _), labels in runs.items():
            own = profile.variant(variant)
            assert labels == [(own.start or 1600) + own.batch * number for number in range(own.rounds + 1)]
        assert runs


def test_the_page_shows_the_tables_of_the_committed_rows():
    page = (ROOT / "docs" / "explanation" / "reproduction.md").read_text()
    folder = results.folder_of("small")
    tables = tables_in(folder, "small")
    assert {path.stem for path in folder.glob("*.md")} == set(tables)
    for name, table in tables.items():
        text = (folder / f"{name}.md").read_text()
        assert text == f"{table.caption}\n\n{table.markdown()}\n"
        assert text in page


def test_every_number_of_the_verdict_is_in_the_tables():
    page = (ROOT / "docs" / "explanation" / "reproduction.md").read_text()
    verdict = page.partition("## What it shows")[2].partition("## What it does not show")[0]
    shown = "\n".join(path.read_text() for path in results.folder_of("small").glob("*.md"))
    number = re.compile(r"[+-]?\d\.\d+|\d+\.\d%")
    told, known = ([found.group() for found in number.finditer(text)] for text in (verdict, shown))
    assert len(told) > 50
    assert [value for value in told if value not in known] == []


def test_committed_base_sets_agree_with_the_committed_rows():
    folder = results.folder_of("small")
    trained = {results.key_of(row): row.dice for row in results.read_base_sets(folder)}
    seeds = [seed for seed in range(5) if (f"ssl-cluster {seed}", "whole", seed) in trained]
    assert seeds
    for seed in seeds:  # the same weights and images
        run = protocol.Run("ssl-cluster", "scratch", seed)
        (dice,) = {row.dice for row in results.read_rows(folder) if results.run_of(row) == run and row.round == 0}
        assert trained[f"ssl-cluster {seed}", "whole", seed] == dice


def test_first_images_of_every_method_in_the_figure_are_committed():
    folder = results.folder_of("small")
    drawn = {
        row.method for row in results.read_rows(folder) if (row.weights, row.variant, row.seed) == ("scratch", "", 0)
    }
    chosen = results.read_choices(folder)
    assert drawn == {c.method for c in chosen if (c.weights, c.variant, c.seed, c.round) == ("scratch", "", 0, 1)}


def test_the_pages_of_first_labels_show_the_tables_of_the_committed_rows():
    from benchmarks import embeddings, rows
    from benchmarks.cold_start import runs, tables

    page = (ROOT / "docs" / "explanation" / "cold-start.md").read_text()
    written = {path.stem: path.read_text() for path in runs.FOLDER.glob("*.md")}
    found = tables.tables_in(runs.FOLDER)
    assert {name: f"{table.caption}\n\n{table.markdown()}\n" for name, table in found.items()} == written
    shown = [name for name, table in found.items() if table.caption in page]
    assert {"overall-choose", "overall-confirm", "network"} <= set(shown)
    assert [name for name in shown if written[name] not in page] == []

    accuracy = embeddings.table(rows.read_as(embeddings.Row, embeddings.FOLDER / "rows.csv"))
    text = f"{accuracy.caption}\n\n{accuracy.markdown()}\n"
    assert text == (embeddings.FOLDER / "accuracy.md").read_text()
    assert text in (ROOT / "docs" / "explanation" / "embeddings.md").read_text()
