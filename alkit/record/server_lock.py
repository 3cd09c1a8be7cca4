"""The lock of a step that changes a record on a server. A connection holds it, on which the step writes."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from filelock import Timeout

from alkit._logs import logger
from alkit.errors import StoreError
from alkit.record import tables
from alkit.record.address import Server
from alkit.record.server_connections import AGAIN, BUSY, Connections, driver_of, key, milliseconds

log = logger(__name__)


class ServerLock:
    """The lock of a step that changes a record, for each thread of this process. A connection holds it."""

    def __init__(self, connections: Connections) -> None:
        self._to, self._own = connections, threading.local()

    @property
    def lock_counter(self) -> int:
        """How many times this thread holds it."""
        return getattr(self._own, "count", 0)

    def acquire(self, timeout: float) -> None:
        """Acquire the lock; a :class:`filelock.Timeout` if another connection held it all the time."""
        if self.lock_counter:
            self._own.count += 1
            return
        try:
            with self._to.translated():
                self._take(timeout)
            self._own.count = 1
        except BaseException:  # such as Ctrl-C just after the lock was acquired
            self.forget()
            raise

    def release(self) -> None:
        """Release the lock once."""
        self._own.count -= 1
        if not self._own.count:
            self.forget()

    def forget(self) -> None:
        """Close the connection, which frees the lock."""
        connection, self._own.connection, self._own.count = getattr(self._own, "connection", None), None, 0
        if connection is not None:
            with suppress(*self._to.errors):
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
        except self._to.errors:
            pass
        server, step = self._to.server, self._own.step
        log.warning("the connection to %s was lost, and is made again", server)
        with suppress(*self._to.errors):
            found.invalidate()
            found.close()
        self._own.connection = None
        try:
            with self._to.translated():
                self._take(self._to.wait)
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
        server = self._to.server
        connection = self._to.live()
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
