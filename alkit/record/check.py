"""A check of everything in a record: the database, its journal, every row, every file and the backups.

Nothing is changed.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alkit._files import check_room
from alkit.errors import StoreError
from alkit.record import guard, tables
from alkit.record.backups import is_regular, latest_first
from alkit.record.database import Database, Row
from alkit.record.digests import add, holds
from alkit.record.files import Files, files_in
from alkit.record.journal_lines import Position
from alkit.record.replay import History, apply, cluster_files, empty, history_of, read_history
from alkit.record.row_form import has_form
from alkit.record.tables import key_of, key_text

MOST = 20
"""Number of SQLite's complaints that are reported."""

TRIES = 10
"""Number of attempts to read a journal that other processes replace meanwhile."""

FILES = {"answers": "label", "queries": "prelabel", "pseudo_labels": "label", "rounds": "model"}
"""By table the column that names a file."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of a check.

    Parameters
    ----------
    rows:
        Number of intact rows by table.
    files:
        Number of files that these rows name.
    damage:
        A sentence about each damaged part of the record; empty if the record is intact.
    damaged_backups:
        A sentence about each damaged backup.
    """

    rows: Counter[str]
    files: int
    damage: tuple[str, ...]
    damaged_backups: tuple[str, ...]


def check(record: Path, database: Path | None = None, files: Files | None = None) -> CheckResult:
    """Check a record of the present schema, its files and its backups.

    Another process may write to the record meanwhile. The time grows with the size of the record and of its files.

    Parameters
    ----------
    database:
        A copy of the record's database to check in its place, if the record is read-only.
    files:
        The record's files. Default: those in the folder beside the record.
    """
    files = files_in(record.with_name(f"{record.name}.files")) if files is None else files
    rows, names = Counter[str](), set[str]()
    damage = list(find_damage(database or record, rows, names))
    if lost := _lost_files(files, names):
        now = set[str]()
        list(find_damage(database or record, Counter(), now))  # another process may have deleted what is not named now
        damage += [sentence for name, sentence in lost.items() if name in now]
    damage += _damage_of_journal(record, database or record, compare=not damage)
    backup_damage = []
    for copy in latest_first(record.with_name(f"{record.name}.backups")):
        if is_regular(copy) and (found := next(find_damage(copy), None)) and copy.exists():
            backup_damage.append(f"{copy}: {found}")  # others than regular ones have an earlier schema
    return CheckResult(rows, len(names), tuple(damage), tuple(backup_damage))


def _lost_files(files: Files, names: Iterable[str]) -> dict[str, str]:
    """Return a sentence about each of these files that is damaged or missing."""
    ordered = sorted(map(str, names))
    found = zip(ordered, files.all_damage(ordered), strict=True)
    return {name: sentence for name, sentence in found if sentence is not None}


def find_damage(database: Path, rows: Counter[str] | None = None, names: set[str] | None = None) -> Iterator[str]:
    """Yield a sentence about each damaged part; count the intact rows, and collect the names of their files.

    Raises
    ------
    StoreError
        The folder has no space, without which SQLite cannot read.
    """
    rows, names = Counter() if rows is None else rows, set() if names is None else names
    try:
        guard.check_files(database)
        with closing(_connect(database)) as connection:
            guard.harden(connection)
            guard.check_schema(database, connection)
            connection.execute("BEGIN")
            complaints = [text for (text,) in connection.execute(f"PRAGMA integrity_check({MOST})")]
            yield from (f"the database: {text}" for text in complaints if text != "ok")
            own = _own_tables(connection)
            for table in (*own, tables.totals, tables.journal):
                known = connection.execute("SELECT name FROM pragma_table_info(?)", (table.name,)).fetchall()
                if len(known) == len(table.c) and [name for (name,) in known] != table.c.keys():
                    yield f"the table {table.name} has other columns"
            # Without the index: it may lack a row that the table has.
            yield from _damage_of_rows(
                ((table, _bounded(connection, f"SELECT * FROM {table.name} NOT INDEXED")) for table in own),
                _bounded(connection, "SELECT * FROM totals").rows,
                rows,
                names,
                has_position=_holds_position(connection),
            )
    except StoreError as reason:
        yield str(reason)
    except (sqlite3.Error, ValueError) as reason:  # ValueError: a digest that is not hexadecimal
        check_room(database.parent, database)
        yield f"the database cannot be read to its end: {reason}"


