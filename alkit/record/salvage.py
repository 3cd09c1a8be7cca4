"""What can be read of a database and its backups. Copies are read, so a damaged file stays as it is."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Mapping, Set
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alkit._files import check_room, temporary_folder
from alkit._logs import logger
from alkit.errors import StoreError
from alkit.record import guard, migrations, tables
from alkit.record.address import Server
from alkit.record.check import find_damage
from alkit.record.database import Database
from alkit.record.digests import add, is_whole
from alkit.record.journal_lines import Position
from alkit.record.places import not_permitted
from alkit.record.replay import Content, empty
from alkit.record.row_form import has_form

log = logger(__name__)


@dataclass(frozen=True)
class Source:
    """A database, or a backup of one.

    Parameters
    ----------
    path:
        The file, or the campaign on a server.
    content:
        Its intact rows, as rows of the present schema.
    position:
        The end of the journal that it states; None if it does not, or if that is damaged.
    is_intact:
        Whether everything in it is intact.
    whole:
        Names of the tables of which every row is intact.
    schema:
        Its schema.
    """

    path: Path | Server
    content: Content
    position: Position | None
    is_intact: bool
    whole: frozenset[str]
    schema: int = tables.SCHEMA

    @property
    def lines(self) -> int:
        """The journal's number of lines when it was written, or 0."""
        return self.position.lines if self.position else 0


def _copy(path: Path, copy: Path) -> None:
    """Copy a file as far as it can be read.

    Raises
    ------
    StoreError
        There is not enough space for the copy, the file has a gap, or this user may not read it.
    """
    guard.check_gap(path)
    try:
        shutil.copyfile(path, copy)
    except PermissionError as reason:
        raise not_permitted(path, reason) from reason
    except OSError as reason:
        if reason.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"cannot copy {path} to {copy} ({reason.strerror})",
                hint="set the environment variable TMPDIR to a folder with free space",
            ) from reason
        log.warning("%s cannot be read to its end (%s)", path, reason.strerror)


def read_source(path: Path) -> Source:
    """Read the intact rows of a database, and of its write-ahead log."""
    with temporary_folder() as folder:
        copy = folder / "record.db"
        for suffix in ("", "-wal"):
            if (part := path.with_name(path.name + suffix)).is_file():
                _copy(part, copy.with_name(copy.name + suffix))
        found = {name: _read_rows(copy, name) for name in (*_TABLES, "consumed", "totals", "journal")}
        schema = _schema(found)
        is_intact = _is_intact(copy, schema)
        if not is_intact:
            check_room(folder, path)
    return _source(path, found, schema, is_intact=is_intact)


def read_server(database: Database) -> Source | None:
    """Read the intact rows of a record on a server; None if there is none, or it cannot be reached."""
    found: migrations.Plain = {name: [] for name in _NOW}
    complete = True
    try:
        with database.reading() as connection:
            there = tables.names(connection)
    except StoreError as reason:
        log.warning("%s", reason)
        return None
    for name, read in _read_tables(database, there & _NOW.keys()).items():
        found[name] = [row for row in read or () if is_whole(name, row) and _has_form(name, row)]
        complete = complete and read is not None and len(found[name]) == len(read)
    if not any(found.values()):
        return None
    schema = _schema(found)
    expected = _NOW.keys() - (_ADDED if schema < tables.SCHEMA else set())
    source = _source(database.path, found, schema, is_intact=complete and there >= expected)
    return replace(source, is_intact=source.is_intact and source.whole == set(_TABLES))


def _read_tables(database: Database, names: Set[str]) -> dict[str, list[dict[str, Any]] | None]:
    """Return the rows of some tables on a server at one moment; or one by one if one cannot be read, which is None."""
    try:
        with database.reading() as connection:
            return {name: _read_table(connection, name) for name in names}
    except StoreError:
        pass
    found: dict[str, list[dict[str, Any]] | None] = {}
    for name in names:
        try:
            with database.reading() as connection:
                found[name] = _read_table(connection, name)
        except StoreError as reason:
            log.warning("%s", reason)
            found[name] = None
    return found


def _read_table(connection: sa.Connection, name: str) -> list[dict[str, Any]]:
    cursor = connection.exec_driver_sql(f"SELECT * FROM {name}").cursor
    return [dict(zip(_COLUMNS[name], row, strict=False)) for row in cursor.fetchall()] if cursor else []


