"""Repair of a damaged record: everything that can be restored goes into a new record. The damaged one is only read.

The journal has every change of a record. The new record is complete if every line of the journal is intact that neither
the database nor a backup covers. Otherwise nobody knows what was taken back in the lost lines. The answers are then
kept, but do not count.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from alkit._files import make_folder
from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, StoreError
from alkit.record import guard, migrations, tables
from alkit.record.address import VARIABLE, Address, Server, locate
from alkit.record.database import Database
from alkit.record.elsewhere import ELSEWHERE, begin_elsewhere, given_address, place_elsewhere
from alkit.record.existing import is_there
from alkit.record.files import Files, files_in
from alkit.record.forgetting import take_out
from alkit.record.journal import Journal
from alkit.record.journal_lines import Position
from alkit.record.journal_objects import JournalObjects
from alkit.record.lost_files import drop_lost_files, named_files
from alkit.record.merging import add_others, disagree, drop_unproven, find_gaps, lacks, merge, removed_in
from alkit.record.postgresql import PostgreSQL
from alkit.record.remains import Remains, remains_of, version_of
from alkit.record.replay import Content, History, Rows, apply, empty
from alkit.record.salvage import Source


@dataclass(frozen=True, slots=True)
class Repaired:
    """Result of a repair.

    Parameters
    ----------
    path:
        The new record.
    saved:
        Number of rows by table: ``answers``, ``queries``, ``rounds`` and others.
    from_journal, from_backup:
        Number of those rows that the database lacked, and that the journal had or only a backup had.
    lost:
        A sentence about each known loss.
    unknown:
        A sentence about each thing that cannot be proved. It is empty only if the database and the journal agree on
        the last change, and every change before it is covered.
    """

    path: Path | Server
    saved: Mapping[str, int]
    from_journal: int
    from_backup: int
    lost: tuple[str, ...]
    unknown: tuple[str, ...]


@checked
def repair(
    damaged: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    trust: bool = False,
    files: str | os.PathLike[str] | None = None,
    out_files: str | os.PathLike[str] | None = None,
) -> Repaired:
    """Restore a record from its database, its journal, its backups and its files, as a new record.

    Other processes may work on the record meanwhile. It is then saved as it was at one moment.

    Whatever was sent back, taken back or withdrawn stays so. An answer whose label is lost does not count, so its image
    is open again. If the last model is lost, the rounds are deleted; queries and answers stay, and the next
    :meth:`Experiment.fit` trains on all of them.

    Parameters
    ----------
    damaged:
        The record's file, or its URL. If it cannot be read or does not exist, its journal and its backups are used.
    out:
        The new record's file or URL. It must not exist. So a record can move from a file to a server, and back.
    trust:
        Whether answers count that may have been taken back in a lost part of the journal. By default they become
        invalid answers, and can be told again.
    files:
        Where the labels and models of the damaged record are, if they are elsewhere; default: ``$ALKIT_FILES``.
    out_files:
        Where those of the new record are kept; default: beside its file, or ``$ALKIT_FILES`` for one on a server.

    Raises
    ------
    StoreError
        `out` exists, or nothing can be restored.
    StoreBusyError
        Another process changed the record during every attempt to read it.
    ConfigurationError
        The files are elsewhere, and nobody has said where.

    Examples
    --------
    >>> import tempfile
    >>> from alkit.record import Store, repair
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder) / "a.db")
    ...     store.declare({"seed": 3})
    ...     store.close()
    ...     repaired = repair(Path(folder) / "a.db", Path(folder) / "b.db")
    ...     repaired.saved["facts"], repaired.lost, repaired.unknown
    (2, (), ())
    """
    source, target = locate(damaged, files), locate(out, out_files)
    old, new = source.database, target.database
    if is_there(target) and not (isinstance(new, Path) and _is_unfinished(new)):
        raise StoreError(
            f"{new} exists already",
            hint="another name, because nothing is overwritten; also after a repair that was interrupted",
        )
    if isinstance(old, Path):
        guard.check_files(old)
    if isinstance(new, Path):
        guard.check_files(new)
        if not new.exists():
            Journal(new.with_name(f"{new.name}.journal")).check_new()
    remains = remains_of(source)
    found = _restored(remains, trust=trust)
    database, kept, elsewhere = _begin(target)
    before, lost_before, lost = {*kept.names()}, None, list[str]()
    while True:
        content = found.content
        content["facts"].pop((ELSEWHERE,), None)
        content["facts"].update(elsewhere)
        lost = list(drop_lost_files(content, remains.files, kept))
        if lost in ([], lost_before) or version_of(source) == remains.version:
            break
        lost_before, remains = lost, remains_of(source)  # another process has replaced the model, or removed an image
        found = _restored(remains, trust=trust)
    if lost_before is not None:
        kept.delete(sorted({*kept.names()} - before - named_files(content)))
    with database.transaction() as connection:
        rows = {name: list(own.values()) for name, own in content.items()}
        migrations.write(database, connection, rows, whole=not found.unknown)
    database.close()
    saved = {name: len(own) for name, own in content.items()}
    return Repaired(new, saved, found.from_journal, found.from_backup, (*found.lost, *lost), found.unknown)


def _restored(remains: Remains, *, trust: bool) -> _Restored:
    """Return the rows that a new record gets, before it is known which of their files are lost."""
    found = _restore(remains)
    content, lost, unknown = found.content, list[str](), list(found.unknown)
    if ("schema",) not in content["facts"]:
        raise StoreError(
            f"nothing in {remains.path} could be saved",
            got="no intact row of the database, its journal or a backup that tells the schema"
            if remains.exists
            else "no such file, and no journal or backup of it",
            expected=f"a record of schema {min(migrations.STEPS)} to {tables.SCHEMA}",
            hint="check the path",
        )
    content["facts"]["schema",]["value"] = json.dumps(tables.SCHEMA)
    lost += take_out(content, found.others.values())
    if found.is_merged:
        lost += find_gaps(content)
    if not found.answers_hold and not trust:
        unknown += drop_unproven(content)
    for name, others in found.others.items():
        unknown += add_others(content, others, name)
    return replace(found, lost=tuple(lost), unknown=tuple(unknown))


def _begin(target: Address) -> tuple[Database, Files, Rows]:
    """Return the database of a new record, the place of its files, and the facts that tell of this place."""
    new, address = target.database, target.files
    database = Database(new, wait=30.0)
    if isinstance(new, Path):
        make_folder(new.parent)
        if address is None:
            return database, files_in(new.with_name(f"{new.name}.files")), {}
    elif (address := given_address(address)) is None:
        raise ConfigurationError(
            f"the labels and models of {new} need a place",
            hint=f"out_files='s3://bucket/prefix', or {VARIABLE} in the environment",
        )
    id = begin_elsewhere(str(address), database.backend.identity())
    place = place_elsewhere(str(address), id, database.backend.identity())
    if isinstance(database.backend, PostgreSQL):
        database.backend.attach(JournalObjects(place.inside("journal")))
    return database, Files(place), {(ELSEWHERE,): {"name": ELSEWHERE, "value": json.dumps(id)}}


def _is_unfinished(record: Path) -> bool:
    """Whether a file has no table yet, as after a repair that was killed."""
    try:
        with closing(sqlite3.connect(record)) as connection:
            return not connection.execute("SELECT name FROM sqlite_master").fetchall()
    except (sqlite3.Error, UnicodeDecodeError):
        return False


@dataclass(frozen=True)
class _Restored:
    """Restored rows.

    Parameters
    ----------
    is_merged:
        Whether lines of the journal are lost that no intact database covers.
    answers_hold:
        Whether no such line can have taken an answer back.
    others:
        By the name of their file the rows that the journal makes, and those of backups that are later than the database
        and the journal. They may belong to another state of the record.
    lost:
        A sentence about each known loss.
    """

    content: Content
    unknown: tuple[str, ...]
    from_journal: int = 0
    from_backup: int = 0
    is_merged: bool = False
    answers_hold: bool = True
    others: Mapping[str, Content] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def _restore(remains: Remains) -> _Restored:
    old, database, history = remains.path, remains.database, remains.history
    unknown = _doubts(remains.journal, database, history)
    told = empty()
    apply(told, history.after(0) if history and (not database or database.schema >= tables.JOURNALLED) else ())
    others = {"the journal": told}
    if history and database and _is_before_removal(database, told):
        database, unknown = None, _doubts(remains.journal, None, history, "older")
    if history and database and _is_foreign(database, history):
        history = None
    all_backups = remains.backups
    journalled = empty()
    apply(journalled, history.after(0) if history else ())
    backups = [one for one in all_backups if not _is_of_another_state(one, database, history, journalled)]
    agree = database is not None and history is not None and database.position == history.end
    if agree and history:
        others |= {one.path.name: one.content for one in all_backups if _is_aside(one, history)}
    left_out = [one for one in all_backups if one not in backups and one.path.name not in others]
    is_latest = agree or not any(_is_later(one, database) for one in backups)
    if database and database.is_intact and is_latest and (history is None or _is_up_to_date(database, history)):
        return _Restored(database.content, (*unknown, *_named(left_out, database.content)), others=others)
    sources = [*reversed(backups), *([database] if database else [])]
    first = database.content if database else empty()
    if history and (agree or (history.ends_well and all(one.lines <= history.end.lines for one in sources))):
        start = Source(old, empty(), Position(), is_intact=True, whole=frozenset())
        bases = [one for one in (start, *sources) if one.is_intact and one.position and history.continues(one.position)]
        if bases:
            base = max(bases, key=lambda one: one.lines)
            content = {name: dict(rows) for name, rows in base.content.items()}
            apply(content, history.after(base.lines))
            unknown = (*unknown, *_named(left_out, content))
            return _Restored(content, unknown, from_journal=_count_new(content, first), others=others)
    unknown = (*unknown, *_named(left_out))
    content = merge(sources, history)
    answers_hold = False
    is_up_to_date = database is not None and is_latest and (history is None or _is_up_to_date(database, history))
    if database and is_up_to_date and {"queries", "answers"} <= database.whole:
        answers_hold = True
        content.update({name: database.content[name] for name in ("queries", "answers")})
    if backups and not history and not answers_hold:
        n = ", ".join(f"{len(backups[0].content[name])} {name}" for name in ("queries", "answers", "rounds"))
        unknown = (*unknown, f"what was recorded after the latest backup, which has {n}")
    if history and history.damaged:
        unknown = (*unknown, f"what {len(history.damaged)} damaged lines of {remains.journal} said")
    n_new, n_journalled = _count_new(content, first), _count_new(_common(content, journalled), first)
    return _Restored(
        content, unknown, n_journalled, n_new - n_journalled, is_merged=True, answers_hold=answers_hold, others=others
    )


def _is_aside(backup: Source, history: History) -> bool:
    """Whether a backup is later than a journal, or was made of a record that went on separately."""
    return backup.lines > history.end.lines or (backup.position is not None and history.contradicts(backup.position))


def _is_up_to_date(database: Source, history: History) -> bool:
    """Whether a database has every change of the journal."""
    at = database.position
    return at is not None and at.length >= history.size


def _named(left_out: Sequence[Source], content: Content | None = None) -> tuple[str, ...]:
    """Name backups of another state; with `content`, those that have answers or rounds which it lacks."""
    names = [str(one.path.name) for one in left_out if content is None or lacks(content, one.content)]
    return (f"what {', '.join(names)} say: they belong to another state of this record",) if names else ()


def _is_before_removal(database: Source, told: Content) -> bool:
    """Whether a database is an earlier copy, from before a removal, which begins the journal again."""
    known, campaigns = removed_in(told), [one["facts"].get(("campaign",)) for one in (told, database.content)]
    continued = all(database.content[name].keys() <= told[name].keys() for name in ("queries", "answers"))
    is_own = campaigns[0] == campaigns[1] and continued and not disagree(told, database.content)
    return is_own and set(known) > set(removed_in(database.content))


def _is_later(backup: Source, database: Source | None) -> bool:
    """Whether a backup was made after a database, which is then an earlier copy."""
    if database is None:
        return True
    removed = [len(removed_in(one.content)) for one in (backup, database)]
    if database.position or removed[0] != removed[1]:
        return (removed[0], backup.lines) > (removed[1], database.lines)
    return all(len(backup.content[name]) > len(database.content[name]) for name in ("queries", "answers"))


def _is_of_another_state(backup: Source, database: Source | None, history: History | None, journalled: Content) -> bool:
    """Whether a backup was made of a record that went on separately, after an earlier copy was restored."""
    if history and backup.position and history.contradicts(backup.position):
        return True
    return disagree(backup.content, journalled) or (database is not None and disagree(backup.content, database.content))


def _is_foreign(database: Source, history: History) -> bool:
    """Whether a journal is not that of a database, or was left by a migration that was interrupted."""
    if database.schema < tables.JOURNALLED:
        return history.n_transactions <= 1
    if database.position is not None and history.contradicts(database.position):
        return True
    told = empty()
    apply(told, history.after(0))
    names = [content["facts"].get(("campaign",)) for content in (told, database.content)]
    return (None not in names and names[0] != names[1]) or disagree(told, database.content)


def _doubts(name: str, database: Source | None, history: History | None, state: str | None = None) -> tuple[str, ...]:
    """Return a sentence about each thing that the database and the journal called `name` do not prove together.

    `state` is that of a database which was left out.
    """
    at = database.position if database else None
    missing = "whether changes are missing"
    if database and database.schema < tables.JOURNALLED and (history is None or _is_foreign(database, history)):
        return (f"{missing}: a record of schema {database.schema} has no journal",)
    if history is None:
        return (f"{missing}: {name}, which lists all changes, is missing",)
    if database and _is_foreign(database, history):
        return (f"{missing}: {name} belongs to another record, or to another state of this one",)
    found = [] if history.whole or not history.lines else [f"{missing} from before {name} was begun by a repair"]
    if at and at.length == history.size:
        return tuple(found)
    if at and at.length > history.size:
        found.append(f"{missing}: {name} ends before the database")
    elif at and at == history.end:
        found.append(f"whether the unfinished change at the end of {name} ({history.rest} bytes) was complete once")
    else:
        state = state or ("missing" if database is None else "damaged" if at is None else "older")
        found.append(
            f"whether a change followed the last one in {name} (which has {history.n_answers} answers): the database, "
            f"which would confirm the end, is {state}"
        )
    return tuple(found)


def _common(content: Content, other: Content) -> Content:
    return {name: {key: row for key, row in rows.items() if key in other[name]} for name, rows in content.items()}


def _count_new(content: Content, first: Content) -> int:
    return sum(len(rows.keys() - first[name].keys()) for name, rows in content.items())
