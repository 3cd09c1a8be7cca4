"""Backups with what their record lacks: an earlier copy was restored, or the end of the record was lost.

The record may have gone on, and have more lines than such a backup since. So the digest at the end of the backup is
looked for in the journal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from alkit.errors import StoreError
from alkit.record import guard
from alkit.record.backups import is_regular, latest_first, lines_in
from alkit.record.journal import Journal
from alkit.record.merging import lacks
from alkit.record.salvage import read_source

LARGEST = 2**24
"""Greatest number of bytes of a backup that is read when a record is opened."""


def later_backups(record: Path, database: Path, lines: int | None = None) -> Iterator[str]:
    """Yield a sentence about each backup that has answers or rounds which an intact record lacks, the latest first.

    A removal begins the journal again, so a backup from before it can have more lines and nothing new.

    Parameters
    ----------
    database:
        The database, or a copy of it.
    lines:
        Number of lines of the journal. Then backups are not read whose names state no more, that are large, or that
        have no more rows.

    Raises
    ------
    StoreError
        There is no space for copies of the two.
    """
    journal = Journal(record.with_name(f"{record.name}.journal"))
    for copy in latest_first(record.with_name(f"{record.name}.backups")):
        if not is_regular(copy) or (lines is not None and (lines_in(copy) <= lines or copy.stat().st_size > LARGEST)):
            continue
        if lines is not None and not _has_more(copy, database):
            continue
        backup = read_source(copy)
        own = read_source(database)  # after the backup, because another process may write meanwhile
        is_older = backup.lines > own.lines
        goes_on = not is_older and backup.position is not None and not journal.passes(backup.position)
        if (is_older or goes_on) and (more := lacks(own.content, backup.content)):
            how = "went on from an earlier copy than" if goes_on else "is older than"
            yield (
                f"{record.name} {how} its backup {copy.name}, which has {more} that the record lacks: an earlier copy "
                "was restored, or its end was lost. If it was restored on purpose, delete such backups"
            )


def _has_more(backup: Path, database: Path) -> bool:
    """Whether a backup has more answers, more that were sent back, or more rounds; all rows are not read for it."""
    try:
        return any(more > own for more, own in zip(_numbers(backup), _numbers(database), strict=True))
    except (sqlite3.Error, StoreError):
        return False  # it is damaged, which `alkit check` says


def _numbers(database: Path) -> tuple[int, ...]:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        guard.harden(connection)
        guard.check_schema(database, connection)
        counts = "SELECT count(*) FROM answers", "SELECT count(rejected) FROM answers", "SELECT count(*) FROM rounds"
        return tuple(connection.execute(text).fetchone()[0] for text in counts)
