"""The database of a record: transactions, and rows that are checked by their digests whenever they are read.

The module is long because all statements that read or change rows are in one place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alkit._logs import logger
from alkit.errors import StoreError
from alkit.record import tables
from alkit.record.address import Server
from alkit.record.backend import REPAIR, AnyJournal, Backend, ConnectionLostError
from alkit.record.change_form import Change
from alkit.record.columns import stored_value
from alkit.record.digests import add, digest, holds
from alkit.record.journal_lines import Position, encode, first_change
from alkit.record.replay import history_of
from alkit.record.row_form import has_form, malformed_column
from alkit.record.sqlite import SPACE, SQLite
from alkit.record.tables import key_of, key_places, key_text

log = logger(__name__)

FEW = 500
"""Number of values in one condition of a statement; SQLite limits the number of its parameters."""

Row = tuple[Any, ...]
"""The values of a row in the order of its table's columns, the digest last."""


class _Moments(threading.local):
    """The connection by which each thread sees one state of a record, or writes it, and the process that opened it."""

    connection: sa.Connection | None = None
    process: int = 0
    writing: bool = False

    def of_this_thread(self) -> sa.Connection | None:
        return self.connection if self.process == os.getpid() else None


@dataclass(frozen=True, eq=False)
class Database:
    """The database of a record.

    Parameters
    ----------
    path:
        The file, or the campaign on a server.
    wait:
        Seconds to wait for another process that is writing.
    copy:
        A copy of the file, which is read in its place; None for the file itself.
    """

    path: Path | Server
    wait: float
    copy: Path | None = None
    backend: Backend = field(init=False, repr=False)
    _frozen: str = field(init=False, repr=False, default="")
    _moments: _Moments = field(init=False, repr=False, default_factory=_Moments)

    def __post_init__(self) -> None:
        if isinstance(self.path, Server):
            from alkit.record.postgresql import PostgreSQL

            vars(self).update(backend=PostgreSQL(self.path, self.wait))
        else:
            vars(self).update(backend=SQLite(self.path, self.wait, self.copy))

    @property
    def journal(self) -> AnyJournal:
        """The journal of the record."""
        return self.backend.journal

    def now(self, connection: sa.Connection) -> str:
        """Return the time now by the clock that counts for this record, in the form that its rows have."""
        return self.backend.now(connection)

    def time_ns(self) -> int:
        """Return the time now by this clock, in nanoseconds since 1970."""
        return self.backend.time_ns()

    def freeze(self, why: str = "its file or its folder is read-only") -> None:
        """Refuse every change from now on: in a copy it would be lost."""
        vars(self).update(_frozen=why)

    def check_writable(self) -> None:
        """Raise a :class:`StoreError` after :meth:`freeze`."""
        if self._frozen:
            if isinstance(self.path, Server):
                raise StoreError(
                    f"{self.path} cannot be changed, because its user or its server may only read it",
                    hint="another user in the URL, or the server that is not a replica",
                )
            raise StoreError(
                f"{self.path} cannot be changed, because {self._frozen}",
                hint="a copy of the record and its files, in a folder that you can write to",
            )

    def close(self) -> None:
        """Close the database."""
        self.backend.close()

    # Transactions.

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """See one state of the record inside the block, whatever other processes write."""
        if (moment := self._moments.of_this_thread()) is not None:
            with self._translated():
                yield moment
            return
        with self._begin(self.backend.reading) as connection:
            yield connection

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Let all readings of this thread inside the block see one state of the record; nothing is written in it."""
        if self._moments.of_this_thread() is not None:
            yield
            return
        with self._begin(self.backend.reading) as connection:
            self._moments.connection, self._moments.process, self._moments.writing = connection, os.getpid(), False
            try:
                yield
            finally:
                self._moments.connection = None

    @contextmanager
    def transaction(self, schema: int = tables.SCHEMA) -> Iterator[sa.Connection]:
        """Change the record: everything in the block or nothing, and no other process writes in between.

        The changes are in the journal before they are committed. If a process died between the two, or could not
        commit, its changes are completed and committed first, so that the journal never has more than one transaction
        that the database lacks.

        Parameters
        ----------
        schema:
            Schema that the record has, unless it is empty.

        Raises
        ------
        StoreError
            A later version of alkit has migrated the record since it was opened.
        """
        self.check_writable()
        if (whole := self._whole()) is not None:
            with self._part(whole):
                yield whole
            return
        completed, end = True, None
        while completed:
            try:
                with self._begin(self.backend.writing) as connection:
                    names = tables.names(connection)
                    if tables.facts.name in names:
                        self._check_schema(connection, schema)
                    completed = tables.journal.name in names and self._complete_last(connection)
                    if not completed:
                        _changes(connection).clear()  # of an earlier transaction on this connection, which failed
                        yield connection
                        end = self._write_journal(connection)
            except ConnectionLostError:  # perhaps after the server had committed
                if end is None or not self._was_recorded(end):
                    raise
                log.warning("%s: the connection was lost during a commit, which is complete", self.path)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all transactions of this thread inside the block one transaction."""
        if self.is_together:
            yield
            return
        with self.transaction() as connection:
            before = self._moments.of_this_thread()
            self._moments.connection, self._moments.process, self._moments.writing = connection, os.getpid(), True
            try:
                yield
            finally:
                self._moments.connection, self._moments.writing = before, False

    @property
    def is_together(self) -> bool:
        """Whether this thread is inside a block of :meth:`together`."""
        return self._whole() is not None

    def _whole(self) -> sa.Connection | None:
        """Return the connection of the one transaction of such a block; None outside."""
        return self._moments.of_this_thread() if self._moments.writing else None

    @contextmanager
    def _part(self, whole: sa.Connection) -> Iterator[None]:
        """Undo what is changed inside the block, a part of a transaction, if it ends in an error."""
        done = len(_changes(whole))
        try:
            with self._translated(), whole.begin_nested():
                yield
        except BaseException:
            del _changes(whole)[done:]
            raise

    def _was_recorded(self, end: Position) -> bool:
        """Whether the transaction that ends at a position of the journal is complete, or can be completed now."""
        try:
            self.complete()
            with self.reading() as connection:
                position = self.position(connection)
            line = history_of(self.journal.content(position)).lines.get(end.lines)
        except (StoreError, OSError):
            return False
        return line is not None and line.end == end

    def _check_schema(self, connection: sa.Connection, schema: int) -> None:
        now = connection.exec_driver_sql("SELECT value FROM facts WHERE name = 'schema'").scalar()
        if isinstance(now, str | int) and str(now).isdecimal() and int(now) > schema:
            raise StoreError(
                f"{self.path} was migrated by a later version of alkit since it was opened",
                got=f"schema {now}",
                expected=f"schema {schema}",
                hint="pip install --upgrade alkit, and open the record again",
            )

    @contextmanager
    def _begin(self, statement: str) -> Iterator[sa.Connection]:
        with self._translated(), self.backend.begin(statement) as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as reason:
            raise StoreError(
                "the record cannot store or find a text that is not Unicode", got=repr(reason.object)
            ) from reason
        except self.backend.errors as reason:
            raise self.backend.error(reason) from reason

    # Rows.

    def state(self, connection: sa.Connection, *of: sa.Table) -> tuple[Row, ...]:
        """Return a value that is different after every change of these tables."""
        return tuple(self.rows_of(connection, tables.totals.c.name, [table.name for table in of]))

    def rows(
        self,
        connection: sa.Connection,
        table: sa.Table,
        *conditions: sa.ColumnElement[bool],
        known: Container[Row] = frozenset(),
        **values: Any,
    ) -> list[Row]:
        """Return the rows for which all conditions hold and that have these values, sorted by the primary key.

        Parameters
        ----------
        known:
            Rows whose digests were checked earlier.
        values:
            Values by the names of their columns, which must not be None. A statement without other conditions is
            kept, because making it takes several times as long as executing it.

        Raises
        ------
        StoreError
            A row is not what alkit wrote.
        """
        selected = _with_values(table, *values)
        return self._checked(connection, table, selected.where(*conditions) if conditions else selected, values, known)

    def _checked(
        self,
        connection: sa.Connection,
        table: sa.Table,
        selected: sa.Select[Any],
        values: Mapping[str, Any],
        known: Container[Row] = frozenset(),
    ) -> list[Row]:
        """Return the rows that a statement selects, sorted by the primary key; raises as :meth:`rows`."""
        result = connection.execute(selected, values)
        found: list[Row] = self.backend.fetch(result)  # plain tuples: no Row objects
        damaged = [row for row in found if row not in known and not (holds(table.name, row) and has_form(table, row))]
        if damaged:
            more = f" and {len(damaged) - 1} more rows" if len(damaged) > 1 else ""
            raise StoreError(
                f"{self.path} is damaged: the row {key_text(table, damaged[0])} of {table.name}{more} is not what "
                "alkit wrote",
                hint=REPAIR,
            )
        found.sort(key=itemgetter(*key_places(table)))
        return found

    def greatest(
        self, connection: sa.Connection, column: sa.Column[Any], *conditions: sa.ColumnElement[bool]
    ) -> int | None:
        """Return the greatest value of a column of integers; None if no row fulfils the conditions.

        Raises
        ------
        StoreError
            It is not an integer.
        """
        found = connection.scalar(sa.select(sa.func.max(column)).where(*conditions))
        if not isinstance(found, int | None):
            raise StoreError(f"{self.path} is damaged: {column} is not an integer", got=repr(found), hint=REPAIR)
        return found

    def rows_of(self, connection: sa.Connection, column: sa.Column[Any], values: Collection[Any]) -> list[Row]:
        """Return the rows whose `column` has one of these values, sorted by the primary key; raises as :meth:`rows`.

        Few values are looked up by the column's index; for many the whole table is read.
        """
        table: sa.Table = column.table
        if len(values) <= FEW:
            return self._checked(connection, table, _among(column), {"values": list(values)}) if values else []
        place = table.c.keys().index(column.name)
        wanted = set(values)
        return [row for row in self.all_rows(connection, table) if row[place] in wanted]

    def all_rows(self, connection: sa.Connection, table: sa.Table, known: Container[Row] = frozenset()) -> list[Row]:
        """Return all rows, sorted by the primary key; `known` as in :meth:`rows`.

        Raises
        ------
        StoreError
            A row is not what alkit wrote, or rows are missing.
        """
        found = self.rows(connection, table, known=known)
        count, total = self._total(connection, table)
        if count != len(found) or total != add("0", (row[-1] for row in found)):
            expected = f"{count} other rows" if count == len(found) else count
            raise StoreError(
                f"{self.path} is damaged: rows of {table.name} are missing",
                got=len(found),
                expected=expected,
                hint=REPAIR,
            )
        return found

    def insert(self, connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows, given by column; columns that are left out are NULL."""
        complete = [_complete(table, [row.get(name) for name in table.c.keys()[:-1]]) for row in rows]
        if complete:
            _changes(connection).extend(["insert", table.name, row[:-1]] for row in complete)
            connection.execute(table.insert(), [dict(zip(table.c.keys(), row, strict=True)) for row in complete])
            self._count(connection, table, complete)
            self._compare(connection, table, complete)

    def change(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], **values: Any) -> None:
        """Set some columns of rows that were read in this transaction."""
        names, keys = table.c.keys(), key_places(table)
        changed = [
            _complete(table, [values.get(name, old) for name, old in zip(names[:-1], row, strict=False)])
            for row in rows
        ]
        if changed:
            new = {name: changed[0][names.index(name)] for name in values}
            _changes(connection).append(["change", table.name, [key_of(table, row) for row in rows], new])
            conditions = (column == sa.bindparam(f"key_{column.name}") for column in table.primary_key)
            update = table.update().where(*conditions)
            columns = [*values, "digest"]
            connection.execute(
                update.values({name: sa.bindparam(f"new_{name}") for name in columns}),
                [
                    {f"key_{names[place]}": row[place] for place in keys}
                    | {f"new_{name}": row[names.index(name)] for name in columns}
                    for row in changed
                ],
            )
            self._count(connection, table, changed, rows)
            self._compare(connection, table, changed)

    def delete(self, connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> None:
        """Delete the rows for which all conditions hold."""
        if gone := self.rows(connection, table, *conditions):
            _changes(connection).append(["delete", table.name, [key_of(table, row) for row in gone]])
            connection.execute(table.delete().where(*conditions))
            self._count(connection, table, (), gone)

    def create(self, connection: sa.Connection, *, whole: bool = True, restored: bool = False) -> None:
        """Create all tables, empty, and begin a new journal.

        Parameters
        ----------
        whole:
            As in :func:`alkit.record.journal_lines.first_change`.
        restored:
            As in :meth:`Journal.check_new`.
        """
        self.journal.check_new(restored=restored)
        tables.create(connection, self.path.campaign if isinstance(self.path, Server) else None)
        self._insert_row(connection, tables.journal, [tables.journal.name, 0, 0, ""])
        _changes(connection)[:] = [first_change(whole=whole)]
        for table in tables.TABLES:
            self._insert_row(connection, tables.totals, [table.name, 0, add("0", ())])

    def add_table(self, connection: sa.Connection, table: sa.Table) -> None:
        """Add an empty table to a record of an earlier schema, unless it is there."""
        if table.name not in tables.names(connection):
            table.create(connection)
            self._insert_row(connection, tables.totals, [table.name, 0, add("0", ())])

    # The journal.

    def position(self, connection: sa.Connection) -> Position:
        """Return the end of the journal, as the database knows it."""
        found = self.rows(connection, tables.journal)
        if not found:
            raise StoreError(f"{self.path} is damaged: the row of journal is missing", hint=REPAIR)
        return Position(*found[0][1:4])

    def agrees(self, connection: sa.Connection) -> bool:
        """Whether the database and its journal have the same changes. They may differ while another process writes."""
        return self.journal.ends_at(self.position(connection))

    def complete(self) -> None:
        """Make the changes that are in the journal and were not committed, if there are any."""
        with self.transaction():  # it compares while no other process writes
            pass

    def rewrite_journal(self) -> None:
        """Begin the journal again with the present rows, so that former values of rows are gone from it.

        The new journal lies beside the old one when the database commits, and replaces it then. If the process dies
        between the two, the next one that opens the record replaces it.
        """
        with self.transaction() as connection:
            changes: list[Change] = [first_change(whole=self.journal.whole())]
            for table in tables.TABLES:
                changes += [["insert", table.name, row[:-1]] for row in self.all_rows(connection, table)]
            content, end = encode(changes, Position())
            self.journal.prepare(content)
            self._set_position(connection, end)
        self.journal.replace(end)

    def _complete_last(self, connection: sa.Connection) -> bool:
        """Make the changes of a transaction in the journal that was not committed; return whether there is one."""
        position = self.position(connection)
        if self.journal.ends_at(position) or self.journal.replace(position):
            return False
        n_answers, _ = self._total(connection, tables.answers)
        try:
            lines = self.journal.pending(position, n_answers, self.path)
        except OSError as reason:
            raise self._cannot_write(reason) from reason
        if lines:
            for line in lines:
                self._apply(connection, line.change)
            _changes(connection).clear()
            self._set_position(connection, lines[-1].end)
            log.warning("%s: the last change was completed from its journal (%d lines)", self.path, len(lines))
        return bool(lines)

    def _apply(self, connection: sa.Connection, change: Change) -> None:
        if change[0] == "record":
            return
        kind, name, what, *values = change
        table = tables.BY_NAME[name]
        if kind == "insert":
            self.insert(connection, table, [dict(zip(table.c.keys(), what, strict=False))])
            return
        for key in what:
            condition = sa.and_(*(column == value for column, value in zip(table.primary_key, key, strict=True)))
            if kind == "change":
                self.change(connection, table, self.rows(connection, table, condition), **values[0])
            else:
                self.delete(connection, table, condition)

    def _write_journal(self, connection: sa.Connection) -> Position | None:
        if not (changes := _changes(connection)):
            return None
        start = self.position(connection)
        if not start.length:
            self.journal.check_contained(changes)
        content, end = encode(changes, start)
        self._set_position(connection, end)
        try:
            self.journal.write(content, start)
        except OSError as reason:
            raise self._cannot_write(reason) from reason
        changes.clear()
        return end

    def _cannot_write(self, reason: OSError) -> StoreError:
        return StoreError(
            f"cannot read or write the record {self.path} ({self.journal.path.name}: {reason.strerror})", hint=SPACE
        )

    def _set_position(self, connection: sa.Connection, position: Position) -> None:
        row = _complete(tables.journal, [tables.journal.name, position.lines, position.length, position.chain])
        connection.execute(tables.journal.update(), dict(zip(tables.journal.c.keys(), row, strict=True)))

    def _insert_row(self, connection: sa.Connection, table: sa.Table, values: Sequence[Any]) -> None:
        row = _complete(table, values)
        connection.execute(table.insert(), dict(zip(table.c.keys(), row, strict=True)))

    def _count(self, connection: sa.Connection, table: sa.Table, new: Sequence[Row], old: Sequence[Row] = ()) -> None:
        """Add new rows to the total of a table, and subtract old ones."""
        count, total = self._total(connection, table)
        total = add(add(total, (row[-1] for row in new)), (row[-1] for row in old), -1)
        row = _complete(tables.totals, [table.name, count + len(new) - len(old), total])
        connection.execute(
            tables.totals.update().where(tables.totals.c.name == table.name),
            dict(zip(tables.totals.c.keys(), row, strict=True)),
        )

    def _compare(self, connection: sa.Connection, table: sa.Table, new: Sequence[Row]) -> None:
        """Compare new rows with what SQLite returns, so that no row is committed that the next process cannot read.

        Raises
        ------
        StoreError
            SQLite returns another value. The message names its column.
        """
        key = sa.tuple_(*table.primary_key)
        expected = {key_of(table, row): row for row in new}
        found = [
            tuple(row)
            for part in chunks(expected, FEW // len(table.primary_key))
            for row in connection.execute(sa.select(table).where(key.in_(part)))
        ]
        for row in found:
            wanted = expected.pop(key_of(table, row), ())
            for name, value, other in zip(table.c.keys(), wanted, row, strict=False):
                if (type(value), value) != (type(other), other):
                    raise StoreError(f"{table.name}.{name} cannot be stored", got=repr(other), expected=repr(value))
        if expected:
            raise StoreError(f"{len(expected)} rows of {table.name} cannot be read back")

    def _total(self, connection: sa.Connection, table: sa.Table) -> tuple[int, str]:
        """Return the number of rows a table must have, and the sum of their digests."""
        found = self.rows(connection, tables.totals, name=table.name)
        if not found:
            raise StoreError(f"{self.path} is damaged: the total of {table.name} is missing", hint=REPAIR)
        return found[0][1], found[0][2]


@lru_cache(maxsize=100)
def _with_values(table: sa.Table, *names: str) -> sa.Select[Any]:
    """Return the statement that selects the rows that have certain values in these columns."""
    return sa.select(table).where(*(table.c[name] == sa.bindparam(name) for name in names))


@lru_cache(maxsize=100)
def _among(column: sa.Column[Any]) -> sa.Select[Any]:
    """Return the statement that selects the rows that have one of certain values in a column."""
    return sa.select(column.table).where(column.in_(sa.bindparam("values", expanding=True)))


def chunks(values: Iterable[Any], most: int = FEW) -> Iterator[list[Any]]:
    """Yield some values in lists that one statement takes.

    >>> [len(chunk) for chunk in chunks(range(1100))]
    [500, 500, 100]
    """
    rest = iter(values)
    while chunk := list(islice(rest, most)):
        yield chunk


def _changes(connection: sa.Connection) -> list[Change]:
    """Return the changes that a transaction has made."""
    found: list[Change] = connection.info.setdefault("changes", [])
    return found


def _complete(table: sa.Table, values: Sequence[Any]) -> Row:
    """Return a row of these values, as SQLite stores them, and their digest."""
    stored = tuple(stored_value(column, value) for column, value in zip(table.columns, values, strict=False))
    if (name := malformed_column(table, stored)) is not None:  # the next process would call the row damaged
        raise StoreError(f"{table.name}.{name} cannot be stored", got=repr(stored[table.c.keys().index(name)]))
    return (*stored, digest(table.name, stored))
