"""Saving what is whole of a damaged record into a new one. The old one is only read, and stays as it is."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alkit._files import make_folder
from alkit.errors import AlkitError, StoreError
from alkit.record.store import SCHEMA, TABLES, Store, insert, sealed

Rows = dict[tuple[Any, ...], dict[str, Any]]
"""Rows by primary key."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What came of a repair.

    Parameters
    ----------
    path:
        The new record.
    saved:
        Rows by table: ``answers``, ``queries``, ``rounds`` and others.
    from_backup:
        How many of them were found in a backup only.
    lost:
        What is known to be lost, a sentence each; empty where nothing is.
    """

    path: Path
    saved: Mapping[str, int]
    from_backup: int
    lost: tuple[str, ...]


def repair(damaged: str | Path, out: str | Path) -> Repaired:
    """Save what is whole of a record into a new one.

    Of a whole database all rows are taken. Of a damaged one they are taken one by one, and from its backups, each
    checked by its seal, the later version of a row first; files are taken where they are what their name says. An
    answer whose label is lost is left out, so that its image is asked for again. Where the last model is lost, the
    rounds are forgotten: queries and answers stay, and the next :meth:`Experiment.fit` trains on all of them anew.

    Parameters
    ----------
    damaged:
        The record's file. It need not be readable, nor even there, as long as a backup is.
    out:
        The new record's file; it may not exist.

    Raises
    ------
    StoreError
        There is something at `out`, or nothing to save.

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
        raise StoreError(f"there is something at {new} already", hint="another name: nothing is overwritten")
    backups = [] if _is_whole(old) else sorted(old.with_name(old.name + ".backups").glob("*.db"), reverse=True)
    sources = [_whole_rows(path) for path in [old, *backups] if path.is_file()]
    tables: dict[str, Rows] = {table.name: {} for table in TABLES}
    for source in reversed(sources):  # the oldest first, and later ones over them
        for name, rows in source.items():
            tables[name].update(rows)
    if tables["facts"].get(("schema",), {}).get("value") != SCHEMA:
        raise StoreError(
            f"there is no record at {old} that could be saved",
            got=f"{len(sources)} files, none with a whole row that says schema {SCHEMA}",
        )
    first = sources[0] if old.is_file() else {}
    from_backup = sum(len(rows.keys() - first.get(name, {}).keys()) for name, rows in tables.items())
    store = Store(new)
    try:
        lost = [*_leave_out(tables, old.with_name(old.name + ".files"), store.files), *_gaps(tables)]
        with store._transaction() as connection:
            connection.execute(sa.delete(next(table for table in TABLES if table.name == "facts")))
            for table in TABLES:
                insert(connection, table, list(tables[table.name].values()))
    finally:
        store.close()
    return Repaired(new, {name: len(rows) for name, rows in tables.items()}, from_backup, tuple(lost))


def _is_whole(path: Path) -> bool:
    """Whether a database opens without complaint; it is tried on a copy."""
    with tempfile.TemporaryDirectory(prefix="alkit-repair-") as folder:
        try:
            if path.is_file():
                Store(_copied(path, Path(folder))).close()
                return True
        except AlkitError:
            pass
    return False


def _copied(path: Path, folder: Path) -> Path:
    """Copy a database and what is in its log."""
    copy = folder / "record.db"
    for suffix in ("", "-wal"):
        if (part := path.with_name(path.name + suffix)).is_file():
            shutil.copyfile(part, copy.with_name(copy.name + suffix))
    return copy


