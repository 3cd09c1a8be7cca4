"""Connections to the database of a record."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from alkit.errors import StoreError
from alkit.record import guard


def make_engine(path: Path, wait: float, shown: Path) -> sa.Engine:
    """Return an engine for a record's database.

    Parameters
    ----------
    path:
        The file, or a copy of it.
    wait:
        Seconds to wait for another process that is writing.
    shown:
        The file's path in messages.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=sa.pool.NullPool,  # nothing stays open that is not held; see alkit/record/held.py
        connect_args={"timeout": wait},
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # SQLAlchemy, not sqlite3, says when a transaction begins
        try:
            guard.harden(connection)
            guard.check_schema(shown, connection)  # before anything is written
        except StoreError:
            connection.close()
            raise
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["begin"])

    @sa.event.listens_for(engine, "invalidate")
    def _abandon(connection: sqlite3.Connection, _: object, reason: object) -> None:
        # After a Ctrl-C, SQLAlchemy closes the connection, but SQLite keeps its transaction until the cursors are gone.
        with suppress(sqlite3.Error):
            connection.rollback()

    return engine
