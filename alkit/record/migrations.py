"""Migrations: a record of an earlier schema is rewritten in the present one when it is opened.

A step of :data:`STEPS` turns the rows of one schema into those of the next. A migration backs the database up, reads
all rows, applies the steps, and replaces all tables in one transaction, under the record's lock. A process that is
killed meanwhile leaves the record as it was.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alkit._logs import logger
from alkit.errors import ResumeError, StoreError
from alkit.record import guard, tables
from alkit.record.address import Server
from alkit.record.backend import REPAIR
from alkit.record.database import Database
from alkit.record.digests import is_whole, rounded_columns

log = logger(__name__)

Plain = dict[str, list[dict[str, Any]]]
"""Rows by table, each a mapping from column to stored value, without the digest."""


def _from_3_to_4(old: Plain) -> Plain:
    """Store JSON as text, and the rounds that used an answer in the answer's row."""
    new = {name: [dict(row) for row in rows] for name, rows in old.items() if name != "consumed"}
    for row in new["facts"]:
        row["value"] = row["value"] if isinstance(row["value"], str) else json.dumps(row["value"])
    last = max((row["round"] for row in new["rounds"]), default=None)
    used = {row["number"]: row for row in old["consumed"]}
    for row in new["answers"]:
        if (use := used.get(row["number"])) is not None:
            row.update(used_from=use["first"], used_until=None if use["last"] == last else use["last"])
    return new


def _from_4_to_5(old: Plain) -> Plain:
    """Change no row: schema 5 added the journal, which begins with all rows that a record has when it is migrated."""
    return old


def _from_5_to_6(old: Plain) -> Plain:
    """Change no row: schema 6 added tables."""
    return {**{table.name: [] for table in tables.ADDED}, **old}


STEPS: dict[int, Callable[[Plain], Plain]] = {3: _from_3_to_4, 4: _from_4_to_5, 5: _from_5_to_6}
"""By schema the step to the next one."""


MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""Errors of a migration of rows that no version of alkit wrote."""


def migrate_rows(rows: Plain, schema: int) -> Plain:
    """Return rows of an earlier schema as rows of the present one."""
    for number in range(schema, tables.SCHEMA):
        rows = STEPS[number](rows)
    others = [row for row in rows["facts"] if row["name"] != "schema"]
    return {**rows, "facts": [{"name": "schema", "value": json.dumps(tables.SCHEMA)}, *others]}


def migrate(database: Database, *, keep: bool) -> None:
    """Rewrite a record of an earlier schema in the present one. The caller holds the record's lock.

    Parameters
    ----------
    keep:
        Whether the database as it was is kept among the backups; not if it is a copy itself.

    Raises
    ------
    ResumeError
        There is no step from its schema.
    StoreError
        A row is damaged, or the backup cannot be written.
    """
    with database.reading() as connection:
        schema = schema_of(database, connection)
    if schema == tables.SCHEMA:
        return  # another process has just migrated it
    check_schema(database.path, schema)
    copy = database.backend.back_up(f"schema-{schema}.db") if keep else None
    if schema == tables.JOURNALLED:
        _add_tables(database)
    else:
        _rewrite(database, schema)
    if copy is not None:
        log.warning("%s was migrated from schema %d to %d; a copy is in %s", database.path, schema, tables.SCHEMA, copy)


def _rewrite(database: Database, schema: int) -> None:
    """Rewrite the rows of a schema that had no journal."""
    with database.transaction(schema) as connection:
        before = read(database.path, connection)
        try:
            rows = migrate_rows(before, schema)
        except MALFORMED as reason:
            raise StoreError(
                f"{database.path} is damaged: its rows are not those of schema {schema} ({reason!r})", hint=REPAIR
            ) from reason
        write(database, connection, rows)


def _add_tables(database: Database) -> None:
    """Add the tables that schema 5 lacked. The rows and the journal stay as they are."""
    with database.transaction() as connection:
        for table in tables.ADDED:
            database.add_table(connection, table)
    # In a transaction of its own: if the process dies before it is committed, it is completed from the journal, which
    # cannot add tables.
    with database.transaction() as connection:
        found = database.rows(connection, tables.facts, name="schema")
        database.change(connection, tables.facts, found, value=json.dumps(tables.SCHEMA))


def schema_of(database: Database, connection: sa.Connection) -> int:
    """Return the schema of a record; a :class:`StoreError` unless it says one."""
    value = connection.exec_driver_sql("SELECT value FROM facts WHERE name = 'schema'").scalar()
    try:
        return int(str(value))
    except (TypeError, ValueError):
        raise StoreError(
            f"{database.path} is damaged: its schema is missing", got=repr(value), expected="an integer", hint=REPAIR
        ) from None


def check_schema(path: Path | Server, schema: int) -> None:
    """Raise a :class:`ResumeError` unless a record of this schema can be read."""
    if schema > tables.SCHEMA:
        raise ResumeError(
            f"{path} was written by a later version of alkit",
            got=f"schema {schema}",
            expected=f"schema {min(STEPS)} to {tables.SCHEMA}",
            hint="pip install --upgrade alkit",
        )
    if any(number not in STEPS for number in range(schema, tables.SCHEMA)):
        raise ResumeError(
            f"{path} was written by a version of alkit that is too old",
            got=f"schema {schema}",
            expected=f"schema {min(STEPS)} to {tables.SCHEMA}",
            hint="open it once with an older alkit, or start a new record",
        )


def read(path: Path | Server, connection: sa.Connection) -> Plain:
    """Return all rows of a record of any schema; a :class:`StoreError` if one is damaged."""
    found: Plain = {}
    for table in sorted(tables.names(connection) - {tables.totals.name, tables.journal.name, tables.STEPS}):
        result = connection.exec_driver_sql(f'SELECT * FROM "{table}"')
        cursor: Any = result.cursor
        own = guard.bounded(cursor, cursor.connection) if isinstance(cursor, sqlite3.Cursor) else cursor
        rows = [dict(zip(result.keys(), row, strict=True)) for row in own]
        for row in rows:
            if not is_whole(table, row):
                if rounded := rounded_columns(row):
                    raise StoreError(
                        f"{path} is damaged: SQLite has rounded the column {rounded[0]} of {table}, in the row that "
                        f"begins with {next(iter(row.values()))!r}",
                        hint=REPAIR,
                    )
                raise StoreError(
                    f"{path} is damaged: a row of {table} is not what alkit wrote (it begins with "
                    f"{list(row.values())[:2]})",
                    hint=REPAIR,
                )
        found[table] = [strip(row) for row in rows]
    return found


def strip(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without its digest."""
    return {name: value for name, value in row.items() if name not in ("seal", "digest")}


def write(database: Database, connection: sa.Connection, rows: Plain, *, whole: bool = True) -> None:
    """Replace all tables by new ones with these rows, and begin a new journal; see :meth:`Database.create`."""
    for name in tables.names(connection):
        connection.exec_driver_sql(f'DROP TABLE "{name}"')
    database.create(connection, whole=whole, restored=True)
    for table in tables.TABLES:
        database.insert(connection, table, rows.get(table.name, ()))
