"""What differs between the databases that can hold a record. Everything else is SQL that all of them understand."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa

from alkit.errors import StoreError
from alkit.record.change_form import Change
from alkit.record.journal_lines import Line, Position

REPAIR = "alkit repair (in Python: alkit.record.repair), which saves everything that is intact into a new record"


class ConnectionLostError(StoreError):
    """The connection to a server failed. What was not committed is undone; a commit may have succeeded."""


class Lock(Protocol):
    """A lock on a record that the system or the server frees when a process dies. It can be acquired several times."""

    @property
    def lock_counter(self) -> int:
        """How many times it is held."""

    def acquire(self, timeout: float) -> object:
        """Acquire it.

        Raises
        ------
        filelock.Timeout
            Another process held it for longer than `timeout` seconds.
        """

    def release(self) -> None:
        """Release it once."""


class AnyJournal(Protocol):
    """A journal: a file, or objects; see :class:`alkit.record.journal.Journal`."""

    @property
    def path(self) -> PurePath:
        """Where it is, for messages."""

    def content(self, end: Position | None = None) -> bytes:
        """Return all lines; an :class:`OSError` if they cannot be read.

        Parameters
        ----------
        end:
            The end that the database states.
        """

    def ends_at(self, position: Position) -> bool:
        """Whether it ends at a position."""

    def whole(self) -> bool:
        """Whether the record is known to contain everything that was recorded before this journal began."""

    def write(self, content: bytes, start: Position) -> None:
        """Write lines behind `start`; they are durable on return."""

    def prepare(self, content: bytes) -> None:
        """Write a journal that replaces this one later."""

    def replace(self, position: Position) -> bool:
        """Replace the journal by one that was prepared, if that one has this end; return whether it did."""

    def check_new(self, *, restored: bool = False) -> None:
        """Raise a :class:`StoreError` if there is a journal that a new one must not replace."""

    def check_contained(self, changes: Sequence[Change]) -> None:
        """Raise a :class:`StoreError` if there is a journal with a row that the changes of a new one lack."""

    def pending(self, position: Position, n: int, record: object) -> list[Line]:
        """Return the lines of a transaction that the database lacks; none if it has everything."""


class Backend(Protocol):
    """A database that holds a record.

    Attributes
    ----------
    reading, writing:
        Statements that begin a transaction: one sees a single state, the other keeps out all others that write.
    """

    reading: ClassVar[str]
    writing: ClassVar[str]

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Errors of SQLAlchemy and of the driver."""

    @property
    def journal(self) -> AnyJournal:
        """The journal of the record."""

    def begin(self, statement: str) -> AbstractContextManager[sa.Connection]:
        """Begin a transaction by a statement; commit it after the block, or undo it if there was an error."""

    def fetch(self, result: sa.CursorResult[Any]) -> list[tuple[Any, ...]]:
        """Return all rows of a result as plain tuples."""

    def holding(self, held: bool) -> AbstractContextManager[None]:
        """Hold a connection for the readings of this thread in the block, or none, if connections are costly."""

    def error(self, reason: Exception) -> StoreError:
        """Return the error to raise for one of the driver."""

    def identity(self) -> Path | str:
        """Return the record's file, or names of a record on a server that its copies do not have."""

    def exists(self) -> bool:
        """Whether there is a database with anything in it."""

    def may_write(self) -> bool:
        """Whether the record, which exists, may be changed by this user."""

    def traces(self) -> list[str]:
        """Return the names of what lies beside a record that exists or existed, and was made after it."""

    def now(self, connection: sa.Connection) -> str:
        """Return the time now by the clock that counts, in the form that records have."""

    def time_ns(self) -> int:
        """Return the time now by this clock, in nanoseconds since 1970."""

    def lock(self) -> Lock:
        """Return a new lock of the record."""

    def back_up(self, name: str | None = None) -> str | None:
        """Copy the database as it is now, and return where the copy is; None if the server makes backups itself."""

    def purge(self, lines: int) -> None:
        """Delete former values of rows from the unused parts of the database and from its backups.

        Parameters
        ----------
        lines:
            Number of lines of the journal, after which the new backup is named.

        Raises
        ------
        StoreBusyError
            Another process has the record open, so that the database cannot be rewritten.
        """

    def close(self) -> None:
        """Close all connections."""
