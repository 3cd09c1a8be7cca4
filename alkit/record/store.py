"""The record: what was asked, answered and learnt, in a database with files beside it.

SQLite in write-ahead mode with full synchronisation holds queries, answers and rounds; labels, weights and clusters
are files named by their SHA-256 in a folder beside it. A file is written and synchronised before the transaction
that names it commits, so a record never names a file that is not there. What has become of a query is read off the
answers (:mod:`alkit.record.states`), not stored a second time. Each row carries a seal, a digest of what it holds, so
that a byte that was changed from outside is noticed when the record is opened.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from alkit._files import abandoned_files, make_folder, write_atomically
from alkit.configuration.addresses import to_present
from alkit.errors import ResumeError, StoreBusyError, StoreError
from alkit.record.snapshot import Snapshot
from alkit.record.states import Asked, Recorded, Standing, standings
from alkit.values.label_spec import Size
from alkit.values.queries import Query
from alkit.values.rounds import RoundResult

log = logging.getLogger(__name__)

SCHEMA = 3
"""Version of the tables below; a record of another version is refused."""

REPAIR = "alkit repair, which saves what is whole into a new record"

_tables = sa.MetaData()


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(name, _tables, *columns, sa.Column("seal", sa.String, nullable=False))


_facts = _table(
    "facts",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)
_queries = _table(
    "queries",
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("rank", sa.Integer, primary_key=True),
    sa.Column("ask", sa.Integer, nullable=False),  # which call of ask it came from
    sa.Column("id", sa.String, nullable=False, index=True),
    sa.Column("sizes", sa.JSON, nullable=False),
    sa.Column("score", sa.Float),
    sa.Column("stands_for", sa.String, nullable=False),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("asked_at", sa.String, nullable=False),
    sa.Column("sent_at", sa.String),  # NULL until an oracle was handed it
    sa.Column("prelabel", sa.String),  # the file
    sa.Column("withdrawn", sa.Boolean, nullable=False),
)
_answers = _table(
    "answers",
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.String, nullable=False),
    sa.Column("annotator", sa.String, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("label", sa.String),  # the file; NULL for all that is no label
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("rejected", sa.String),
    sa.Column("told_at", sa.String, nullable=False),
)
_valid = _answers.c.kind != "invalid"
sa.Index(  # of a revision there is one answer, and besides it what was wrong
    "one_of_a_revision",
    _answers.c.id,
    _answers.c.annotator,
    _answers.c.revision,
    unique=True,
    sqlite_where=_valid,
    postgresql_where=_valid,
)
sa.Index("answers_of_an_image", _answers.c.id)
_consumed = _table(
    "consumed",
    sa.Column("number", sa.Integer, primary_key=True),  # of an answer
    sa.Column("first", sa.Integer, nullable=False),  # round whose model was trained on it, or measured by it
    sa.Column("last", sa.Integer, nullable=False),
)
_pseudo_labels = _table(
    "pseudo_labels",
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("label", sa.String, nullable=False),  # the file
)
_rounds = _table(
    "rounds",
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("labels", sa.String, nullable=False),  # stamp of the labels it was trained on
    sa.Column("n_labels", sa.Integer, nullable=False),
    sa.Column("n_pseudo", sa.Integer, nullable=False),
    sa.Column("n_held_out", sa.Integer, nullable=False),
    sa.Column("agreement", sa.Float),
    sa.Column("model", sa.String),  # the file; NULL once a later round has taken its place
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("seconds", sa.JSON, nullable=False),
    sa.Column("committed_at", sa.String, nullable=False),
)


TABLES = tuple(_tables.sorted_tables)
"""All tables of a record."""


class Store:
    """The record of one experiment.

    Parameters
    ----------
    path:
        The database file; made, with its folder, where it does not exist.
    wait:
        Seconds to wait for another process that is working on the record.

    Raises
    ------
    StoreError
        It cannot be opened or made, is damaged, is no record, or is of another schema version.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = Store(Path(folder.name) / "record.db")
    >>> name = store.keep(b"content", ".txt")
    >>> store.content(name)
    b'content'
    >>> store.close(); folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], wait: float = 30.0) -> None:
        self.path = Path(path).absolute()
        self.files = self.path.with_name(self.path.name + ".files")
        self.backups = self.path.with_name(self.path.name + ".backups")
        self.wait = wait
        if self.path.is_dir():
            raise StoreError(
                f"{self.path} is a folder", expected="the record's file", hint=f"{self.path / 'record.db'}"
            )
        make_folder(self.path.parent)
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        self._engine = _engine(self.path, wait)
        # Making a record needs the lock; looking at one, while another process trains, must not wait for it.
        if not self._is_there():
            with self.exclusive(), self._transaction() as connection:
                if not _names(connection):
                    _tables.create_all(connection)
                    insert(connection, _facts, [{"name": "schema", "value": SCHEMA}])
        with self._reading() as connection:
            self._check(connection)

    def close(self) -> None:
        """Close the database; the record stays."""
        self._engine.dispose()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from changing the record inside the block; may be nested.

        Raises
        ------
        StoreBusyError
            Another process held it for longer than ``wait`` seconds. The system frees the lock of a killed process.
        """
        try:
            self._lock.acquire(timeout=self.wait)
        except Timeout as reason:
            raise StoreBusyError(
                f"another process is working on {self.path}, and still was after {self.wait:g} s",
                hint="let it finish, or stop it: nothing committed is lost",
            ) from reason
        except OSError as reason:
            raise StoreError(f"cannot lock {self.path} ({reason.strerror})") from reason
        try:
            yield
        finally:
            self._lock.release()

    # Facts: what is true of the whole experiment.

    def fact(self, name: str) -> Any:
        """Return a recorded fact, or None; classes have their present addresses, whenever it was recorded."""
        with self._reading() as connection:
            return to_present(connection.scalar(sa.select(_facts.c.value).where(_facts.c.name == name)))

    def declare(self, facts: Mapping[str, Any], *, anew: bool = False) -> None:
        """Record facts, all or none, each once; `anew` forgets all that were declared before."""
        with self._transaction() as connection:
            if anew:
                connection.execute(_facts.delete().where(_facts.c.name != "schema"))
            insert(connection, _facts, [{"name": name, "value": value} for name, value in facts.items()])

    def forget(self, name: str) -> None:
        """Take back a fact on which nothing hangs yet."""
        with self._transaction() as connection:
            connection.execute(_facts.delete().where(_facts.c.name == name))

    # Queries and answers.

    def add_queries(self, queries: Sequence[Query], pseudo_labels: Mapping[str, str] | None = None) -> None:
        """Record queries and the files of their round's pseudo-labels, all or none; they are durable on return.

        A backup of the database is made first, and another by :meth:`commit_round`: two are kept.
        The pseudo-labels take the place of those of an earlier call for the same round.
        """
        self._back_up()
        now = _now()
        with self._transaction() as connection:
            last = connection.scalar(sa.select(sa.func.max(_queries.c.ask)))
            rows = [
                {
                    "round": query.round,
                    "rank": query.rank,
                    "ask": 0 if last is None else last + 1,
                    "id": query.id,
                    "sizes": [list(size) for size in query.sizes],
                    "score": query.score,
                    "stands_for": query.stands_for,
                    "wanted": query.wanted,
                    "asked_at": now,
                    "withdrawn": False,
                }
                for query in queries
            ]
            insert(connection, _queries, rows)
            round = queries[0].round
            connection.execute(_pseudo_labels.delete().where(_pseudo_labels.c.round == round))
            files = [{"round": round, "id": id, "label": file} for id, file in (pseudo_labels or {}).items()]
            insert(connection, _pseudo_labels, files)

    def pseudo_labels(self, round: int) -> dict[str, str]:
        """Return by id the files of the pseudo-labels of a round, in sorted order."""
        with self._reading() as connection:
            rows = connection.execute(
                sa.select(_pseudo_labels).where(_pseudo_labels.c.round == round).order_by(_pseudo_labels.c.id)
            ).all()
        return {row.id: row.label for row in rows}

    def snapshot(self) -> Snapshot:
        """Return all queries, answers and rounds at this moment."""
        with self._reading() as connection:
            used = set(connection.scalars(sa.select(_consumed.c.number)).all())
            asked, told, last = _asked(connection), _told(connection), _last_consumed(connection)
        return Snapshot(tuple(asked), tuple(told), tuple(self.rounds()), self.last_model(), used, last)

    def asked(self) -> list[Asked]:
        """Return all queries with what is known of each, withdrawn ones included, by round and rank."""
        with self._reading() as connection:
            return _asked(connection)

    def queries(self) -> list[Query]:
        """Return all queries that were not withdrawn, by round and rank."""
        return [entry.query for entry in self.asked() if not entry.withdrawn]

    def ever_asked(self) -> dict[str, tuple[Size, ...]]:
        """Return by the id of each image that was asked for, ever, the sizes that its mask may have."""
        asked = sa.select(_queries.c.id, _queries.c.sizes).order_by(_queries.c.ask)
        with self._reading() as connection:
            return {id: tuple((height, width) for height, width in sizes) for id, sizes in connection.execute(asked)}

    def size_of_last_ask(self) -> int:
        """Return how many images the last call of ask chose."""
        last = sa.select(sa.func.max(_queries.c.ask)).scalar_subquery()
        with self._reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(_queries.c.ask == last)) or 0

    def ranks_used(self, round: int) -> int:
        """Return how many ranks of a round are taken, withdrawn queries included."""
        with self._reading() as connection:
            last = connection.scalar(sa.select(sa.func.max(_queries.c.rank)).where(_queries.c.round == round))
        return 0 if last is None else last + 1

    def withdraw(self, ids: Sequence[str]) -> None:
        """Close the queries of these images without an answer.

        A round of which nothing is left that was asked loses its pseudo-labels too: they belong to that selection.
        """
        with self._transaction() as connection:
            _change(connection, _queries, _queries.c.id.in_(ids), withdrawn=True)
            asked = sa.select(_queries.c.round).where(~_queries.c.withdrawn)
            done = sa.select(_rounds.c.round)
            connection.execute(
                _pseudo_labels.delete().where(_pseudo_labels.c.round.not_in(asked), _pseudo_labels.c.round.not_in(done))
            )

    def mark_sent(self, ids: Sequence[str]) -> None:
        """Record that the open queries of these images were handed to an oracle; the first time counts."""
        with self._transaction() as connection:
            _mark_sent(connection, ids)

    def set_prelabels(self, files: Mapping[str, str]) -> None:
        """Record by id the files of the pre-labels that open queries are handed over with."""
        with self._transaction() as connection:
            for id, file in files.items():
                _change(connection, _queries, _queries.c.id == id, ~_queries.c.withdrawn, prelabel=file)

    def add_answers(
        self,
        ids: Collection[str],
        decide: Callable[[Sequence[Asked], Sequence[Recorded]], Iterable[Recorded]],
        *,
        handed: bool = False,
    ) -> None:
        """Record answers, all or none, after a look at what is there that nobody can come between.

        Parameters
        ----------
        ids:
            The images that the answers are for.
        decide:
            Called with their queries and their answers so far; returns those to be recorded, of which number and time
            are set here. What it raises leaves the record as it was.
        handed:
            Whether an oracle gave them: then it was handed their queries, also where whoever did it came to no more.
        """
        wanted = set(ids)
        with self._transaction() as connection:
            asked, known = _asked(connection, wanted), _told(connection, wanted)
            last = connection.scalar(sa.select(sa.func.max(_answers.c.number))) or 0
            now = _now()
            rows = [
                {**asdict(answer), "number": number, "told_at": now}
                for number, answer in enumerate(decide(asked, known), start=last + 1)
            ]
            insert(connection, _answers, rows)
            if handed and (unsent := {entry.query.id for entry in asked if entry.sent_at is None}):
                _mark_sent(connection, unsent & {row["id"] for row in rows})

    def answers(self) -> list[Recorded]:
        """Return all answers in the order in which they were recorded; :mod:`alkit.record.states` says which count."""
        with self._reading() as connection:
            return _told(connection)

    def reject(self, numbers: Collection[int], reason: str) -> None:
        """Send answers back: they count no longer."""
        with self._transaction() as connection:
            _change(connection, _answers, _answers.c.number.in_(numbers), rejected=reason)

    def consumed(self) -> dict[int, int]:
        """Return by number of an answer the last round whose model was trained on it or measured by it."""
        with self._reading() as connection:
            return {row.number: row.last for row in connection.execute(sa.select(_consumed)).all()}

    def last_consumed(self) -> set[int]:
        """Return the numbers of the answers that the last round's model was trained on or measured by."""
        with self._reading() as connection:
            return _last_consumed(connection)

    def standings(self) -> tuple[Standing, ...]:
        """Return where each query stands, by rounds and ranks, all at one moment."""
        with self._reading() as connection:
            used = set(connection.scalars(sa.select(_consumed.c.number)).all())
            return standings(_asked(connection), _told(connection), used, _last_consumed(connection))

    # Rounds.

    def commit_round(self, result: RoundResult, model: bytes, labels: str, consumed: Collection[int] = ()) -> None:
        """Record a finished round whole, with its model, a stamp of its labels, and the answers they come from.

        The models of earlier rounds are deleted, and what a killed process may have left half-written.
        """
        name = self.keep(model, ".model")
        with self._transaction() as connection:
            _change(connection, _rounds, model=None)
            row = {
                "round": result.round,
                "labels": labels,
                "n_labels": result.n_labels,
                "n_pseudo": result.n_pseudo,
                "n_held_out": result.n_held_out,
                "agreement": result.agreement,
                "model": name,
                "metrics": dict(result.metrics),
                "seconds": dict(result.seconds),
                "committed_at": _now(),
            }
            insert(connection, _rounds, [row])
            _change(connection, _consumed, _consumed.c.number.in_(consumed), last=result.round)
            known = set(connection.scalars(sa.select(_consumed.c.number)).all())
            news = sorted(set(consumed) - known)
            rows = [{"number": number, "first": result.round, "last": result.round} for number in news]
            insert(connection, _consumed, rows)
        _sweep(self.files, [file for file in self.files.glob("*.model") if file.name != name])
        try:
            self._back_up()
        except StoreError as reason:  # the round is recorded all the same
            log.warning("no backup after round %d: %s", result.round, reason)

    def measure_round(self, round: int, metrics: Mapping[str, float], seconds: Mapping[str, float]) -> None:
        """Record what an evaluation of a committed round's model gave."""
        with self._transaction() as connection:
            _change(connection, _rounds, _rounds.c.round == round, metrics=dict(metrics), seconds=dict(seconds))

    def rounds(self) -> list[RoundResult]:
        """Return the committed rounds."""
        asked: dict[int, list[str]] = {}
        for query in self.queries():
            asked.setdefault(query.round, []).append(query.id)
        with self._reading() as connection:
            rows = connection.execute(sa.select(_rounds).order_by(_rounds.c.round)).all()
        return [
            RoundResult(
                row.round,
                tuple(asked.get(row.round, ())),
                row.n_labels,
                row.metrics,
                row.seconds,
                row.n_pseudo,
                row.n_held_out,
                row.agreement,
            )
            for row in rows
        ]

    def last_model(self) -> tuple[str, str] | None:
        """Return the file of the last round's model and the stamp of its labels; None before the first round."""
        with self._reading() as connection:
            row = connection.execute(
                sa.select(_rounds.c.model, _rounds.c.labels).order_by(_rounds.c.round.desc()).limit(1)
            ).first()
        return None if row is None else (row.model, row.labels)

    # Files.

    def keep(self, content: bytes, suffix: str) -> str:
        """Keep `content` as a file and return its name, the SHA-256 with `suffix`; the same content is kept once."""
        name = hashlib.sha256(content).hexdigest() + suffix
        path = self.files / name
        if not path.exists() or path.read_bytes() != content:  # a damaged file is healed
            write_atomically(path, content)
        return name

    def content(self, name: str) -> bytes:
        """Return what :meth:`keep` was given.

        Raises
        ------
        StoreError
            The file is missing, or is not what it was.
        """
        try:
            content = (self.files / name).read_bytes()
        except OSError as reason:
            raise StoreError(f"the record names a file it does not have: {self.files / name}") from reason
        if hashlib.sha256(content).hexdigest() != name.partition(".")[0]:
            raise StoreError(
                f"a file of the record is damaged: {self.files / name}",
                got="content of another SHA-256",
                hint="restore it from a backup",
            )
        return content

    # The database.

    def _back_up(self) -> None:
        """Copy the database as it is now, whole or not at all; the two latest copies are kept."""
        make_folder(self.backups)
        copy = self.backups / f".writing-{os.getpid()}-{threading.get_ident()}"
        try:
            copy.unlink(missing_ok=True)  # of a killed process that had the same number, as happens in containers
            with closing(sqlite3.connect(self.path, timeout=self.wait)) as connection:
                connection.execute("VACUUM INTO ?", (str(copy),))
            os.replace(copy, self.backups / f"{time.time_ns():020}.db")
        except (sqlite3.Error, OSError) as reason:
            copy.unlink(missing_ok=True)
            raise StoreError(
                f"cannot back up {self.path} ({reason})", hint="check that its folder is writable and has room"
            ) from reason
        _sweep(self.backups, sorted(self.backups.glob("*.db"))[:-2])

    def _is_there(self) -> bool:
        if not self.path.exists() or not self.path.stat().st_size:
            return False
        with self._reading() as connection:
            return bool(_names(connection))

    def _check(self, connection: sa.Connection) -> None:
        """See whether this is a record of ours, and whole."""
        damage = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if damage != "ok":
            raise StoreError(f"{self.path} is damaged ({damage})", hint=REPAIR)
        missing = set(_tables.tables) - _names(connection)
        if "facts" in missing:
            raise StoreError(
                f"{self.path} is a database, but no record of alkit's",
                got=f"no table {', '.join(sorted(missing))}",
                hint="choose another file",
            )
        try:
            schema = connection.scalar(sa.select(_facts.c.value).where(_facts.c.name == "schema"))
            whole = schema == SCHEMA and not missing
            broken = [row for table in TABLES for row in _broken(connection, table)] if whole else []
        except (ValueError, TypeError) as reason:  # from a text that is no JSON any more, or no text
            raise StoreError(f"{self.path} is damaged: a value is not what was written ({reason})", hint=REPAIR) from (
                reason
            )
        if schema != SCHEMA:
            raise ResumeError(
                f"{self.path} was written by another version of alkit",
                got=f"schema {schema}",
                expected=SCHEMA,
            )
        if missing:
            raise StoreError(f"{self.path} is damaged: no table {', '.join(sorted(missing))}", hint=REPAIR)
        if broken:
            raise StoreError(
                f"{self.path} is damaged: {len(broken)} rows are not what was written, the first a row of {broken[0]}",
                hint=REPAIR,
            )

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """Look at one state of the record, which others may change meanwhile."""
        with self._begun("BEGIN") as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """Change the record: all of the block, or nothing, and nobody else in between."""
        with self._begun("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _begun(self, statement: str) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection, connection.execution_options(begin=statement).begin():
                yield connection
        except sa.exc.DBAPIError as reason:
            text = str(reason.orig)
            if "locked" in text:
                raise StoreBusyError(f"another process is writing to {self.path} ({text})") from reason
            raise StoreError(
                f"cannot read or write the record {self.path} ({text})",
                hint="check that it is an alkit record, and that its folder is writable and has room",
            ) from reason


def _sweep(folder: Path, old: Iterable[Path]) -> None:
    """Remove files, and what killed processes left half-written."""
    for file in [*old, *abandoned_files(folder)]:
        file.unlink(missing_ok=True)


def _names(connection: sa.Connection) -> set[str]:
    """Return the names of the tables there are."""
    return set(sa.inspect(connection).get_table_names())


def _engine(path: Path, wait: float) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=sa.pool.NullPool,  # nothing stays open between transactions, so a process may fork or pickle freely
        connect_args={"timeout": wait},
        json_serializer=lambda value: json.dumps(value, allow_nan=False),
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # SQLAlchemy, not sqlite3, says when a transaction begins
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["begin"])

    return engine


