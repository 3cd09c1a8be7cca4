"""What is left of a damaged record: its database, its journal, its backups and its files. All of it is only read.

Another process may write to the record meanwhile. Its parts are then read again, until they are those of one moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alkit.errors import ConfigurationError, StoreBusyError, StoreError
from alkit.record.address import VARIABLE, Address, Server
from alkit.record.backups import latest_first
from alkit.record.check import position_of
from alkit.record.database import Database
from alkit.record.elsewhere import ELSEWHERE, given_address, ids_at, place_elsewhere
from alkit.record.files import Files, files_in
from alkit.record.journal_lines import Position
from alkit.record.journal_objects import JournalObjects
from alkit.record.places import not_permitted
from alkit.record.read_only import versions_of
from alkit.record.replay import Content, History, apply, empty, history_of, read_history
from alkit.record.salvage import Source, read_server, read_source

TRIES, PAUSE = 50, 0.1
"""Number of attempts to read a record that another process is writing, and the seconds between two of them."""


@dataclass(frozen=True)
class Remains:
    """What is left of a record.

    Parameters
    ----------
    path:
        The record's file, or its campaign on a server.
    journal:
        The name of its journal, for messages.
    database:
        What its database says; None if it cannot be read.
    history:
        Its journal; None if it cannot be read.
    backups:
        Its backups, the latest first.
    files:
        Its labels and models.
    version:
        What differs after each change of the record, as :func:`version_of` returns it.
    """

    path: Path | Server
    journal: str
    database: Source | None
    history: History | None
    backups: list[Source]
    files: Files
    version: object

    @property
    def exists(self) -> bool:
        """Whether the database is there, however damaged."""
        return self.path.exists() if isinstance(self.path, Path) else self.database is not None


def remains_of(address: Address) -> Remains:
    """Return what is left of a record.

    Raises
    ------
    ConfigurationError
        Its files are elsewhere, and nobody has said where, or which of several records is meant.
    StoreBusyError
        Another process changed it during every attempt.
    """
    for _ in range(TRIES):
        before = version_of(address)
        found = _read(address, before)
        if _fit(found) or version_of(address) == before:
            return found
        time.sleep(PAUSE)
    raise StoreBusyError(
        f"{address} was changed by another process whenever it was being read",
        hint="close the programs that use it, or try again later",
    )


def version_of(address: Address) -> object:
    """Return what differs after each change of a record: its files' sizes and times, or the end of its journal."""
    path = address.database
    if isinstance(path, Server):
        database = Database(path, wait=30.0)
        try:
            return position_of(database)
        finally:
            database.close()
    backups = path.with_name(f"{path.name}.backups")
    return versions_of(path), sorted(backup.name for backup in backups.glob("*.db"))


def _fit(found: Remains) -> bool:
    """Whether everything that was read is intact and belongs together, also if it was changed meanwhile."""
    database, history = found.database, found.history
    if database is None or history is None or database.position is None or not database.is_intact:
        return False
    lines = [one.lines for one in (database, *found.backups)]
    return history.ends_well and history.continues(database.position) and max(lines) <= history.end.lines


def _read(address: Address, version: object) -> Remains:
    path = address.database
    if isinstance(path, Server):
        return _on_server(path, address, version)
    # The backups before the database, and the database before the journal, which then has at least their changes.
    backups = [read_source(one) for one in latest_first(path.with_name(f"{path.name}.backups")) if one.exists()]
    database = read_source(path) if path.is_file() else None
    history = read_history(path.with_name(f"{path.name}.journal"), database.position if database else None)
    files = files_in(path.with_name(f"{path.name}.files"))
    contents = [one.content for one in (database, *backups) if one]
    if (id := _id_in([*contents, _told(history)])) is not None:
        files = Files(place_elsewhere(_known(address), id))
    return Remains(path, f"{path.name}.journal", database, history, backups, files, version)


def _on_server(server: Server, address: Address, version: object) -> Remains:
    files = _known(address)
    database = Database(server, wait=30.0)
    source = read_server(database)
    database.close()
    if (id := _id_in([source.content] if source else [])) is None:
        match ids_at(files):
            case [id]:
                pass
            case []:
                raise StoreError(f"nothing of {server} is left, and {files} has no files of a record")
            case ids:
                raise ConfigurationError(
                    f"{files} has the files of several records, and the database does not say which belong to {server}",
                    got=", ".join(ids),
                    hint=f"a place that has only a copy of the right folder, such as {ids[0]}",
                )
    place = place_elsewhere(files, id)
    history = _history_in(JournalObjects(place.inside("journal")), source.position if source else None)
    return Remains(server, f"the journal in {files}", source, history, [], Files(place), version)


def _history_in(journal: JournalObjects, end: Position | None) -> History | None:
    """Return a journal of objects; None if it cannot be read. Another process may replace its objects meanwhile."""
    for _ in range(3):
        try:
            return history_of(journal.content(end))
        except PermissionError as reason:
            raise not_permitted(journal.path, reason) from reason
        except OSError:
            pass
    return None


def _known(address: Address) -> str:
    if (found := given_address(address.files)) is None:
        raise ConfigurationError(
            f"the labels and models of {address} are elsewhere, and the record does not say where",
            hint=f"files='s3://bucket/prefix', or {VARIABLE} in the environment",
        )
    return found


def _told(history: History | None) -> Content:
    content = empty()
    apply(content, history.after(0) if history else ())
    return content


def _id_in(contents: Iterable[Content]) -> str | None:
    """Return the id of the record's files elsewhere, which the first of some contents has that has one."""
    for content in contents:
        if (row := content["facts"].get((ELSEWHERE,))) is not None:
            with suppress(ValueError, RecursionError):
                return str(json.loads(row["value"]))
    return None
