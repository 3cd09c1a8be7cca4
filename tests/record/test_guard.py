"""Records of strangers: opening one runs none of its SQL, follows no link, and deletes no file."""

import hashlib
import json
import math
import os
import re
import shutil
import sqlite3
import struct
from contextlib import closing, suppress
from pathlib import Path

import pytest
from commandline import alkit as command

import alkit
from alkit.errors import StoreError
from alkit.record import Store, guard
from alkit.record.check import check
from alkit.record.digests import add, digest
from alkit.record.journal_lines import chain
from alkit.record.places import LocalPlace
from alkit.record.repairing import repair
from alkit.record.salvage import read_source

pytestmark = pytest.mark.sqlite

RECORDS = sorted((Path(__file__).parents[1] / "fixtures" / "a395940").glob("*.db"))

BOMB = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
"""A query that never ends."""


@pytest.fixture
def record(tmp_path):
    """Return the path of a closed record with a fact."""
    store = Store(tmp_path / "strange" / "c.db")
    store.declare({"seed": 3})
    store.close()
    return store.path


def change(path, *statements):
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def rewrite(path, name, sql):
    """Change the definition of a part of the schema, as a hand-made file can."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


STRANGE = {
    "trigger 'evil'": ["CREATE TRIGGER evil AFTER INSERT ON facts BEGIN DELETE FROM facts; END"],
    "trigger 'on_update'": ["CREATE TRIGGER on_update BEFORE UPDATE ON totals BEGIN SELECT 1; END"],
    "view 'answers'": ["DROP TABLE answers", f"CREATE VIEW answers AS {BOMB} i AS number FROM n"],
    "view 'other'": [f"CREATE VIEW other AS {BOMB} i FROM n"],
    "table 'words' of another form": ["CREATE VIRTUAL TABLE words USING fts5(a)"],
    "table 'queries' of another form": ["DROP TABLE queries", "CREATE TABLE queries (round INTEGER CHECK (round > 0))"],
    "table 'checked' of another form": ["CREATE TABLE checked (a INTEGER CHECK (abs(a) > 0))"],
    "table 'made' of another form": ["CREATE TABLE made (a INTEGER, b TEXT AS (hex(zeroblob(1000000000))))"],
    "table 'given' of another form": ["CREATE TABLE given (a TEXT DEFAULT (randomblob(9)))"],
    "table 'linked' of another form": ["CREATE TABLE linked (a INTEGER REFERENCES facts (name) ON DELETE CASCADE)"],
    "index 'odd' of another form": ["CREATE INDEX odd ON facts (abs(value))"],
    "index 'partial' of another form": ["CREATE INDEX partial ON facts (value) WHERE length(value) > 3"],
}


@pytest.mark.parametrize("strange", STRANGE)
def test_a_record_with_foreign_sql_is_refused_by_name_before_anything_is_written(record, strange):
    change(record, *STRANGE[strange])
    before = content(record.parent)
    with pytest.raises(StoreError, match="which alkit never writes") as refused:
        Store(record)
    assert f"contains the {strange}" in str(refused.value)
    assert content(record.parent) == before
    with pytest.raises(StoreError, match="which alkit never writes"):
        alkit.Experiment.open(record)
    assert command("status", record) == 1
    assert any(strange in sentence for sentence in check(record).damage)


@pytest.mark.parametrize(
    "added",
    [
        ", CHECK (length(value) > 0))", ", value2 TEXT AS (upper(value)))", ", other TEXT DEFAULT (randomblob(5)))",
        ", UNIQUE (value COLLATE NOCASE))", ") WITHOUT ROWID", ") STRICT",
    ],
)  # fmt: skip
def test_a_known_table_with_expressions_in_its_definition_is_refused(record, added):
    with closing(sqlite3.connect(record)) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'facts'").fetchone()
    rewrite(record, "facts", sql.rstrip()[:-1] + added)
    with pytest.raises(StoreError, match=r"'facts' of another form|malformed|damaged"):
        Store(record)


def test_names_in_a_refusal_are_short_and_printable(record):
    name = "a\x1b[2J" + "x" * 5000
    change(record, f'CREATE VIEW "{name}" AS SELECT 1')
    with pytest.raises(StoreError) as refused:
        Store(record)
    assert "\\x1b[2J" in str(refused.value)
    assert len(str(refused.value)) < 800


def test_repair_saves_the_rows_of_a_record_with_foreign_sql_and_runs_none_of_it(record):
    change(
        record,
        "CREATE TRIGGER evil AFTER INSERT ON facts BEGIN DELETE FROM facts; END",
        "DROP TABLE answers",
        f"CREATE VIEW answers AS {BOMB} i AS number, 'a' AS digest FROM n",
        "DROP TABLE rounds",
        "CREATE TABLE rounds (round INTEGER, digest TEXT AS (hex(zeroblob(1000000))))",
        "INSERT INTO rounds (round) VALUES (1)",
        "DROP TABLE pseudo_labels",
        "CREATE VIRTUAL TABLE pseudo_labels USING fts5(round, id, label, digest)",
    )
    saved = repair(record, record.with_name("new.db"))
    assert saved.saved == {
        "facts": 2,
        "queries": 0,
        "query_terms": 0,
        "answer_queries": 0,
        "round_figures": 0,
        "answers": 0,
        "pseudo_labels": 0,
        "rounds": 0,
    }
    with closing(sqlite3.connect(record.with_name("new.db"))) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchall()


def test_other_databases_are_not_changed(tmp_path):
    path = tmp_path / "mail.sqlite"
    change(path, "CREATE TABLE mail (a)", "CREATE TRIGGER t AFTER INSERT ON mail BEGIN DELETE FROM mail; END")
    before = content(tmp_path)
    with pytest.raises(StoreError, match="is a database, but not a record of alkit: got tables mail"):
        Store(path)
    assert content(tmp_path) == before


def test_statistics_of_sqlite_and_quoted_names_are_harmless(record):
    change(record, "ANALYZE")
    with closing(sqlite3.connect(record)) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'totals'").fetchone()
    rewrite(record, "totals", sql.replace("rows ", '"rows" '))
    assert Store(record).fact("seed") == 3


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_of_earlier_versions_have_plain_schemas(path):
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        guard.check_schema(Path("old.db"), connection)


def test_a_later_version_is_still_named_as_the_reason(record):
    change(record, "CREATE TABLE later (a INTEGER NOT NULL, digest VARCHAR)")
    value = "99"
    whole = digest("facts", ("schema", value))
    change(record, f"UPDATE facts SET value = '{value}', digest = '{whole}' WHERE name = 'schema'")
    with pytest.raises(alkit.errors.ResumeError, match="later version"):
        Store(record)


# Files beside the record.

needs_links = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")


@needs_links
@pytest.mark.parametrize("ending", guard.BESIDE)
@pytest.mark.parametrize("through_link", [False, True])
def test_a_link_beside_a_record_that_leads_out_is_not_followed(record, tmp_path, ending, through_link):
    victim = tmp_path / "victim"
    victim.mkdir() if ending in (".files", ".backups") else victim.write_text("precious")
    beside = record.with_name(record.name + ending)
    shutil.rmtree(beside) if beside.is_dir() else beside.unlink(missing_ok=True)
    beside.symlink_to(victim)
    opened = record
    if through_link:
        opened = tmp_path / "link.db"
        opened.symlink_to(record)
    for act in (Store, lambda path: repair(path, tmp_path / "new.db")):
        with pytest.raises(StoreError, match="symbolic link that leads out of its folder"):
            act(opened)
    assert command("ask", opened, "-n", 1, "--out", tmp_path / "out") == 1
    assert list(victim.iterdir()) == [] if victim.is_dir() else victim.read_text() == "precious"


def test_sqlite_would_delete_the_file_that_a_crafted_rollback_journal_names(tmp_path):
    """This is why such a journal is refused."""
    path, victim = hot_journal(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if victim.exists():
        pytest.skip("this version of SQLite does not delete it")


@pytest.mark.parametrize("act", [Store, lambda path: repair(path, path.with_name("new.db"))])
def test_a_rollback_journal_that_names_another_file_is_refused(tmp_path, act):
    path, victim = hot_journal(tmp_path)
    with pytest.raises(StoreError, match="names another file, which SQLite would delete"):
        act(path)
    assert victim.read_text() == "precious"


def hot_journal(folder):
    """Make a database whose rollback journal names a file as the journal of several databases."""
    made, path, victim = folder / "made.db", folder / "c.db", folder / "victim"
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE facts (name)")
        connection.executemany("INSERT INTO facts VALUES (zeroblob(?))", [(1000,)] * 200)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE facts SET name = randomblob(1000)")
        shutil.copy(made, path)
        shutil.copy(f"{made}-journal", f"{path}-journal")
        connection.execute("ROLLBACK")
    victim.write_text("precious")
    name = str(victim).encode()
    with Path(f"{path}-journal").open("ab") as file:
        page = 2**30 // 4096 + 1
        end = struct.pack(">II", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
        file.write(struct.pack(">I", page) + name + end)
    return path, victim


@needs_links
@pytest.mark.parametrize("name", ["../../../secret", "/etc/passwd", "link", "pipe", "", "."])
def test_a_row_cannot_name_a_file_elsewhere(record, tmp_path, name):
    store = Store(record)
    (tmp_path / "secret").write_bytes(b"secret")
    store.files.mkdir(exist_ok=True)
    known = hashlib.sha256(b"secret").hexdigest()
    if name == "link":
        name = f"{known}.png"
        (store.files / name).symlink_to(tmp_path / "secret")
    if name == "pipe":
        name = f"{known}.png"
        os.mkfifo(store.files / name)
    with pytest.raises(StoreError, match="missing, and the record refers to it"):
        store.content(name)


@pytest.mark.parametrize("value", ["[" * 100_000, "{", "NaN]", ""])
def test_a_fact_that_is_not_json_is_damage(record, value):
    change(record, "DELETE FROM facts WHERE name = 'seed'")
    row = ("seed", value)
    with closing(sqlite3.connect(record)) as connection, connection:
        connection.execute("INSERT INTO facts VALUES (?, ?, ?)", (*row, digest("facts", row)))
    with pytest.raises(StoreError, match="damaged"):
        Store(record).fact("seed")


def test_an_enormous_value_is_an_error_and_not_a_lack_of_memory(record, monkeypatch):
    monkeypatch.setattr(guard, "LONGEST", 10_000)
    value = json.dumps("x" * 20_000)
    with closing(sqlite3.connect(record)) as connection, connection:
        row = ("long", value)
        connection.execute("INSERT INTO facts VALUES (?, ?, ?)", (*row, digest("facts", row)))
    with pytest.raises(StoreError, match="too big"):
        Store(record).fact("long")


BAD = [
    ("facts", ("x", b"\xff")),
    ("queries", (5, 0, 1, "z", "[" * 100_000, None, "", 1, "2026", None, None, 0)),
    ("queries", (5, 0, 1, "z", "[[8]]", None, "", 1, "2026", None, None, 0)),
    ("queries", (5, 0, "x", "z", "[[8, 8]]", None, "", 1, "2026", None, None, 0)),
    ("queries", (5, 0, 1, "z", "[[8, 8]]", math.inf, "", 1, "2026", None, None, 0)),
    ("queries", (2**62, 2**62, 1, "z", "[[8, 8]]", None, "", 1, "2026", None, None, 0)),
    ("answers", (9, "a", "ann", "late", "label", "0" * 64, "", None, None, "2026", None, None)),
    ("answers", (9, "a", "ann", 7, "labels", None, "", None, None, "2026", None, None)),
    ("rounds", (2**62, "s", 1, 0, 0, None, None, "{}", "{}", "2026", None)),
    ("rounds", (0, "s", 1, 0, 0, None, None, "[", "{}", "2026", None)),
    ("rounds", (0, "s", 1, 0, 0, None, None, "{}", "{}", "2026", "[1]")),
]
"""Rows that a stranger can write with right digests."""


@pytest.mark.parametrize(
    ("place", "table", "values"),
    [(place, *row) for place in ("database", "journal") for row in BAD if place == "database" or row is not BAD[0]],
)  # JSON has no bytes
def test_a_row_of_another_form_is_damage_although_its_digest_holds(record, tmp_path, place, table, values):
    if place == "journal":
        journal = record.with_name("c.db.journal")
        before = journal.read_bytes()
        number = before.count(b"\n") + 1
        body = json.dumps([number, number, "insert", table, values]).encode()
        journal.write_bytes(before + body + f" {chain(before[-33:-1].decode(), body)}\n".encode())
    else:
        marks = ", ".join("?" * len(values))
        with closing(sqlite3.connect(record)) as connection, connection:
            connection.execute(f"INSERT INTO {table} VALUES ({marks}, ?)", (*values, digest(table, values)))
            own = [found for (found,) in connection.execute(f"SELECT digest FROM {table}")]
            total = (table, len(own), add("0", own))
            connection.execute(
                "UPDATE totals SET rows = ?, sum = ?, digest = ? WHERE name = ?",
                (*total[1:], digest("totals", total), table),
            )
    with suppress(StoreError):  # a huge number is harmless
        store = Store(record)
        store.snapshot()
        store.fact("x")
        store.add_queries([alkit.Query("b", 1, 0, ((8, 8),))])
    check(record)
    with suppress(StoreError):
        Store(repair(record, tmp_path / "new.db").path).snapshot()


LINES = [
    ["record", {"id": "x", "schema": 5, "whole": True}],
    ["change", "queries", [[2**70, 0]], {"withdrawn": 1}],
    ["change", "queries", [[math.nan, 0]], {"withdrawn": 1}],
    ["change", "facts", [["\ud800"]], {"value": "1"}],
    ["change", "facts", [["seed"]], {"value": "\ud800"}],
    ["change", "queries", [[0, 0]], {"rank": 1}],
    ["change", "queries", [[0, 0]], {"sizes": "[1]"}],
    ["insert", "facts", ["x", 3]],
]


@pytest.mark.parametrize("change", LINES)
def test_a_line_of_a_strangers_journal_is_damage_and_never_a_raw_error(record, tmp_path, change):
    journal = record.with_name("c.db.journal")
    before = journal.read_bytes()
    number = before.count(b"\n") + 1
    body = json.dumps([number, number, *change]).encode()
    journal.write_bytes(before + body + f" {chain(before[-33:-1].decode(), body)}\n".encode())
    with pytest.raises(StoreError, match=f"line {number} is not what alkit wrote"):
        Store(record)

    assert Store(repair(record, tmp_path / "new.db").path).fact("seed") == 3


@pytest.mark.parametrize("ending", guard.BESIDE)
def test_a_file_beside_a_record_that_vanishes_during_the_check_is_no_error(tmp_path, monkeypatch, ending):
    """SQLite deletes its log when the last process closes the record."""
    place, look = tmp_path / f"r.db{ending}", Path.stat
    place.mkdir() if ending in guard.FOLDERS else place.touch()

    def last_look(path, **how):
        found = look(path, **how)
        if path == place and how.get("follow_symlinks", True):
            place.rmdir() if ending in guard.FOLDERS else place.unlink()
        return found

    monkeypatch.setattr(Path, "stat", last_look)
    guard.check_files(tmp_path / "r.db")
    assert not os.path.lexists(place)


@needs_links
@pytest.mark.parametrize("ending", guard.BESIDE)
def test_a_pipe_beside_a_record_is_refused_and_not_opened(record, tmp_path, ending):
    place = record.with_name(record.name + ending)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    for act in (lambda: Store(record), lambda: repair(record, tmp_path / "new.db")):
        with pytest.raises(StoreError, match=r"is not a (file|folder)"):
            act()
    assert "is not a " in check(record).damage[0]


@needs_links
def test_a_backup_that_leads_out_or_is_a_pipe_is_not_read(record, tmp_path):
    other = Store(tmp_path / "other" / "c.db")
    other.declare({"seed": 99})
    other.close()
    backups = record.with_name("c.db.backups")
    backups.mkdir()
    (backups / "lines-000000000900.db").symlink_to(other.path)
    os.mkfifo(backups / "lines-000000000901.db")
    record.unlink()
    record.with_name("c.db.journal").unlink()
    with pytest.raises(StoreError, match="could be saved"):
        repair(record, tmp_path / "new.db")


def endless(path, table):
    """Make the rows of a table endless: pages that lead to one page, again and again, as a crafted file can have."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (pages,), (size,) = (connection.execute(f"PRAGMA page_{what}").fetchone() for what in ("count", "size"))
    data = bytearray(path.read_bytes())
    added = [bytes(data[(root - 1) * size : root * size])]
    for _ in range(7):
        page, below, first = bytearray(size), pages + len(added), size - 300 * 5
        struct.pack_into(">BHHHBI", page, 0, 5, 0, 300, first, 0, below)
        for number in range(300):
            struct.pack_into(">H", page, 12 + 2 * number, first + 5 * number)
            struct.pack_into(">IB", page, first + 5 * number, below, number % 128)
        added.append(bytes(page))
    data[(root - 1) * size : root * size] = added.pop()
    struct.pack_into(">I", data, 28, pages + len(added))
    path.write_bytes(bytes(data) + b"".join(added))


