"""A record's database in a schema of a PostgreSQL database, for a team.

The server keeps its own promises: it writes a commit to the disk before it says so, and undoes what a client has not
committed when the connection is lost. Two advisory locks replace those of SQLite: one for the time of a transaction
that writes, and one for the time of a step that changes the record. The second belongs to a connection, and all
transactions of the step use this connection. So a step whose connection was lost cannot write any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlalchemy as sa

from alkit._logs import logger
from alkit.errors import StoreError, one_line
from alkit.record import tables
from alkit.record.address import Server
from alkit.record.backend import AnyJournal
from alkit.record.server_connections import Connections, driver_of, key, milliseconds
from alkit.record.server_lock import ServerLock

log = logger(__name__)

CLOCK = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The time of the server, in microseconds since 1970, whatever way its users like to see dates."""


SAFE = "SET LOCAL search_path TO pg_catalog, pg_temp"
"""Makes the server look for functions and operators among its own only."""

PREDICATE = "((kind)::text <> 'invalid'::text)"
"""The condition of the only index of a record that has one."""

STRANGE = """
WITH own AS (
    SELECT c.oid, c.relname, c.relrowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :name AND c.relkind IN ('r', 'p')
)
SELECT 'the trigger ' || t.tgname FROM pg_trigger t JOIN own ON own.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL SELECT 'the rule ' || r.rulename FROM pg_rewrite r JOIN own ON own.oid = r.ev_class
UNION ALL SELECT 'a policy of ' || relname FROM own WHERE relrowsecurity
UNION ALL SELECT 'an expression of ' || own.relname FROM pg_attrdef d JOIN own ON own.oid = d.adrelid
UNION ALL SELECT 'the constraint ' || k.conname FROM pg_constraint k JOIN own ON own.oid = k.conrelid
    WHERE k.contype NOT IN ('p', 'n')
UNION ALL SELECT 'an index of ' || own.relname FROM pg_index i JOIN own ON own.oid = i.indrelid
    WHERE i.indexprs IS NOT NULL OR coalesce(pg_get_expr(i.indpred, i.indrelid), :predicate) <> :predicate
UNION ALL SELECT 'a type of ' || own.relname FROM pg_attribute a JOIN own ON own.oid = a.attrelid
    JOIN pg_type t ON t.oid = a.atttypid WHERE t.typnamespace <> 'pg_catalog'::regnamespace
UNION ALL SELECT 'a part of ' || own.relname FROM pg_inherits h JOIN own ON own.oid IN (h.inhparent, h.inhrelid)
UNION ALL SELECT 'the function ' || f.proname FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
    WHERE n.nspname = :name
UNION ALL SELECT 'the operator ' || o.oprname FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE n.nspname = :name
LIMIT 1
"""
"""What a schema can have that runs SQL of its owner with the rights of those who open the record."""


