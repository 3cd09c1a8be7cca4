"""Records in places where nothing can be written: a copy of the database is read.

SQLite needs to write beside a database in write-ahead mode, even to read it. Without that it ignores the write-ahead
log or fails. The copy contains the log and the journal. The files of labels and models are read where they are.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from alkit.errors import StoreBusyError, StoreError

PARTS = ("", "-wal", ".journal", ".journal.new")
"""What is added to the name of a record for each file of its database."""

TRIES, PAUSE = 20, 0.1
"""Number of attempts to copy a database that another computer is writing, and the seconds between two of them."""


def is_read_only(record: Path) -> bool:
    """Whether a record exists, and its file or its folder cannot be written."""
    return record.is_file() and not (_can_write(record) and _can_write(record.parent))


def _can_write(path: Path) -> bool:
    effective = os.access in os.supports_effective_ids  # not on Windows
    return os.access(path, os.W_OK, effective_ids=effective)


def copy_database(record: Path, folder: Path) -> Path:
    """Copy the database of a record into a folder as it is at one moment, and return the copy.

    Raises
    ------
    StoreBusyError
        Its files changed during every attempt.
    StoreError
        A file cannot be read.
    """
    copy = folder / record.name
    try:
        for _ in range(TRIES):
            before = versions_of(record)
            for part in PARTS:
                source, target = record.with_name(record.name + part), copy.with_name(copy.name + part)
                target.unlink(missing_ok=True)
                if source.is_file():
                    shutil.copyfile(source, target)
            if versions_of(record) == before:
                return copy
            time.sleep(PAUSE)
    except OSError as reason:
        raise StoreError(f"{record} cannot be read ({reason.strerror})") from reason
    raise StoreBusyError(
        f"{record} is in a read-only place, and was changed while it was being copied", hint="try again later"
    )


def versions_of(record: Path) -> list[tuple[int, int, int] | None]:
    """Return for each file of a database what shows that it has changed; None if it does not exist."""
    found: list[tuple[int, int, int] | None] = []
    for part in PARTS:
        try:
            facts = record.with_name(record.name + part).stat()
            found.append((facts.st_ino, facts.st_size, facts.st_mtime_ns))
        except FileNotFoundError:
            found.append(None)
    return found