def _bounded(connection: sqlite3.Connection, statement: str) -> _Read:
    """Return the rows of a table; raise an error of SQLite if a crafted file has rows without end."""
    cursor = connection.execute(statement)
    return _Read(cursor.description, list(guard.bounded(cursor, connection)))


def _connect(database: Path) -> sqlite3.Connection:
    """Return a connection to a file that exists; a backup may have been deleted meanwhile."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)


def _own_tables(connection: sqlite3.Connection) -> list[sa.Table]:
    """Return the tables that a record of this schema, or of the one before, must have."""
    found = connection.execute("SELECT value FROM facts WHERE name = 'schema'").fetchall()
    earlier = found == [(str(tables.JOURNALLED),)]
    return [table for table in tables.TABLES if not (earlier and table in tables.ADDED)]


def _damage_of_rows(
    cursors: Iterable[tuple[sa.Table, Any]],
    totals: Sequence[Row],
    rows: Counter[str],
    names: set[str],
    *,
    has_position: bool,
) -> Iterator[str]:
    """Yield a sentence about each row that is damaged or missing; as :func:`find_damage`."""
    stated = {row[0]: row[1:3] for row in totals if _is_intact(tables.totals, row)}
    if not has_position:
        yield "the row of journal is missing or damaged"
    for table, cursor in cursors:
        if len(cursor.description) != len(table.c):
            yield f"the table {table.name} has other columns"
            continue
        found: list[Row] = cursor.fetchall()
        intact = [row for row in found if _is_intact(table, row)]
        yield from (
            f"the row {key_text(table, row)} of {table.name} is not what alkit wrote"
            for row in found
            if not _is_intact(table, row)
        )
        if stated.get(table.name) != (len(found), add("0", (str(row[-1]) for row in found))):
            yield f"rows of {table.name} are missing, or their number is damaged"
        rows[table.name] += len(intact)
        if table is tables.facts:
            names |= set(cluster_files({(row[0],): {"value": row[1]} for row in intact}).values())
        if column := FILES.get(table.name):
            place = table.c.keys().index(column)
            names |= {row[place] for row in intact if row[place] is not None}


def check_server(database: Database, files: Files) -> CheckResult:
    """Check a record on a server, its journal and its files; the server checks its own pages and backups.

    Raises
    ------
    StoreError
        The server cannot be reached, or a table cannot be read.
    """
    for _ in range(TRIES):
        found, position = _check_server(database, files)
        if not found.damage or position == position_of(database):
            break  # no other process has changed the record meanwhile
    return found


def position_of(database: Database) -> Position | None:
    """Return the end of the journal that a record on a server states; None if it cannot be read."""
    try:
        with database.reading() as connection:
            return database.position(connection) if tables.journal.name in tables.names(connection) else None
    except StoreError:
        return None


def _check_server(database: Database, files: Files) -> tuple[CheckResult, Position | None]:
    rows, names = Counter[str](), set[str]()
    with database.reading() as connection:
        for plan in ("indexscan", "indexonlyscan", "bitmapscan"):  # an index may lack a row that the table has
            connection.exec_driver_sql(f"SET LOCAL enable_{plan} = off")
        found = {table: _read(connection, table) for table in (*tables.TABLES, tables.totals, tables.journal)}
    totals, ends = (found.pop(table).rows for table in (tables.totals, tables.journal))
    has_position = [_is_intact(tables.journal, end) for end in ends] == [True]
    damage = list(_damage_of_rows(found.items(), totals, rows, names, has_position=has_position))
    damage += _lost_files(files, names).values()
    position = Position(*ends[0][1:4]) if has_position else None
    if position is not None:
        try:
            history = history_of(database.journal.content(position))
        except OSError:
            history = None
        every = {table: rows.rows for table, rows in found.items()}
        damage += _damage_of_history(str(database.journal.path), history, position, every, compare=not damage)
    return CheckResult(rows, len(names), tuple(damage), ()), position


@dataclass(frozen=True)
class _Read:
    """The rows of a table, as a cursor has them."""

    description: Sequence[Any]
    rows: list[Row]

    def fetchall(self) -> list[Row]:
        return self.rows


def _read(connection: sa.Connection, table: sa.Table) -> _Read:
    cursor = connection.exec_driver_sql(f"SELECT * FROM {table.name}").cursor
    return _Read(list(cursor.description or ()), list(cursor.fetchall())) if cursor else _Read((), [])


def _holds_position(connection: sqlite3.Connection) -> bool:
    """Whether a database states the end of its journal. Records of schema 4 had none."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone():
        return True
    return [_is_intact(tables.journal, row) for row in connection.execute("SELECT * FROM journal")] == [True]


