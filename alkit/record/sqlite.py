"""A record's database in a file, by SQLite. Its journal, backups and lock lie beside it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, cast

import sqlalchemy as sa
from filelock import FileLock

from alkit.errors import StoreBusyError, StoreError
from alkit.record import guard
from alkit.record.backend import REPAIR
from alkit.record.backups import back_up
from alkit.record.engine import make_engine
from alkit.record.held import Held
from alkit.record.journal import Journal
from alkit.record.places import remove

SPACE = "check that it is an alkit record, that its folder is writable, and that the disk has space"

DAMAGE = ("malformed", "decode", "unsupported file format", "no such", "interrupted")
"""Words of SQLite's messages about a damaged database."""

UNREADABLE = ("SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_DATA", "SQLITE_IOERR_CORRUPTFS")
"""SQLite's names of errors of a disk that lost what was written; its other errors of disks leave the record whole."""


class SQLite:
    """The database file of a record.

    Parameters
    ----------
    path:
        The file.
    wait:
        Seconds to wait for another process that is writing.
    copy:
        A copy of the file, which is read in its place; None for the file itself.
    """

    reading: ClassVar[str] = "BEGIN"
    writing: ClassVar[str] = "BEGIN IMMEDIATE"
    errors: tuple[type[Exception], ...] = (sa.exc.DBAPIError, sqlite3.Error)

    def __init__(self, path: Path, wait: float, copy: Path | None = None) -> None:
        self.path, self.wait = path, wait
        self.backups = path.with_name(f"{path.name}.backups")
        file = copy or path
        self.journal = Journal(file.with_name(f"{file.name}.journal"))
        self._engine = make_engine(file, wait, path)
        self._held = Held(self._engine, file)

    def identity(self) -> Path:
        """Return the file."""
        return self.path

    def exists(self) -> bool:
        """Whether the file exists and is not empty."""
        return self.path.exists() and self.path.stat().st_size > 0

    def may_write(self) -> bool:
        """Return True; see :func:`alkit.record.read_only.is_read_only`."""
        return True

    def traces(self) -> list[str]:
        """Return the names of the folders of files and backups beside the file."""
        beside = [self.path.with_name(self.path.name + end) for end in guard.FOLDERS]
        return [path.name for path in beside if path.exists()]

    @contextmanager
    def begin(self, statement: str) -> Iterator[sa.Connection]:
        """Begin a transaction on a new connection, or a reading on the connection that is held."""
        if statement == self.reading and (held := self._held.connection()) is not None:
            try:
                with held.execution_options(begin=statement).begin():
                    yield held
            except BaseException:
                self._held.let_go()
                raise
            return
        self._held.let_go()
        raw: sqlite3.Connection | None = None
        try:
            with self._engine.connect() as connection:
                raw = cast(sqlite3.Connection, connection.connection.dbapi_connection)
                with connection.execution_options(begin=statement).begin():
                    yield connection
        except BaseException:
            if raw is not None:
                _end(raw)  # a Ctrl-C may have left it open, and it would keep all others from writing
            raise

    def fetch(self, result: sa.CursorResult[Any]) -> list[tuple[Any, ...]]:
        """Return all rows of a result; raise an error of SQLite if a crafted file has rows without end."""
        cursor = cast("sqlite3.Cursor | None", result.cursor)
        return [] if cursor is None else list(guard.bounded(cursor, cursor.connection))

    def holding(self, held: bool) -> AbstractContextManager[None]:
        """Hold a connection for the readings of this thread in the block, or none; see :class:`Held`."""
        return self._held.holding(held)

    def error(self, reason: Exception) -> StoreError:
        """Return the error to raise for one of SQLite."""
        error = getattr(reason, "orig", reason)
        text, name = str(error), getattr(error, "sqlite_errorname", "")
        if "locked" in text:
            return StoreBusyError(f"another process is writing to {self.path} ({text})")
        damaged = any(word in text for word in DAMAGE) or ("not a database" in text and self.traces())
        if name in UNREADABLE or damaged:
            return StoreError(f"{self.path} is damaged ({text})", hint=REPAIR)
        return StoreError(f"cannot read or write the record {self.path} ({text})", hint=SPACE)

    def now(self, connection: sa.Connection) -> str:
        """Return the time of this computer."""
        return datetime.now(UTC).isoformat(timespec="seconds")

    def time_ns(self) -> int:
        """Return the time of this computer, in nanoseconds since 1970."""
        return time.time_ns()

    def lock(self) -> FileLock:
        """Return a lock on a file beside the database."""
        return FileLock(self.path.with_name(self.path.name + ".lock"))

    def back_up(self, name: str | None = None) -> str:
        """Copy the database; see :func:`alkit.record.backups.back_up`."""
        return str(back_up(self.path, self.backups, self.wait, name))

    def purge(self, lines: int) -> None:
        """Rewrite the database, so that its file and its log do not contain former values of rows, and its backups."""
        try:
            with closing(sqlite3.connect(self.path, timeout=self.wait)) as connection:
                guard.harden(connection)
                guard.check_pages(connection)
                connection.execute("VACUUM")
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as reason:
            raise StoreBusyError(f"{self.path} cannot be rewritten ({reason})", hint="the same again later") from reason
        if busy:
            raise StoreBusyError(f"another process has {self.path} open", hint="close it, and do the same again")
        old = [path for path in self.backups.glob("*.db") if path.parent == self.backups]
        self.back_up("new")
        remove(self.backups, [path for path in old if path.exists()])
        os.replace(self.backups / "new", self.backups / f"lines-{lines:012}.db")

    def close(self) -> None:
        """Close the file."""
        self._held.let_go()
        self._engine.dispose()


def _end(connection: sqlite3.Connection) -> None:
    """Roll the transaction of a connection back, and close it, unless that was done."""
    with suppress(sqlite3.Error):
        connection.rollback()
    with suppress(sqlite3.Error):
        connection.close()
