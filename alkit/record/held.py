"""One connection to a database file for several readings.

SQLite makes and deletes files when the first connection is opened and the last one is closed. That takes about ten
times as long as reading a few rows. So a call that reads often holds a connection. It is held for short times only:
while it is open, SQLite keeps the write-ahead log of other processes beside the file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

F = TypeVar("F", bound=Callable[..., Any])

_of_parents: list[sa.Connection] = []
"""Connections of parent processes. Closing one here could harm the parent's, and so could collecting it as garbage."""


class Held:
    """The connection that each thread holds.

    Parameters
    ----------
    engine:
        Opens connections.
    path:
        The file.
    """

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self._engine, self._path = engine, path
        self._own = _Own()

    @contextmanager
    def holding(self, held: bool = True) -> Iterator[None]:
        """Hold a connection for the readings of this thread in the block, or none; it is opened by the first one."""
        before = self._own.process
        self._own.process = os.getpid() if held else None
        if not held:
            self.let_go()
        try:
            yield
        finally:
            self._own.process = before
            if before is None:
                self.let_go()

    def connection(self) -> sa.Connection | None:
        """Return the connection that this thread holds; None if it holds none, or if a transaction uses it."""
        if self._own.process != os.getpid():
            return None
        if self._own.connection is not None and (self._own.file, self._own.opener) != (self._file(), os.getpid()):
            self.let_go()  # another file has taken the place of the one that was opened, or this process is a fork
        if self._own.connection is None:
            self._own.file = self._file()  # before the file is opened, in case it is replaced in between
            if self._own.file is None:
                return None
            self._own.opener, self._own.connection = os.getpid(), self._engine.connect()
        return None if self._own.connection.in_transaction() else self._own.connection

    def let_go(self) -> None:
        """Close the connection that this thread holds, if no transaction uses it."""
        connection = self._own.connection
        if connection is None or (connection.in_transaction() and self._own.opener == os.getpid()):
            return
        self._own.connection = None
        if self._own.opener == os.getpid():
            connection.close()
        else:
            _of_parents.append(connection)

    def _file(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


class _Own(threading.local):
    """What a thread has: the process in which it may hold a connection, the connection, its file and its process."""

    process: int | None = None
    connection: sa.Connection | None = None
    file: tuple[int, int] | None = None
    opener: int = 0


class _Reads(Protocol):
    def one_connection(self) -> AbstractContextManager[None]: ...

    def no_connection(self) -> AbstractContextManager[None]: ...


class _HasStore(Protocol):
    @property
    def store(self) -> _Reads: ...


@contextmanager
def apart(store: _Reads, how: AbstractContextManager[None]) -> Iterator[None]:
    """Hold no connection in a block of another kind, such as a long computation."""
    with store.no_connection(), how:
        yield


def on_one_connection(work: F) -> F:
    """Let a function, or a method, read the record of its first argument by one connection.

    Waiting and long computations belong into a block of :meth:`alkit.record.Store.no_connection`.
    """

    @wraps(work)
    def wrapper(first: _HasStore, /, *args: Any, **kwargs: Any) -> Any:
        with first.store.one_connection():
            return work(first, *args, **kwargs)

    return wrapper  # type: ignore[return-value]
