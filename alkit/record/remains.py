"""What is left of a damaged record: its database, its journal, its backups and its files. All of it is only read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alkit.errors import ConfigurationError, StoreError
from alkit.record.address import VARIABLE, Address, Server
from alkit.record.backups import latest_first
from alkit.record.database import Database
from alkit.record.elsewhere import ELSEWHERE, given_address, ids_at, place_elsewhere
from alkit.record.files import Files, files_in
from alkit.record.journal_objects import JournalObjects
from alkit.record.replay import Content, History, apply, empty, history_of, read_history
from alkit.record.salvage import Source, read_server, read_source


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
    """

    path: Path | Server
    journal: str
    database: Source | None
    history: History | None
    backups: list[Source]
    files: Files

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
    """
    path = address.database
    if isinstance(path, Server):
        return _on_server(path, address)
    database = read_source(path) if path.is_file() else None
    history = read_history(path.with_name(f"{path.name}.journal"))
    backups = [read_source(backup) for backup in latest_first(path.with_name(f"{path.name}.backups"))]
    files = files_in(path.with_name(f"{path.name}.files"))
    contents = [one.content for one in (database, *backups) if one]
    if (id := _id_in([*contents, _told(history)])) is not None:
        files = Files(place_elsewhere(_known(address), id))
    return Remains(path, f"{path.name}.journal", database, history, backups, files)


def _on_server(server: Server, address: Address) -> Remains:
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
    journal = JournalObjects(place.inside("journal"))
    history = None
    with suppress(OSError):
        history = history_of(journal.content(source.position if source else None))
    return Remains(server, f"the journal in {files}", source, history, [], Files(place))


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
            with suppress(ValueError):
                return str(json.loads(row["value"]))
    return None