@pytest.mark.parametrize("gap", [0, 2**29])  # behind the pages, where it takes no room on the disk
def test_a_table_whose_rows_never_end_is_damage(record, monkeypatch, gap):
    monkeypatch.setattr(guard, "MOST_READ", 2**20)
    with closing(sqlite3.connect(record)) as connection, connection:
        values = (1, "a", "ann", 0, "label", None, "", None, None, "", None, None)
        connection.execute(f"INSERT INTO answers VALUES ({'?, ' * 12}?)", (*values, digest("answers", values)))
    endless(record, "answers")
    os.truncate(record, gap or record.stat().st_size)
    with closing(Store(record)) as store, pytest.raises(StoreError, match="it has rows without end"):
        store.snapshot()
    assert "rows without end" in " ".join(check(record).damage)
    assert repair(record, record.with_name("new.db")).saved["facts"] == 2


@pytest.mark.parametrize("ending", ["", ".journal", "-wal"])
def test_a_file_with_a_gap_is_neither_read_nor_copied(record, ending):
    file = record.with_name(record.name + ending)
    with file.open("ab") as opened:
        opened.write(b"x")
        opened.truncate(2**40)
    with pytest.raises(StoreError, match=f"{re.escape(file.name)} has a gap that no record has"):
        Store(record)
    if ending != ".journal":
        with pytest.raises(StoreError, match="has a gap"):
            read_source(record)


