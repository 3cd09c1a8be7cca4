"""Guards for a record that may come from a stranger. They act before anything is written, and before SQLite reads it.

SQLite runs what a database contains: triggers, views, and expressions in the definitions of tables. It also follows
the files beside a database: it writes into a log that is a symbolic link, and a crafted rollback journal makes it
delete any file. alkit writes none of these, so a record with them is refused by name.
"""

from __future__ import annotations

import errno
import re
import sqlite3
import stat
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from alkit._reading.inside import leads_out
from alkit.errors import StoreError, one_line

BESIDE = ("-wal", "-shm", "-journal", ".lock", ".journal", ".journal.new", ".files", ".backups")
"""Endings of the files and folders beside a database."""

FOLDERS = (".files", ".backups")
"""Those of them that are folders."""

LONGEST = 2**28
"""Greatest number of bytes of a value in a row."""

_NAME = r'(?:"\w+"|\w+)'
_NAMES = rf"{_NAME}(?: , {_NAME})*"
_COLUMN = rf"{_NAME} (?:varchar|text|integer|bigint|float|json|boolean)(?: not null)?"
_TABLE = re.compile(rf"create table {_NAME} \( {_COLUMN}(?: , {_COLUMN})*(?: , primary key \( {_NAMES} \))? \)")
_INDEX = re.compile(rf"create (?:unique )?index {_NAME} on {_NAME} \( {_NAMES} \)(?: where {_NAME} (?:!=|<>) '\w*')?")
_STATISTICS = re.compile(r"create table sqlite_stat[14] ?\( tbl , idx , (?:stat|neq , nlt , ndlt , sample) \)")

_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""The end of a rollback journal that names another journal, which SQLite deletes."""


def _mode(path: Path) -> int:
    """Return the type of a file, from one look at it: another process may delete it after that. 0 if there is none."""
    try:
        return path.stat().st_mode
    except OSError as reason:
        if reason.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return 0
        raise


def check_files(path: Path) -> None:
    """Check the files beside a database.

    Raises
    ------
    StoreError
        One is a symbolic link that leads out of the folder, a pipe or a device, or a rollback journal that names
        another file.
    """
    real = path.resolve()
    for place in {path, real}:
        for ending in BESIDE:
            beside = place.with_name(place.name + ending)
            if beside.is_symlink() and leads_out(beside, place.parent):
                raise StoreError(
                    f"{beside} is a symbolic link that leads out of its folder",
                    expected="a file or folder beside the record",
                    hint="move the record and everything beside it to the place that the link leads to",
                )
            folder = ending in FOLDERS
            if (mode := _mode(beside)) and not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
                raise StoreError(
                    f"{beside} is not a {'folder' if folder else 'file'}",  # to open a pipe could take for ever
                    hint="delete it, if the record comes from somebody else",
                )
    journal = real.with_name(f"{real.name}-journal")
    try:
        with journal.open("rb") as file:
            file.seek(-len(_MAGIC), 2)
            end = file.read()
    except OSError:  # it does not exist, or is shorter
        return
    if end == _MAGIC:
        raise StoreError(
            f"{journal} names another file, which SQLite would delete",
            expected="a journal as alkit leaves it",
            hint="delete it, if the record comes from somebody else",
        )


def check_lost(path: Path) -> None:
    """Raise a :class:`StoreError` if a database is missing whose journal, files or backups exist."""
    there = [beside.name for end in BESIDE[4:] if (beside := path.with_name(path.name + end)).exists()]
    if there and not path.exists():
        raise StoreError(
            f"the record {path} is missing",
            got=f"only {', '.join(there)}",
            hint="alkit repair, which restores it from them into a new record; or move them away",
        )


def harden(connection: sqlite3.Connection) -> None:
    """Make SQLite distrust the database: nothing in its schema may call functions with effects."""
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    if set_option := getattr(connection, "setconfig", None):  # Python 3.12 and later
        set_option(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)  # type: ignore[attr-defined, unused-ignore]
        set_option(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)  # type: ignore[attr-defined, unused-ignore]
        set_option(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)  # type: ignore[attr-defined, unused-ignore]


def check_schema(path: Path, connection: sqlite3.Connection) -> None:
    """Check that a database contains only plain tables and indexes, as alkit writes them; it may be empty.

    Raises
    ------
    StoreError
        It contains something else, such as a trigger, or it is not a record. The message names it.
    """
    try:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    except UnicodeDecodeError as reason:  # SQLite quotes the malformed part in its message
        raise sqlite3.DatabaseError("malformed database schema: a text in it is not Unicode") from reason
    names = {name for kind, name, _ in rows if kind == "table"}
    if names and "facts" not in names:
        raise StoreError(
            f"{path} is a database, but not a record of alkit",
            got=one_line(f"tables {', '.join(sorted(map(str, names)))}", 500),
            hint="choose another file",
        )
    if (strange := _strange(tuple(rows))) is not None:
        raise StoreError(
            f"{path} contains {strange}, which alkit never writes",
            hint="do not use a record that a stranger has changed; alkit repair saves its rows into a new record",
        )


@lru_cache(maxsize=16)
def _strange(rows: Sequence[tuple[object, object, object]]) -> str | None:
    """Name the first part of a schema that is neither a plain table nor a plain index; None if there is none."""
    for kind, name, sql in rows:
        text = _normalised(sql) if isinstance(sql, str) else None
        plain = {"table": _TABLE, "index": _INDEX}.get(str(kind))
        if plain is None:
            return one_line(f"the {kind} {name!r}", 200)
        if text is None and kind == "index" and str(name).startswith("sqlite_autoindex_"):
            continue
        if text is None or not (plain.fullmatch(text) or _STATISTICS.fullmatch(text)):
            return one_line(f"the {kind} {name!r} of another form", 200)
    return None


def _normalised(sql: str) -> str:
    """Return a definition in lower case, with one space between words and signs."""
    return " ".join(re.sub(r"([(),])", r" \1 ", sql).lower().split())


def read_tables_only(connection: sqlite3.Connection) -> None:
    """Let a connection read tables and nothing else: no view, no function, no other database."""

    def decide(action: int, *names: str | None) -> int:
        allowed = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ) and names[-1] is None
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(decide)
