"""Repair of a damaged record: everything that is intact is saved into a new record. The damaged one is only read."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alkit._files import temporary_folder, write_atomically
from alkit.errors import StoreError
from alkit.record import guard, migrations, tables
from alkit.record.backups import latest_first
from alkit.record.check import find_damage
from alkit.record.digests import is_whole
from alkit.record.files import read_content
from alkit.record.store import Store

Rows = dict[tuple[Any, ...], dict[str, Any]]
"""Rows by primary key, without their digests."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """Result of a repair.

    Parameters
    ----------
    path:
        The new record.
    saved:
        Number of rows by table: ``answers``, ``queries``, ``rounds`` and others.
    from_backup:
        Number of those rows that only a backup had.
    lost:
        A sentence about each known loss; empty if nothing is known to be lost.
    """

    path: Path
    saved: Mapping[str, int]
    from_backup: int
    lost: tuple[str, ...]


def repair(damaged: str | Path, out: str | Path) -> Repaired:
    """Save everything that is intact in a record into a new one.

    All rows of an undamaged database are taken. From a damaged database and its backups, rows are taken one by one:
    each is checked by its digest, and the latest version of a row wins. Files are taken if their content matches their
    name. An answer is left out if its label is lost, so its image is asked for again. If the last model is lost, the
    rounds are deleted; queries and answers stay, and the next :meth:`Experiment.fit` trains on all of them.

    Parameters
    ----------
    damaged:
        The record's file. If it cannot be read or does not exist, its backups are used.
    out:
        The new record's file, which must not exist.

    Raises
    ------
    StoreError
        `out` exists, or nothing can be saved.

    Examples
    --------
    >>> import alkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder) / "a.db")
    ...     store.declare({"seed": 3})
    ...     store.close()
    ...     repaired = repair(Path(folder) / "a.db", Path(folder) / "b.db")
    ...     repaired.saved["facts"], repaired.lost
    (2, ())
    """
    old, new = Path(damaged).absolute(), Path(out).absolute()
    if new.exists():
        raise StoreError(f"{new} exists already", hint="another name: nothing is overwritten")
    guard.check_files(old)
    backups = [] if _is_intact(old) else latest_first(old.with_name(old.name + ".backups"))
    sources = [_read_intact_rows(path) for path in [old, *backups] if path.is_file()]
    rows: dict[str, Rows] = {table.name: {} for table in tables.TABLES}
    for source in reversed(sources):  # the latest version of a row comes last
        for name, own in source.items():
            rows[name].update(own)
    if ("schema",) not in rows["facts"]:
        raise StoreError(
            f"nothing in {old} could be saved",
            got="neither the file nor a backup has an intact row that tells its schema" if sources else "no such file",
            expected=f"a record of schema {min(migrations.STEPS)} to {tables.SCHEMA}",
            hint="check the path",
        )
    first = sources[0] if old.is_file() else {}
    from_backup = sum(len(own.keys() - first.get(name, {}).keys()) for name, own in rows.items())
    store = Store(new)
    try:
        lost = [*_drop_lost_files(rows, old.with_name(old.name + ".files"), store.files), *_find_gaps(rows)]
        with store.database.transaction() as connection:
            plain = {name: list(own.values()) for name, own in rows.items()}
            migrations.write(store.database, connection, plain)
    finally:
        store.close()
    return Repaired(new, {name: len(own) for name, own in rows.items()}, from_backup, tuple(lost))


def _is_intact(path: Path) -> bool:
    """Whether a database of the present schema has no damage; a copy of it is read."""
    if not path.is_file():
        return False
    with temporary_folder() as folder:
        return next(find_damage(_copy(path, folder)), None) is None


def _copy(path: Path, folder: Path) -> Path:
    """Copy a database and its write-ahead log."""
    copy = folder / "record.db"
    for suffix in ("", "-wal"):
        if (part := path.with_name(path.name + suffix)).is_file():
            shutil.copyfile(part, copy.with_name(copy.name + suffix))
    return copy


def _drop_lost_files(rows: Mapping[str, Rows], old: Path, new: Path) -> Iterator[str]:
    """Copy intact files, delete the rows that depend on lost ones, and yield a sentence about each loss."""

    def copy(name: str | None) -> bool:
        if name is None:
            return True
        try:
            content = read_content(old, name)
        except OSError:
            return False
        if intact := hashlib.sha256(content).hexdigest() == name.partition(".")[0]:
            write_atomically(new / name, content)
        return intact

    for name, own in (("answers", rows["answers"]), ("pseudo_labels", rows["pseudo_labels"])):
        for key, row in list(own.items()):
            if not copy(row["label"]):
                del own[key]
                yield f"a label of {row['id']!r} ({name}): its file is missing or damaged"
    for row in rows["queries"].values():
        if not copy(row["prelabel"]):
            row["prelabel"] = None
            yield f"the pre-label of {row['id']!r}: its file is missing or damaged"
    rounds = rows["rounds"]
    last = max(rounds, default=None)
    # An earlier version of the row of a round may name a model that was deleted later.
    for key, row in rounds.items():
        if key != last:
            row["model"] = None
    if last is not None and (rounds[last]["model"] is None or not copy(rounds[last]["model"])):
        yield f"the model of round {last[0]}: its file is missing or damaged, so all rounds are deleted"
        rounds.clear()
        for row in rows["answers"].values():
            row.update(used_from=None, used_until=None)


def _find_gaps(rows: Mapping[str, Rows]) -> Iterator[str]:
    """Yield a sentence about rows that must have existed and are lost; delete answers whose query is lost."""
    asked: dict[int, list[int]] = {}
    for round, rank in rows["queries"]:
        asked.setdefault(round, []).append(rank)
    for round, ranks in sorted(asked.items()):
        if gone := set(range(max(ranks) + 1)) - set(ranks):
            yield f"{len(gone)} queries of round {round}"
    known = {row["id"] for row in rows["queries"].values()}
    for key, row in list(rows["answers"].items()):
        if row["id"] not in known:
            del rows["answers"][key]
            yield f"an answer for {row['id']!r}: its query is lost"
    numbers = [number for (number,) in rows["answers"]]
    if missing := max(numbers, default=0) - len(numbers):
        yield f"{missing} answers in all (including those named above)"
    rounds = {round for (round,) in rows["rounds"]}
    if without := sorted(set(range(max(rounds, default=0))) - rounds):
        yield f"the figures of round {', '.join(map(str, without))}"
    for name in ("configuration", "declared", "seed", "classes"):
        if (name,) not in rows["facts"] and rows["queries"]:
            yield f"the setting {name!r}: pass the parts to Experiment(...) as they were"


def _read_intact_rows(path: Path) -> dict[str, Rows]:
    """Return the readable rows of a database whose digests hold, in the present schema. A copy of it is read."""
    found: migrations.Plain = {}
    schema = tables.SCHEMA
    with temporary_folder() as folder:
        copy = _copy(path, folder)
        for name in [*(table.name for table in tables.TABLES), "consumed"]:  # schema 3 has a table `consumed`
            own: dict[object, dict[str, Any]] = {}
            for order in ("ASC", "DESC"):  # up to the damage, from both ends
                for number, row in _read_rows(copy, name, order):
                    schema = 3 if "seal" in row else schema
                    own[number] = migrations.strip(row)
            found[name] = list(own.values())
    plain = found if schema == tables.SCHEMA else migrations.migrate_rows(found, schema)
    return {
        table.name: {tuple(row[column.name] for column in table.primary_key): row for row in plain[table.name]}
        for table in tables.TABLES
    }


def _read_rows(path: Path, table: str, order: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the intact rows of a table with their row numbers, up to the first damaged page."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            guard.harden(connection)
            (kind, sql) = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            if kind != "table" or "virtual" in sql.lower().split():
                return
            guard.read_tables_only(connection)
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            cursor = connection.execute(f"SELECT rowid, * FROM {table} NOT INDEXED ORDER BY rowid {order}")
            names = [column for column, *_ in cursor.description][1:]
            known = {one.name: one.c.keys() for one in tables.TABLES}.get(table, names)
            if len(names) == len(known) and names[-1] != "seal":  # a column's name in the file can be damaged, too
                names = known
            for number, *values in cursor:
                row = dict(zip(names, values, strict=True))
                if is_whole(table, row):
                    yield number, row
    except (sqlite3.Error, TypeError):  # TypeError: the table is not in the schema
        return  # the rows behind the damage cannot be read from this end
