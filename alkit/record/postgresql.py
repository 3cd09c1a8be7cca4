"""A record's database in a schema of a PostgreSQL database, for a team.

The server keeps its own promises: it writes a commit to the disk before it says so, and undoes what a client has not
committed when the connection is lost. Two advisory locks replace those of SQLite: one for the time of a transaction
that writes, and one for the time of a step that changes the record. The second belongs to a connection, and all
transactions of the step use this connection. So a step whose connection was lost cannot write any more.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from filelock import Timeout

from alkit.errors import ConfigurationError, StoreBusyError, StoreError, one_line
from alkit.record import tables
from alkit.record.address import Server
from alkit.record.backend import REPAIR, AnyJournal, ConnectionLostError
from alkit.record.nul import register

log = logging.getLogger(__name__)

STARTING = "is starting up"
"""Words of a server that cannot take connections yet."""

LOST = ("08", "57P", "53300")
"""Beginnings of the states of a connection that the server has ended or does not take."""

BUSY = ("55P03", "40001", "40P01", "55006")
"""States of a transaction that another one kept from running."""

DAMAGED = ("XX001", "XX002")
"""States of a table or an index that is damaged."""

FORBIDDEN = ("42501", "28P01", "28000")
"""States of a user who may not do something."""

SETTINGS = {
    "connect_timeout": 10,
    "application_name": "alkit",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 4,
    "tcp_user_timeout": 60_000,
}
"""Parameters of connections, unless the URL has others: a connection that was lost is noticed within about a minute."""

MOST_WAIT = 2_000_000
"""Greatest number of seconds to wait for a lock."""

AGAIN = "the same call again: what is recorded already is not recorded twice"


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
        try:
            import psycopg
        except ImportError as reason:
            raise ConfigurationError(
                f"the record {server} needs the package psycopg", hint="pip install 'alkit[postgresql]'"
            ) from reason
        self.server, self.wait = server, wait
        self.errors: tuple[type[Exception], ...] = (sa.exc.DBAPIError, psycopg.Error)
        self._engine, self._release = _engine_of(self, server)
        self._journal: AnyJournal | None = None
        self._locks: dict[int, ServerLock] = {}  # by process
        self._reached = False
        self._ahead: int | None = None  # of the clock of the server, compared with the monotonic clock of this process

    @property
    def journal(self) -> AnyJournal:
        """The journal of the record, after :meth:`attach`."""
        if self._journal is None:
            raise StoreError(f"the files of {self.server} are not known")
        return self._journal

    def attach(self, journal: AnyJournal) -> None:
        """Use a journal."""
        self._journal = journal

    def exists(self) -> bool:
        """Whether the schema exists and has tables."""
        there = sa.text("SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = :name)")
        with self._translated(), self.begin(self.reading) as connection:
            return bool(connection.scalar(there, {"name": self.server.campaign}))

    def traces(self) -> list[str]:
        """Return nothing: a server does not lose a database and keep what lies beside it."""
        return []

    def may_write(self) -> bool:
        """Whether the server accepts changes of this record from this user; it must exist."""
        allowed = sa.text(
            "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only', true) IS NOT NULL"
            " AND has_schema_privilege(current_schema(), 'USAGE')"
            " AND bool_and(has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'INSERT'))"
            " FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
        )
        with self._translated(), self.begin(self.reading) as connection:
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
        connection, transaction = self._begun(self._beginning(statement))
        with connection, transaction:
            yield connection

    def _begun(self, beginning: str) -> tuple[sa.Connection, sa.RootTransaction]:
        """Return a connection and its new transaction; an idle connection may have been lost, and is then replaced."""
        while True:
            connection = self.connect()
            fresh = "used" not in connection.info
            connection.info["used"] = True
            try:
                transaction = connection.execution_options(begin=beginning).begin()
            except sa.exc.DBAPIError as reason:
                connection.close()
                if fresh or not reason.connection_invalidated:
                    raise
            else:
                return connection, transaction

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

    def connect(self) -> sa.Connection:
        """Return a new connection. If the server was reached before, wait for it, because it may be restarting."""
        until = time.monotonic() + self.wait
        for pause in itertools.chain((0.1, 0.2, 0.5), itertools.repeat(1.0)):
            try:
                connection = self._engine.connect()
            except sa.exc.OperationalError as reason:
                waiting = self._reached or STARTING in str(reason)
                if not waiting or time.monotonic() + pause > until:
                    raise
                time.sleep(pause)
                continue
            self._reached = True
            return connection
        raise AssertionError

    def live(self) -> sa.Connection:
        """Return a connection without a transaction, which was not lost while it was idle."""
        while True:
            connection = self.connect()
            if "used" not in connection.info:
                connection.info["used"] = True
                return connection
            try:
                driver_of(connection).execute("SELECT 1")
            except self.errors:
                connection.invalidate()
                connection.close()
            else:
                return connection

    def error(self, reason: Exception) -> StoreError:
        """Return the error to raise for one of the server or of the connection to it."""
        error = getattr(reason, "orig", reason)
        state = getattr(error, "sqlstate", None) or ""
        primary = getattr(getattr(error, "diag", None), "message_primary", None)
        text = one_line(str(primary or error), 300)
        if state in BUSY:
            return StoreBusyError(f"another process is writing to {self.server} ({text})")
        if state in DAMAGED or state.startswith("42P"):
            return StoreError(f"{self.server} is damaged ({text})", hint=REPAIR)
        if state in FORBIDDEN:
            return StoreError(
                f"{self.server} cannot be used by this user ({text})",
                hint="the user in the URL, its password in PGPASSWORD or ~/.pgpass, and its rights on the schema",
            )
        if not state or state.startswith(LOST):
            return ConnectionLostError(f"the connection to {self.server} failed ({text})", hint=AGAIN)
        return StoreError(f"cannot read or write the record {self.server} ({text})", hint=AGAIN)

    def now(self, connection: sa.Connection) -> str:
        """Return the time of the server, so that clocks of clients that are wrong do not matter."""
        now: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        return now.astimezone(UTC).isoformat(timespec="seconds")

    def time_ns(self) -> int:
        """Return the time of the server, in nanoseconds since 1970; it is asked for once."""
        if self._ahead is None:
            with self._translated(), self.live() as connection:
                (now,) = driver_of(connection).execute("SELECT clock_timestamp()").fetchone()
            self._ahead = int(now.timestamp() * 10**9) - time.monotonic_ns()
        return time.monotonic_ns() + self._ahead

    def lock(self) -> ServerLock:
        """Return a lock by the server."""
        found = self._locks[os.getpid()] = ServerLock(self)
        return found

    def back_up(self, name: str | None = None) -> None:
        """Do nothing: the backups of a server are its own."""

    def purge(self, lines: int) -> None:
        """Rewrite the tables, so that their files do not contain former values of rows."""
        with self._translated(), self.live() as connection:
            driver = driver_of(connection)
            connection.detach()  # with its setting
            driver.execute(f"SET lock_timeout = {milliseconds(self.wait)}")
            for table in (*tables.TABLES, tables.totals, tables.journal):
                driver.execute(f'VACUUM FULL "{self.server.campaign}"."{table.name}"')

    def close(self) -> None:
        """Close all connections."""
        if (lock := self._locks.pop(os.getpid(), None)) is not None:
            lock.forget()
        self._release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self.errors as reason:
            raise self.error(reason) from reason


class ServerLock:
    """The lock of a step that changes a record, for each thread of this process. A connection holds it."""

    def __init__(self, backend: PostgreSQL) -> None:
        self._backend, self._own = backend, threading.local()

    @property
    def lock_counter(self) -> int:
        """How many times this thread holds it."""
        return getattr(self._own, "count", 0)

    def acquire(self, timeout: float) -> None:
        """Acquire the lock; a :class:`filelock.Timeout` if another connection held it all the time."""
        if not self.lock_counter:
            with self._backend._translated():
                self._take(timeout)
        self._own.count = self.lock_counter + 1

    def release(self) -> None:
        """Release the lock once."""
        self._own.count -= 1
        if not self._own.count:
            self.forget()

    def forget(self) -> None:
        """Close the connection, which frees the lock."""
        connection, self._own.connection, self._own.count = getattr(self._own, "connection", None), None, 0
        if connection is not None:
            with suppress(*self._backend.errors):
                if not connection.invalidated:
                    driver_of(connection).execute("SELECT pg_advisory_unlock_all(); RESET ALL")
                connection.close()

    def connection(self) -> sa.Connection:
        """Return the connection that holds the lock.

        If it was lost, the lock is acquired again, if no other process has had it meanwhile.

        Raises
        ------
        StoreError
            Another process may have changed the record since the connection was lost.
        """
        found: sa.Connection = self._own.connection
        try:
            if not found.invalidated:
                driver_of(found).execute("SELECT 1")
                return found
        except self._backend.errors:
            pass
        server, step = self._backend.server, self._own.step
        log.warning("the connection to %s was lost, and is made again", server)
        with suppress(*self._backend.errors):
            found.invalidate()
            found.close()
        self._own.connection = None
        try:
            with self._backend._translated():
                self._take(self._backend.wait)
        except Timeout:
            self._own.step = None
        if step is None or self._own.step != step + 1:
            raise StoreError(
                f"the connection to {server} was lost during this step, and another process has worked on it since",
                hint=AGAIN,
            )
        taken: sa.Connection = self._own.connection
        return taken

    def _take(self, timeout: float) -> None:
        server = self._backend.server
        connection = self._backend.live()
        driver = driver_of(connection)
        try:
            if timeout > 0:
                wait = f"SET lock_timeout = {milliseconds(timeout)}"
                driver.execute(f"{wait}; SELECT pg_advisory_lock({key('step', server)}); {_NEVER_IDLE}")
            elif not driver.execute(f"SELECT pg_try_advisory_lock({key('step', server)})").fetchone()[0]:
                raise Timeout(str(server))
            else:
                driver.execute(_NEVER_IDLE)
            self._own.step = _count_step(driver, server)
        except BaseException as reason:
            connection.invalidate()  # it may have the lock
            connection.close()
            if getattr(reason, "sqlstate", None) in BUSY:
                raise Timeout(str(server)) from reason
            raise
        self._own.connection = connection


def _count_step(driver: Any, server: Server) -> int | None:
    """Return the number of steps of a record so far, including this one; None if there is no record yet.

    Before the server says a later commit of anybody is durable, the number is.
    """
    there = "SELECT to_regclass(%s) IS NOT NULL"
    if not driver.execute(there, [f'"{server.campaign}".{tables.STEPS}']).fetchone()[0]:
        return None
    with driver.transaction():
        driver.execute("SET LOCAL synchronous_commit = off")
        (number,) = driver.execute(
            f'UPDATE "{server.campaign}".{tables.STEPS} SET number = number + 1 RETURNING number'
        ).fetchone()
    return int(number)


_NEVER_IDLE = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"
"""Lets a connection be idle while a model is trained."""


def key(what: str, server: Server) -> int:
    """Return the number of an advisory lock. Those of other campaigns in the same database have other numbers."""
    return int.from_bytes(hashlib.sha256(f"alkit {what} {server.campaign}".encode()).digest()[:8], "big", signed=True)


def milliseconds(seconds: float) -> int:
    """Return a time limit for the server, which takes 0 for none."""
    return max(1, int(1000 * min(seconds, MOST_WAIT)))


def driver_of(connection: sa.Connection) -> Any:
    """Return the connection of psycopg."""
    return connection.connection.driver_connection


_engines: dict[sa.URL, tuple[sa.Engine, int]] = {}  # with the number of objects that use it


def _engine_of(owner: object, server: Server) -> tuple[sa.Engine, Callable[[], object]]:
    """Return the engine of a database, and what to call when it is not needed; it is called with the owner's end.

    The engine has up to two idle connections. All campaigns of the database share them.
    """
    engine, users = _engines.get(server.url) or (_make_engine(server), 0)
    _engines[server.url] = engine, users + 1
    return engine, weakref.finalize(owner, _leave, server.url)


def _leave(url: sa.URL) -> None:
    engine, users = _engines[url]
    _engines[url] = engine, users - 1
    if users == 1:
        del _engines[url]
        engine.dispose()


def _make_engine(server: Server) -> sa.Engine:
    import psycopg

    settings = {name: value for name, value in SETTINGS.items() if name not in server.url.query}
    engine = sa.create_engine(
        server.url,
        pool_size=2,
        max_overflow=-1,
        connect_args={**settings, "client_encoding": "utf8", "prepare_threshold": None},
        use_native_hstore=False,
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: psycopg.Connection[Any], _: object) -> None:
        connection.autocommit = True  # SQLAlchemy, not psycopg, says when a transaction begins
        register(connection)

    @sa.event.listens_for(engine, "connect")
    def _own(_: object, entry: Any) -> None:
        entry.info["process"] = os.getpid()

    @sa.event.listens_for(engine, "checkout")
    def _check(_: object, entry: Any, proxy: Any) -> None:
        if entry.info["process"] != os.getpid():  # a fork has copied it, and the other process goes on with it
            entry.dbapi_connection = proxy.dbapi_connection = None
            raise sa.exc.DisconnectionError("the connection belongs to another process")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["begin"])

    return engine