def _is_intact(table: sa.Table, row: Row) -> bool:
    return len(row) == len(table.c) and holds(table.name, row) and has_form(table, row)


def _damage_of_journal(record: Path, database: Path, *, compare: bool) -> list[str]:
    """Return a sentence about each damaged part of a journal; compare its changes with the rows of the database."""
    path = record.with_name(f"{record.name}.journal")
    found, read = list[str](), _read_with_end(record, database)
    for _ in range(TRIES):
        if read is None:
            return []
        position, rows = read
        found = list(_damage_of_history(str(path), read_history(path, position), position, rows, compare=compare))
        if not found:
            return []
        read = _read_with_end(record, database)
        if read is not None and read[0] == position:  # no other process has replaced the journal meanwhile
            break
    return found


def _read_with_end(record: Path, database: Path) -> tuple[Position, dict[sa.Table, list[Row]]] | None:
    """Return the journal's end that a database states, and the rows of its tables; None if they cannot be read."""
    try:
        guard.check_files(record)
        guard.check_files(database)
        with closing(_connect(database)) as connection:
            guard.harden(connection)
            guard.check_schema(database, connection)
            connection.execute("BEGIN")
            (end,) = _bounded(connection, "SELECT * FROM journal").rows
            if not _is_intact(tables.journal, end):
                return None  # which is reported already
            rows = {table: _bounded(connection, f"SELECT * FROM {table.name}").rows for table in tables.TABLES}
            return Position(*end[1:4]), rows
    except (sqlite3.Error, ValueError, StoreError):
        return None  # which is reported already


def _damage_of_history(
    path: str, history: History | None, position: Position, found: Mapping[sa.Table, list[Row]], *, compare: bool
) -> Iterator[str]:
    if history is None:
        yield f"{path} is missing or cannot be read"
        return
    damaged = [number for number in history.damaged if number <= position.lines]
    yield from (f"{path}: line {number} is not what alkit wrote" for number in damaged[:MOST])
    if position.lines and position not in [line.end for line in history.after(position.lines - 1, position.lines)]:
        yield f"{path} does not have the end that the database states (line {position.lines})"
    elif compare and not damaged:
        content = empty()
        apply(content, history.after(0, position.lines))
        for table, rows in found.items():
            journalled = {tuple(row.values()) for row in content[table.name].values()}
            keys = content[table.name].keys() - {key_of(table, row) for row in rows}
            yield from (
                f"the row {key_text(table, row)} of {table.name} differs from the journal"
                for row in rows
                if row[:-1] not in journalled
            )
            if keys:
                yield f"{len(keys)} rows of {table.name} in the journal are not in the database"