FEW = 500
"""Of so many images rows are looked up one by one; of more the whole table is read."""


def _rows_of(connection: sa.Connection, table: sa.Table, ids: Collection[str] | None) -> Iterator[sa.Row[Any]]:
    """Yield the rows of these images, or of all, in the order of the primary key."""
    rows = sa.select(table).order_by(*table.primary_key)
    if ids is not None and len(ids) <= FEW:
        rows = rows.where(table.c.id.in_(ids))
    for row in connection.execute(rows):
        if ids is None or row.id in ids:
            yield row


def _mark_sent(connection: sa.Connection, ids: Collection[str]) -> None:
    unsent = _queries.c.id.in_(ids), ~_queries.c.withdrawn, _queries.c.sent_at.is_(None)
    _change(connection, _queries, *unsent, sent_at=_now())


def _asked(connection: sa.Connection, ids: Collection[str] | None = None) -> list[Asked]:
    """Return the queries of these images, or all, by round and rank."""
    rows = _rows_of(connection, _queries, ids)
    return [
        Asked(
            Query(
                row.id, row.round, row.rank, tuple((h, w) for h, w in row.sizes), row.score, row.stands_for, row.wanted
            ),
            row.asked_at,
            row.sent_at,
            row.withdrawn,
            row.prelabel,
        )
        for row in rows
    ]


