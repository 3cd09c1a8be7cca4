"""Guards for a record that may come from a stranger. They act before anything is written, and before SQLite reads it.

SQLite runs what a database contains: triggers, views, and expressions in the definitions of tables. It also follows
the files beside a database: it writes into a log that is a symbolic link, and a crafted rollback journal makes it
delete any file. alkit writes none of these, so a record with them is refused by name.

In a crafted database many parts can be one part: a page of rows that a table has a million times, or a text that leads
back to its beginning. So a file of a few kilobytes can hold rows without end. No statement takes more than a number of
steps, no result more than a number of bytes, and no such database is copied. These numbers grow with the file, but not
with a gap in it, which takes no room on the disk.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from alkit._reading.inside import leads_out
from alkit.errors import StoreError, one_line

TRACES = (".journal", ".journal.new", ".files", ".backups")
"""Endings of what lies beside a record's file only if there was a record."""

BESIDE = ("-wal", "-shm", "-journal", ".lock", ".owner", *TRACES)
"""Endings of the files and folders beside a database."""

FOLDERS = (".files", ".backups")
"""Those of them that are folders."""

LONGEST = 2**28
"""Greatest number of bytes of a value in a row."""

STEPS, OF_A_BYTE = 10**9, 10**3
"""Most steps of SQLite that the statements of one connection take, and the most besides for each byte of its file. To
read a row takes about 20 steps."""

BETWEEN = 10**6
"""Number of steps after which SQLite looks at these limits."""

MOST_READ, TIMES = 2**28, 32
"""Most bytes of memory that a result may take, and the most besides for each byte of the file."""

PACKED = 64
"""Most bytes of a file for each that it takes on the disk, because some file systems pack what they store."""

MOST_GAP = 2**30
"""Most bytes of a file that it may have besides."""

OF_A_ROW, OF_A_VALUE = 64, 48
"""Bytes of memory that a row, and a value in it, takes without the characters of texts."""

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


def _held(facts: os.stat_result) -> int:
    """Return how many bytes a file can hold; all of them if the file system does not say what it takes."""
    room: int = 512 * getattr(facts, "st_blocks", 0)
    return min(facts.st_size, PACKED * room) if room else facts.st_size


def check_gap(path: Path) -> None:
    """Check that a file is not far larger than what it takes on the disk: to read or copy it would take without end.

    Raises
    ------
    StoreError
        It is.
    """
    with suppress(OSError):
        facts = path.stat()
        if stat.S_ISREG(facts.st_mode) and facts.st_size > _held(facts) + MOST_GAP:
            raise StoreError(
                f"{path} has a gap that no record has",
                got=f"{facts.st_size} bytes, and {512 * facts.st_blocks} of them on the disk",
                hint="delete it, if the record comes from somebody else",
            )


def check_files(path: Path) -> None:
    """Check a database and the files beside it.

    Raises
    ------
    StoreError
        One is a symbolic link that leads out of the folder, a pipe or a device, far larger than what it takes on the
        disk, or a rollback journal that names another file.
    """
    real = path.resolve()
    for own in (real, *(real.with_name(real.name + ending) for ending in BESIDE)):
        check_gap(own)
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
    there = [beside.name for end in TRACES if (beside := path.with_name(path.name + end)).exists()]
    if there and not path.exists():
        raise StoreError(
            f"the record {path} is missing",
            got=f"only {', '.join(there)}",
            hint="alkit repair, which restores it from them into a new record; or move them away",
        )


def harden(connection: sqlite3.Connection) -> None:
    """Make SQLite distrust the database: nothing in its schema may call functions with effects, or never end."""
    # This is called by SQLite without a frame of Python, so that Ctrl-C is noticed where it was before.
    connection.set_progress_handler(chain(repeat(0, STEPS // BETWEEN), repeat(1)).__next__, BETWEEN)
    if most := OF_A_BYTE * _size(connection) // BETWEEN:
        connection.set_progress_handler(chain(repeat(0, STEPS // BETWEEN + most), repeat(1)).__next__, BETWEEN)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    if set_option := getattr(connection, "setconfig", None):  # Python 3.12 and later
        set_option(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)  # type: ignore[attr-defined, unused-ignore]
        set_option(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)  # type: ignore[attr-defined, unused-ignore]
        set_option(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)  # type: ignore[attr-defined, unused-ignore]


def _size(connection: sqlite3.Connection) -> int:
    """Return the number of bytes of the file of a database and of its log; 0 if it has none."""
    found = 0
    for *_, file in connection.execute("PRAGMA database_list").fetchall():  # it reads nothing of the file
        for end in ("", "-wal") if file else ():
            with suppress(OSError):
                found += _held(os.stat(f"{file}{end}"))
    return found


def bounded(rows: Iterable[tuple[Any, ...]], connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a result.

    Raises
    ------
    sqlite3.DatabaseError
        They have far more bytes than the file: its parts lead to each other.
    """
    size, most, is_small = 0, MOST_READ, True
    for row in rows:
        texts = [len(value) for value in row if value.__class__ is str or value.__class__ is bytes]
        size += OF_A_ROW + OF_A_VALUE * len(row) + sum(texts)
        if size > most and is_small:
            most, is_small = most + TIMES * _size(connection), False
        if size > most:
            raise sqlite3.DatabaseError("database disk image is malformed: it has rows without end")
        yield row


def check_pages(connection: sqlite3.Connection) -> None:
    """Check that no page of a database is a part of several others, before it is copied.

    Raises
    ------
    sqlite3.DatabaseError
        A page is.
    """
    complaints = [text for (text,) in connection.execute("PRAGMA quick_check(1)")]
    if complaints != ["ok"]:
        raise sqlite3.DatabaseError(f"database disk image is malformed: {one_line(complaints[0], 200)}")


def check_schema(path: Path, connection: sqlite3.Connection) -> None:
    """Check that a database contains only plain tables and indexes, as alkit writes them; it may be empty.

    Raises
    ------
    StoreError
        It contains something else, such as a trigger, or it is not a record. The message names it.
    """
    try:
        rows = list(bounded(connection.execute("SELECT type, name, sql FROM sqlite_master"), connection))
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
