"""Connections to a PostgreSQL server, and its errors in the words of alkit.

Up to two connections to a database stay open between transactions, and all records of the process share them.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from alkit.errors import ConfigurationError, StoreBusyError, StoreError, one_line
from alkit.record.address import Server
from alkit.record.backend import REPAIR, ConnectionLostError
from alkit.record.nul import register

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


class Connections:
    """Connections to a server.

    Parameters
    ----------
    server:
        The database, and the name of the schema.
    wait:
        Seconds to wait for a server that is restarting.
    """

    def __init__(self, server: Server, wait: float) -> None:
        try:
            import psycopg
        except ImportError as reason:
            raise ConfigurationError(
                f"the record {server} needs the package psycopg", hint="pip install 'alkit[postgresql]'"
            ) from reason
        self.server, self.wait = server, wait
        lost = sa.exc.PendingRollbackError  # a connection was lost, and the error of that is being handled
        self.errors: tuple[type[Exception], ...] = (sa.exc.DBAPIError, psycopg.Error, lost)
        self._engine, self.close = _engine_of(self, server)
        self._reached = False

    def begin(self, beginning: str) -> tuple[sa.Connection, sa.RootTransaction]:
        """Return a connection and its new transaction; an idle connection may have been lost, and is then replaced."""
        while True:
            connection = self._connect()
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

    def _connect(self) -> sa.Connection:
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
            connection = self._connect()
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
        if isinstance(reason, sa.exc.PendingRollbackError):
            primary = "it was lost during a transaction"
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

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise errors of the server as those of alkit."""
        try:
            yield
        except self.errors as reason:
            raise self.error(reason) from reason


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