def _leave_out(tables: Mapping[str, Rows], old: Path, new: Path) -> Iterator[str]:
    """Take the files over, take what hangs on lost ones out of the tables, and say what that was."""

    def taken(name: str | None) -> bool:
        if name is None:
            return True
        try:
            whole = hashlib.sha256((old / name).read_bytes()).hexdigest() == name.partition(".")[0]
        except OSError:
            return False
        if whole:
            shutil.copyfile(old / name, make_folder(new) / name)
        return whole

    for name, rows in (("answers", tables["answers"]), ("pseudo_labels", tables["pseudo_labels"])):
        for key, row in list(rows.items()):
            if not taken(row["label"]):
                del rows[key]
                yield f"a label of {row['id']!r} ({name}): its file is missing or damaged"
    for row in tables["queries"].values():
        if not taken(row["prelabel"]):
            row["prelabel"] = None
            yield f"the pre-label of {row['id']!r}: its file is missing or damaged"
    for key in list(tables["consumed"]):
        if key not in tables["answers"]:
            del tables["consumed"][key]
    rounds = tables["rounds"]
    last = max(rounds, default=None)
    # Of an earlier version of the row of a round that is no longer the last, the model was deleted since.
    for key, row in rounds.items():
        if key != last:
            row["model"] = None
    if last is not None and (rounds[last]["model"] is None or not taken(rounds[last]["model"])):
        yield f"the model of round {last[0]}: its file is missing or damaged, so the rounds are forgotten"
        rounds.clear()
        tables["consumed"].clear()


def _gaps(tables: Mapping[str, Rows]) -> Iterator[str]:
    """Say which rows must have been there and are not."""
    asked: dict[int, list[int]] = {}
    for round, rank in tables["queries"]:
        asked.setdefault(round, []).append(rank)
    for round, ranks in sorted(asked.items()):
        if gone := set(range(max(ranks) + 1)) - set(ranks):
            yield f"{len(gone)} queries of round {round}"
    known = {row["id"] for row in tables["queries"].values()}
    for key, row in list(tables["answers"].items()):
        if row["id"] not in known:
            del tables["answers"][key]
            yield f"an answer for {row['id']!r}: its query is lost"
    numbers = [number for (number,) in tables["answers"]]
    if missing := max(numbers, default=0) - len(numbers):
        yield f"{missing} answers in all (those named above among them)"
    rounds = {round for (round,) in tables["rounds"]}
    if without := sorted(set(range(max(rounds, default=0))) - rounds):
        yield f"the figures of round {', '.join(map(str, without))}"
    for name in ("configuration", "declared", "seed", "classes"):
        if (name,) not in tables["facts"] and tables["queries"]:
            yield f"the setting {name!r}: pass the parts to Experiment(...) as they were"


def _whole_rows(path: Path) -> dict[str, Rows]:
    """Return the rows of a database that can be read and whose seals hold; it is read from a copy."""
    found: dict[str, Rows] = {}
    with tempfile.TemporaryDirectory(prefix="alkit-repair-") as folder:
        copy = _copied(path, Path(folder))
        for table in TABLES:
            found[table.name] = {}
            for order in ("ASC", "DESC"):  # up to the damage, from both sides
                for row in _rows(copy, table, order):
                    found[table.name][tuple(row[column.name] for column in table.primary_key)] = row
    return found


def _rows(path: Path, table: sa.Table, order: str) -> Iterator[dict[str, Any]]:
    names = [column.name for column in table.columns]
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            statement = f"SELECT {', '.join(names)} FROM {table.name} ORDER BY rowid {order}"
            for raw in connection.execute(statement):
                row = _restored(table, dict(zip(names, raw, strict=True)))
                if row is not None:
                    yield row
    except sqlite3.Error:
        return  # what was yielded before is whole; what lies behind is not to be had from this side


def _restored(table: sa.Table, raw: dict[str, Any]) -> dict[str, Any] | None:
    """Return a row as it was written; None where its seal does not hold."""
    try:
        for column in table.columns:
            if isinstance(raw[column.name], str) and isinstance(column.type, sa.JSON):  # SQLite keeps a number as one
                raw[column.name] = json.loads(raw[column.name])
            elif raw[column.name] is not None and isinstance(column.type, sa.Boolean):
                raw[column.name] = bool(raw[column.name])
        return raw if sealed(table, raw)["seal"] == raw["seal"] else None
    except (TypeError, ValueError):
        return None