def _told(connection: sa.Connection, ids: Collection[str] | None = None) -> list[Recorded]:
    """Return the answers for these images, or all, in the order of their recording."""
    names = [entry.name for entry in fields(Recorded)]
    return [Recorded(*(getattr(row, name) for name in names)) for row in _rows_of(connection, _answers, ids)]


def _last_consumed(connection: sa.Connection) -> set[int]:
    last = sa.select(sa.func.max(_rounds.c.round)).scalar_subquery()
    return set(connection.scalars(sa.select(_consumed.c.number).where(_consumed.c.last == last)).all())


def sealed(table: sa.Table, row: Mapping[str, Any] | sa.RowMapping) -> dict[str, Any]:
    """Return the row with all the columns of its table, and its seal."""
    values = {column.name: row.get(column.name) for column in table.columns if column.name != "seal"}
    text = json.dumps([table.name, values], sort_keys=True, allow_nan=False)
    return {**values, "seal": hashlib.sha256(text.encode()).hexdigest()[:16]}


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to a table, sealed."""
    if rows:
        connection.execute(table.insert(), [sealed(table, row) for row in rows])


def _broken(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    """Yield which rows of a table are not what their seal says."""
    for row in connection.execute(sa.select(table)).mappings():
        if row["seal"] != sealed(table, row)["seal"]:
            key = ", ".join(f"{column.name} {row[column.name]!r}" for column in table.primary_key)
            yield f"{table.name} ({key})"


def _change(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool], **values: Any) -> None:
    """Set these columns of the rows for which all conditions hold, and seal them anew."""
    for row in connection.execute(sa.select(table).where(*where)).mappings().all():
        key = [column == row[column.name] for column in table.primary_key]
        connection.execute(table.update().where(*key).values(sealed(table, {**row, **values})))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