class PostgreSQL:
    """A schema with the record of a campaign.

    Parameters
    ----------
    server:
        The database, and the name of the schema.
    wait:
        Seconds to wait for another process that is writing.
    """

    reading: ClassVar[str] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    writing: ClassVar[str] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

    def __init__(self, server: Server, wait: float) -> None:
        self.server, self.wait = server, wait
        self._to = Connections(server, wait)
        self._journal: AnyJournal | None = None
        self._locks: dict[int, ServerLock] = {}  # by process
        self._identity: str | None = None
        self._ahead: int | None = None  # of the clock of the server, compared with the monotonic clock of this process

    @property
    def journal(self) -> AnyJournal:
        """The journal of the record, after :meth:`attach`."""
        if self._journal is None:
            raise StoreError(f"the files of {self.server} are not known")
        return self._journal

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Errors of SQLAlchemy and of the driver."""
        return self._to.errors

    def fetch(self, result: sa.CursorResult[Any]) -> list[tuple[Any, ...]]:
        """Return all rows of a result."""
        return list(result.cursor.fetchall()) if result.cursor else []

    def holding(self, held: bool) -> AbstractContextManager[None]:
        """Do nothing: connections to a server stay open."""
        return nullcontext()

    def error(self, reason: Exception) -> StoreError:
        """Return the error to raise for one of the server or of the connection to it."""
        return self._to.error(reason)

    def connect(self) -> sa.Connection:
        """Return a connection without a transaction."""
        return self._to.live()

    def attach(self, journal: AnyJournal) -> None:
        """Use a journal."""
        self._journal = journal

    def identity(self) -> str:
        """Return the names of the database and the campaign; users may reach the server by different names."""
        if self._identity is None:
            with self._to.translated(), self.begin(self.reading) as connection:
                self._identity = (
                    f"{connection.scalar(sa.text('SELECT current_database()'))}?campaign={self.server.campaign}"
                )
        return self._identity

    def exists(self) -> bool:
        """Whether the schema exists and has tables.

        Raises
        ------
        StoreError
            The schema has something that runs SQL of its owner, such as a trigger or a function.
        """
        self._check_schema()
        there = sa.text(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = :name),"
            " current_setting('server_encoding'), current_setting('fsync')"
        )
        with self._to.translated(), self.begin(self.reading) as connection:
            found, encoding, synchronises = connection.execute(there, {"name": self.server.campaign}).one()
        if encoding != "UTF8":
            raise StoreError(
                f"the database of {self.server} cannot hold all texts",
                got=f"the encoding {encoding}",
                expected="UTF8",
                hint="CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
            )
        if synchronises == "off":
            log.warning("the server of %s has fsync = off, and may lose what it has recorded", self.server)
        return bool(found)

    def _check_schema(self) -> None:
        """Check that the schema has plain tables only, before a statement names one of them."""
        with self._to.translated():
            connection, transaction = self._to.begin(f"{self.reading}; {SAFE}")
            with connection, transaction:
                names = {"name": self.server.campaign, "predicate": PREDICATE}
                found = connection.execute(sa.text(STRANGE), names).scalar()
        if found is not None:
            raise StoreError(
                f"{self.server} contains {one_line(found, 200)}, which alkit never writes",
                hint="do not use a record that a stranger has changed; its owner can drop it",
            )

    def traces(self) -> list[str]:
        """Return nothing: a server does not lose a database and keep what lies beside it."""
        return []

    def may_write(self) -> bool:
        """Whether the server accepts changes of this record from this user; it must exist."""
        allowed = sa.text(
            "SELECT NOT pg_is_in_recovery()"
            " AND has_schema_privilege(current_schema(), 'USAGE')"
            " AND bool_and(has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'INSERT'))"
            " FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
        )
        with self._to.translated(), self.begin(self.reading) as connection:
            return connection.scalar(allowed) is not False

    @contextmanager
    def begin(self, statement: str) -> Iterator[sa.Connection]:
        """Begin a transaction: on the connection that holds the lock of a step, if it writes and there is one."""
        lock = self._locks.get(os.getpid())
        if statement == self.writing and lock is not None and lock.lock_counter:
            connection = lock.connection()
            with connection.execution_options(begin=self._beginning(statement)).begin():
                yield connection
            return
        connection, transaction = self._to.begin(self._beginning(statement))
        with connection, transaction:
            yield connection

    def _beginning(self, statement: str) -> str:
        path = f'SET LOCAL search_path TO "{self.server.campaign}", pg_temp'
        if statement == self.reading:
            return f"{statement}; {path}"
        return (
            f"{statement}; {path}; SET LOCAL lock_timeout = {milliseconds(self.wait)};"
            " SELECT set_config('synchronous_commit', 'on', true)"
            " WHERE current_setting('synchronous_commit') = 'off';"
            f" SELECT pg_advisory_xact_lock({key('write', self.server)})"
        )

    def now(self, connection: sa.Connection) -> str:
        """Return the time of the server, so that clocks of clients that are wrong do not matter."""
        return datetime.fromtimestamp(connection.exec_driver_sql(CLOCK).scalar_one() // 10**6, UTC).isoformat()

    def time_ns(self) -> int:
        """Return the time of the server, in nanoseconds since 1970; it is asked for once."""
        if self._ahead is None:
            with self._to.translated(), self._to.live() as connection:
                (now,) = driver_of(connection).execute(CLOCK).fetchone()
            self._ahead = now * 1000 - _steady_ns()
        return _steady_ns() + self._ahead

    def lock(self) -> ServerLock:
        """Return a lock by the server."""
        found = self._locks[os.getpid()] = ServerLock(self._to)
        return found

    def back_up(self, name: str | None = None) -> None:
        """Do nothing: the backups of a server are its own."""

    def purge(self, lines: int) -> None:
        """Rewrite the tables, so that their files do not contain former values of rows."""
        with self._to.translated(), self._to.live() as connection:
            driver = driver_of(connection)
            connection.detach()  # with its setting
            driver.execute(f"SET lock_timeout = {milliseconds(self.wait)}")
            for table in (*tables.TABLES, tables.totals, tables.journal):
                driver.execute(f'VACUUM FULL "{self.server.campaign}"."{table.name}"')

    def close(self) -> None:
        """Close all connections."""
        if (lock := self._locks.pop(os.getpid(), None)) is not None:
            lock.forget()
        self._to.close()


def _steady_ns() -> int:
    """Return nanoseconds since some moment. They are counted while the computer sleeps, too, where it can tell them."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # of Linux, and of macOS
        if hasattr(time, name):
            return time.clock_gettime_ns(getattr(time, name))
    return time.monotonic_ns()
