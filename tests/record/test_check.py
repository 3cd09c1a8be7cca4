"""`alkit check` notices all damage, names it and says how to fix it."""

import sqlite3
from pathlib import Path

import pytest

import alkit
from alkit.cli import main
from alkit.record import Recorded, Store
from alkit.record.check import check

pytestmark = pytest.mark.sqlite


@pytest.fixture
def record(tmp_path):
    """Return the file of a record with a row in each table, two backups and three files."""
    store = Store(tmp_path / "r.db")
    store.declare({"seed": 3})
    store.add_queries([alkit.Query("a", 0, 0, ((4, 4),))], {"b": store.keep(b"pseudo", ".png")})
    label = Recorded("a", "ann", 1, "label", store.keep(b"mask", ".png"))
    store.add_answers({"a"}, lambda asked, known: [label])
    store.commit_round(alkit.RoundResult(0, ("a",), 1, {"dice": 0.5}), b"weights", "stamp", [1])
    store.close()
    return store.path


def change(path, *statements):
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code, capsys.readouterr().out


def test_images_that_were_left_out_are_listed_with_the_reasons(record, capsys):
    store = Store(record)
    store.revise("unusable", lambda before: {"x": "x.png cannot be decoded"})
    store.close()
    code, said = run(capsys, "check", str(record))
    assert not code
    assert "left out: image 'x': x.png cannot be decoded" in said
    assert "Everything is intact." in said


def test_an_intact_record_passes(record, capsys):
    found = check(record)
    assert (found.damage, found.damaged_backups, found.files) == ((), (), 3)
    assert found.rows == {
        "facts": 2,
        "queries": 1,
        "query_terms": 0,
        "answer_queries": 0,
        "round_figures": 0,
        "answers": 1,
        "pseudo_labels": 1,
        "rounds": 1,
    }
    code, said = run(capsys, "check", str(record))
    assert not code
    assert "1 query, 1 answer, 1 round, 3 files. Everything is intact." in said


DAMAGE = {
    "facts": ("UPDATE facts SET value = '4' WHERE name = 'seed'", "the row name 'seed' of facts is not what alkit"),
    "queries": ("UPDATE queries SET score = 1", "the row round 0, rank 0 of queries is not"),
    "answers": ("UPDATE answers SET seconds = 1", "the row number 1 of answers is not"),
    "pseudo_labels": ("UPDATE pseudo_labels SET label = 'c'", "the row round 0, id 'b' of pseudo_labels is not"),
    "rounds": ("UPDATE rounds SET agreement = 1", "the row round 0 of rounds is not"),
    "a deleted row": ("DELETE FROM pseudo_labels", "rows of pseudo_labels are missing"),
    "totals": ("UPDATE totals SET rows = 5", "rows of facts are missing, or their number is damaged"),
    "no table": ("DROP TABLE pseudo_labels", "table pseudo_labels is missing"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_each_damaged_row_is_named_with_the_fix(record, capsys, name):
    statement, sentence = DAMAGE[name]
    change(record, statement)
    if name == "no table":
        with pytest.raises(SystemExit, match="1"):
            main(["check", str(record)])
        assert sentence in capsys.readouterr().err
        return
    assert any(sentence in line for line in check(record).damage)
    code, said = run(capsys, "check", str(record))
    assert code == 1
    assert f"damaged: {sentence}" in said
    assert f"alkit repair {record} --out" in said


def test_damaged_and_missing_files_are_named(record, capsys):
    files = {path.read_bytes(): path for path in record.with_name("r.db.files").iterdir()}
    mask, pseudo = files[b"mask"], files[b"pseudo"]
    mask.write_bytes(b"other")
    pseudo.unlink()
    first, second = sorted(check(record).damage)
    assert {first, second} == {
        f"{mask} has another content than alkit wrote",
        f"{pseudo} cannot be read: No such file or directory",
    }
    assert run(capsys, "check", str(record))[0] == 1


def test_an_index_that_lacks_a_row_is_noticed(record):
    change(
        record,
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'ix_queries_id') "
        "WHERE name = 'answers_of_an_image'",
    )
    assert any("the database" in line for line in check(record).damage)


@pytest.mark.parametrize("column", ["answers.told_at", "rounds.warnings", "journal.lines", "totals.sum"])
def test_a_flipped_bit_in_the_name_of_a_column_is_noticed(record, column):
    table, name = column.split(".")
    with sqlite3.connect(record) as connection:
        known = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        name = name if name in known else known[-1]
        connection.execute(f"ALTER TABLE {table} RENAME COLUMN {name} TO {chr(ord(name[0]) ^ 1)}{name[1:]}")
    connection.close()
    assert f"the table {table} has other columns" in check(record).damage


def test_a_page_of_zeros_is_noticed(record):
    content = bytearray(record.read_bytes())
    content[8192:12288] = bytes(4096)
    record.write_bytes(bytes(content))
    assert check(record).damage


def test_a_damaged_backup_is_named(record, capsys):
    copy = max(record.with_name("r.db.backups").glob("*.db"))
    change(copy, "UPDATE answers SET seconds = 1")
    (line,) = check(record).damaged_backups
    assert line.startswith(f"{copy}: the row number 1 of answers is not")
    code, said = run(capsys, "check", str(record))
    assert code == 1
    assert "Delete the damaged backups" in said


def test_a_check_changes_nothing(record, capsys):
    before = {path: path.read_bytes() for path in record.parent.rglob("*") if path.is_file() and path.suffix != ".lock"}
    run(capsys, "check", str(record))
    assert {path: path.read_bytes() for path in before} == before


def test_a_record_that_does_not_exist_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        main(["check", str(tmp_path / "none.db")])
    assert "does not exist" in capsys.readouterr().err
    assert not list(Path(tmp_path).iterdir())