def _source(path: Path | Server, found: migrations.Plain, schema: int, *, is_intact: bool) -> Source:
    """Return what some intact rows, with their digests, say."""
    totals = {row["name"]: (row["rows"], row["sum"]) for row in found["totals"]}
    whole = frozenset(
        name for name in _TABLES if totals.get(name) == (len(found[name]), add("0", map(_digest, found[name])))
    )
    if schema < tables.SCHEMA:
        whole |= _ADDED  # there were none
    is_intact = is_intact and (schema <= 3 or len(whole) == len(_TABLES))  # there may have been no space to read one
    plain = {name: [migrations.strip(row) for row in rows] for name, rows in found.items()}
    try:
        plain = migrations.migrate_rows(plain, schema) if schema < tables.SCHEMA else plain
    except migrations.MALFORMED:  # a stranger's rows
        return Source(path, empty(), None, is_intact=False, whole=frozenset(), schema=schema)
    content: Content = {
        table.name: {
            tuple(row[column.name] for column in table.primary_key): row
            for row in plain[table.name]
            if has_form(table, [row.get(name) for name in table.c.keys()[:-1]])
        }
        for table in tables.TABLES
    }
    if all(row["name"] != "schema" for row in found["facts"]):
        content["facts"].pop(("schema",), None)  # which a migration adds
    ends = found["journal"]
    position = Position(ends[0]["lines"], ends[0]["length"], ends[0]["chain"]) if ends else None
    return Source(path, content, position, is_intact, whole, schema)


_ADDED = {table.name for table in tables.ADDED}
_TABLES = tuple(table.name for table in tables.TABLES)
_NOW = {table.name: table for table in (*tables.TABLES, tables.totals, tables.journal)}
_COLUMNS = {name: table.c.keys() for name, table in _NOW.items()}


def _schema(found: migrations.Plain) -> int:
    """Return the schema that some rows have."""
    if any("seal" in row for rows in found.values() for row in rows):
        return 3
    if not found["journal"]:
        return 4  # the same tables but for the journal
    return tables.SCHEMA if any(row["name"] in _ADDED for row in found["totals"]) else tables.JOURNALLED


def _digest(row: Mapping[str, Any]) -> str:
    return str(row.get("digest") or row["seal"])


def _is_intact(database: Path, schema: int) -> bool:
    if schema > 3:
        return next(find_damage(database), None) is None
    try:
        with closing(sqlite3.connect(database)) as connection:
            guard.harden(connection)
            guard.check_schema(database, connection)
            complaints = [text for (text,) in connection.execute("PRAGMA integrity_check")]
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(database)), poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            return complaints == ["ok"] and bool(migrations.read(database, connection)["facts"])
    except (sqlite3.Error, sa.exc.DBAPIError, StoreError, *migrations.MALFORMED):
        return False


def _has_form(name: str, row: Mapping[str, Any]) -> bool:
    """Whether a row has the form in which alkit writes it; rows of schema 3 are migrated first."""
    return "seal" in row or (list(row) == _COLUMNS.get(name) and has_form(_NOW[name], tuple(row.values())))


def _read_rows(path: Path, table: str) -> list[dict[str, Any]]:
    """Return the intact rows of a table with their digests, up to the damage from both ends."""
    found: dict[int, dict[str, Any]] = {}
    for order in ("ASC", "DESC"):
        # TypeError: the table is not in the schema. UnicodeDecodeError: a message of SQLite quotes a damaged schema.
        # The rows behind damage cannot be read from this end.
        with suppress(sqlite3.Error, TypeError, UnicodeDecodeError), closing(sqlite3.connect(path)) as connection:
            guard.harden(connection)
            (kind, sql) = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            if kind != "table" or "virtual" in sql.lower().split():
                break
            guard.read_tables_only(connection)
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            cursor = connection.execute(f"SELECT rowid, * FROM {table} NOT INDEXED ORDER BY rowid {order}")
            names = [column for column, *_ in cursor.description][1:]
            known = _COLUMNS.get(table, names)
            if len(names) == len(known) and names[-1] != "seal":  # a column's name in the file can be damaged, too
                names = known
            for number, *values in guard.bounded(cursor, connection):
                row = dict(zip(names, values, strict=True))
                if number not in found and is_whole(table, row) and _has_form(table, row):
                    found[number] = row
    return [found[number] for number in sorted(found)]
