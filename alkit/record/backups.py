"""Backups of a record's database: the two latest copies, and one from before each migration.

A copy is named by the number of lines that the record's journal had. A clock that is wrong changes nothing. Copies that
the journal does not continue are those of a state that was replaced by an earlier copy of the record. They may have the
only copy of an answer, so they are kept until somebody deletes them.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from alkit._files import make_folder, sync_folder, temporary_file
from alkit._reading.inside import leads_out
from alkit.errors import StoreError
from alkit.record import guard
from alkit.record.journal import Journal
from alkit.record.journal_lines import Position, own_digest
from alkit.record.places import remove

KEPT = 2
"""Number of regular backups that are kept."""

REGULAR = "lines-*.db"
"""Names of regular backups."""

BY_TIME = "[0-9]*.db"
"""Names of those that alkit made before there was a journal. They are deleted when there are enough others."""


def back_up(database: Path, folder: Path, wait: float, name: str | None = None) -> Path:
    """Copy a database as it is now, completely or not at all, and return the copy.

    ``VACUUM INTO`` reads every row, so it also fails on a database whose pages are damaged. It takes about 1 us of CPU
    time for each query and answer: 0.01 s for 10,000 of each.

    Parameters
    ----------
    wait:
        Seconds to wait for another process that is writing.
    name:
        Name of the copy; the default is the number of the journal's lines. Only such copies are replaced by later ones.

    Raises
    ------
    StoreError
        The database is damaged, or the copy cannot be written.
    """
    make_folder(folder)
    try:
        with temporary_file(folder) as copy:
            with closing(sqlite3.connect(database, timeout=wait)) as connection:
                guard.harden(connection)
                guard.check_pages(connection)
                connection.execute("VACUUM INTO ?", (str(copy),))
            end = _position(copy) if name is None else Position()
            target = folder / (name or f"lines-{end.lines:012}.db")
            with copy.open("rb+") as file:
                os.fsync(file.fileno())
            if name is None:
                _set_aside(target, end)
            os.replace(copy, target)
        sync_folder(folder)
    except (sqlite3.Error, UnicodeDecodeError, OSError) as reason:
        raise StoreError(
            f"cannot back up {database} ({reason})",
            hint="check that its folder is writable and the disk has space, and run alkit check",
        ) from reason
    own = [path for path in _regular(folder) if not _is_of_another_state(path, target, database)]
    remove(folder, own[KEPT:])
    return target


def _set_aside(target: Path, end: Position) -> None:
    """Give another name to a backup of another state that has as many lines as the one which is made now."""
    if target.exists():
        try:
            other = _position(target)
        except sqlite3.OperationalError:
            raise  # it cannot be read now, so nobody knows
        except (sqlite3.Error, StoreError, TypeError):
            return  # it is damaged
        if other != end:
            os.replace(target, target.with_stem(f"{target.stem}-{own_digest(other.chain.encode())}"))


def _is_of_another_state(backup: Path, latest: Path, database: Path) -> bool:
    """Whether a backup is later than the latest one of a record, or its journal does not continue it."""
    if not (is_regular(backup) and is_regular(latest)) or backup == latest:
        return False
    if backup.name > latest.name:
        return True
    try:
        journal = Journal(database.with_name(f"{database.name}.journal"))
        return journal.path.exists() and not journal.passes(_position(backup))
    except sqlite3.OperationalError:
        return True  # it cannot be read now, so nobody knows
    except (sqlite3.Error, StoreError, TypeError):
        return False  # it is damaged


def latest_first(folder: Path) -> list[Path]:
    """Return all backups, the latest first; those from before a migration come last.

    Symbolic links that lead out of the folder are left out, and so are pipes.
    """
    regular = _regular(folder)
    found = [*regular, *sorted(set(folder.glob("*.db")) - set(regular), reverse=True)]
    return [path for path in found if path.is_file() and not leads_out(path, folder)]


def check_whole(backup: Path) -> None:
    """Raise an :class:`OSError` if a backup cannot be read to its end."""
    with backup.open("rb") as file:
        while file.read(2**20):
            pass


def is_regular(backup: Path) -> bool:
    """Whether a backup has the present schema."""
    return backup.match(REGULAR)


def lines_in(backup: Path) -> int:
    """Return the number of lines that the name of a regular backup states; 0 if it is no number."""
    number = backup.stem.removeprefix("lines-")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else 0


def _regular(folder: Path) -> list[Path]:
    return [path for pattern in (REGULAR, BY_TIME) for path in sorted(folder.glob(pattern), reverse=True)]


def _position(database: Path) -> Position:
    with closing(sqlite3.connect(database)) as connection:
        guard.harden(connection)
        guard.check_schema(database, connection)
        return Position(*connection.execute("SELECT lines, length, chain FROM journal").fetchone())
