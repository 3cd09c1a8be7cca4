from pathlib import Path

from benchmarks import durability, rows

ROOT = Path(__file__).parents[2]


def test_the_page_shows_the_table_of_the_committed_rows():
    assert durability.table(rows.read(durability.RESULTS)) in (ROOT / "docs/explanation/durability.md").read_text()


def test_no_committed_row_has_a_fault_and_there_are_enough_kills_and_damages():
    found = rows.read(durability.RESULTS)
    assert {row["faults_of_part"] for row in found} == {"0"}
    assert sum(int(row["number"]) for row in found if row["what"].startswith("kill")) >= 1000
    assert sum(int(row["number"]) for row in found if row["part"] == "damage") >= 1000
    assert not any("dirty" in row["commit"] for row in found)
