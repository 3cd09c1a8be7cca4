"""Records of tests in other databases: with ``ALKIT_RECORDS``, each file of a test stands for a campaign on a server.

``ALKIT_RECORDS=postgresql`` keeps records in PostgreSQL and their files in folders, and ``postgresql+s3`` keeps the
files in an object store. ``sqlite+s3`` leaves the database of a new record in its file. ``gs`` and ``az`` instead of
``s3`` are the object stores of Google and Azure. The tests stay as they are. Those of the files of SQLite are marked
with ``sqlite``.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from alkit.record import Store, address
from alkit.record.check import check, check_server, find_damage
from alkit.record.database import Database
from alkit.record.tables import TABLES

KIND = os.environ.get("ALKIT_RECORDS", "sqlite")


def redirect(monkeypatch, url, files) -> None:
    """Let each path stand for a campaign of a server, unless `url` is None, and its files be at an address."""
    for name in ("record.store", "record.existing", "record.repairing", "experiment.loop", "cli.stores"):
        importlib.import_module(f"alkit.{name}")
    monkeypatch.setenv(address.VARIABLE, files)
    plain = address.locate

    def locate(store, given=None):
        found = plain(store, given)
        if not isinstance(found.database, Path):
            return found
        if url is None:
            known = found.database.exists() and found.database.stat().st_size > 0
            return found if known or found.files else address.Address(found.database, files)
        name = f"t{hashlib.sha256(str(found.database).encode()).hexdigest()[:20]}"
        return address.Address(plain(url(name)).database, found.files or files)

    for module in list(sys.modules.values()):
        if getattr(module, "locate", None) is plain:
            monkeypatch.setattr(module, "locate", locate)


def change(store, statement: str) -> None:
    """Run a statement in a record's database, as nobody should."""
    if isinstance(store.path, Path):
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute(statement)
        return
    with store.database.backend.connect() as connection:
        driver = connection.connection.driver_connection
        driver.execute(f'SET search_path TO "{store.path.campaign}"')
        driver.execute(statement)


def everything(store: Store) -> bytes:
    """Return all that is in a record: its files, its journal and its database."""
    found = [store.contents.place.get(name) for name in store.contents.names()]
    if isinstance(store.path, Path):
        beside = [path for path in store.path.parent.rglob("*") if path.is_file()]
        return b"".join([*found, *(path.read_bytes() for path in beside if str(path).startswith(str(store.path)))])
    journal = store.database.journal.place
    with store.database.reading() as connection:
        rows = [repr(connection.execute(sa.select(table)).all()).encode() for table in TABLES]
    return b"".join([*found, *rows, *map(journal.get, journal.names())])


def database_at(path: Path) -> Database:
    """Return the database of a record that exists, wherever it is kept."""
    if not KIND.startswith("postgresql"):
        return Database(path, 1.0)
    if path not in _opened:
        _opened[path] = Store(path)
    found = Database(_opened[path].path, 10.0)
    found.backend.attach(_opened[path].database.journal)
    return found


_opened: dict[Path, Store] = {}  # a test may delete the fact that tells where the journal is


def damage_of(store: Store) -> tuple[str, ...]:
    """Return what is damaged in a record, its files and its backups."""
    if isinstance(store.path, Path):
        found = check(store.path, files=store.contents)
    else:
        found = check_server(store.database, store.contents)
    return (*found.damage, *found.damaged_backups)


def damage_at(path: Path) -> list[str]:
    """Return what is damaged in a database file; on a server, rows are checked when they are read."""
    return [] if KIND.startswith("postgresql") else list(find_damage(path))