def test_a_label_with_a_gap_is_not_read(tmp_path):
    place = LocalPlace(tmp_path)
    place.put("a.png", b"x")
    os.truncate(tmp_path / "a.png", 2**40)
    with pytest.raises(StoreError, match="has a gap that no record has"):
        place.get("a.png")


def test_a_statement_that_never_ends_is_stopped(record, monkeypatch):
    monkeypatch.setattr(guard, "STEPS", 10**6)
    monkeypatch.setattr(guard, "BETWEEN", 10**4)
    change(record, "CREATE TABLE other (a INTEGER)", "INSERT INTO other VALUES (1)")
    endless(record, "other")
    with closing(sqlite3.connect(record)) as connection:
        guard.harden(connection)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute("SELECT count(*) FROM other WHERE a > 1").fetchall()


def test_a_database_whose_pages_lead_to_each_other_is_not_copied(record):
    change(record, "CREATE TABLE other (a INTEGER)", "INSERT INTO other VALUES (1)")
    endless(record, "other")
    with closing(Store(record)) as store:
        with pytest.raises(StoreError, match=r"cannot back up .*malformed"):
            store.database.backend.back_up()
        with pytest.raises(StoreError, match="malformed"):
            store.purge()


def test_rows_of_a_former_schema_with_many_numbers_are_damage(tmp_path):
    names = [f"c{number}" for number in range(60)]
    change(
        path := tmp_path / "c.db",
        "CREATE TABLE facts (name VARCHAR NOT NULL, value JSON NOT NULL, seal VARCHAR NOT NULL, PRIMARY KEY (name))",
        "INSERT INTO facts VALUES ('schema', '3', 'x')",
        f"CREATE TABLE also ({', '.join(f'{name} FLOAT' for name in names)}, seal VARCHAR)",
        f"INSERT INTO also VALUES ({'0.0, ' * 58}9e999, -9e999, 'x')",
    )
    with pytest.raises(StoreError, match=r"is damaged: .* of also"):
        Store(path)


def test_a_lock_and_a_key_are_no_traces_of_a_record(tmp_path):
    for ending in (".lock", ".owner"):
        (tmp_path / f"r.db{ending}").touch()
    guard.check_lost(tmp_path / "r.db")
