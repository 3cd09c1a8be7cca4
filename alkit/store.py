"""The record: what was asked, answered and learnt, in a database with files beside it.

SQLite in write-ahead mode with full synchronisation holds queries, answers and rounds; labels, weights and clusters
are files named by their SHA-256 in a folder beside it. A file is written and synchronised before the transaction
that names it commits, so a record never names a file that is not there. Whether a query is open, answered or skipped
is read off the answers, not stored a second time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from alkit.errors import ResumeError, StoreBusyError, StoreError
from alkit.files import ensured, write_atomically
from alkit.types import Query, RoundResult

SCHEMA = 2
"""Version of the tables below; a record of another version is refused."""

_tables = sa.MetaData()

_facts = sa.Table(
    "facts",
    _tables,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)
_queries = sa.Table(
    "queries",
    _tables,
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("rank", sa.Integer, primary_key=True),
    sa.Column("ask", sa.Integer, nullable=False),  # which call of ask it came from
    sa.Column("id", sa.String, nullable=False, index=True),
    sa.Column("sizes", sa.JSON, nullable=False),
    sa.Column("score", sa.Float),
    sa.Column("stands_for", sa.String, nullable=False),
    sa.Column("asked_at", sa.String, nullable=False),
    sa.Column("withdrawn", sa.Boolean, nullable=False, default=False),
)
_answers = sa.Table(
    "answers",
    _tables,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String, nullable=False, index=True),
    sa.Column("label", sa.String),  # the file; NULL for a skip
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("told_at", sa.String, nullable=False),
)
_pseudo_labels = sa.Table(
    "pseudo_labels",
    _tables,
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("label", sa.String, nullable=False),  # the file
)
_rounds = sa.Table(
    "rounds",
    _tables,
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("labels", sa.String, nullable=False),  # stamp of the labels it was trained on
    sa.Column("n_labels", sa.Integer, nullable=False),
    sa.Column("n_pseudo", sa.Integer, nullable=False),
    sa.Column("model", sa.String),  # the file; NULL once a later round has taken its place
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("seconds", sa.JSON, nullable=False),
    sa.Column("committed_at", sa.String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The latest answer for one image: the file of its label, or None for a skip, with the reason given."""

    number: int
    label: str | None
    reason: str


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
        self.wait = wait
        if self.path.is_dir():
            raise StoreError(
                f"{self.path} is a folder", expected="the record's file", hint=f"{self.path / 'record.db'}"
            )
        ensured(self.path.parent)
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        self._engine = _engine(self.path, wait)
        # Making a record needs the lock; looking at one, while another process trains, must not wait for it.
        with nullcontext() if self.path.exists() else self.exclusive(), self._transaction() as connection:
            self._prepare(connection)

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
        """Return a recorded fact, or None."""
        with self._transaction() as connection:
            return connection.scalar(sa.select(_facts.c.value).where(_facts.c.name == name))

    def declare(self, facts: Mapping[str, Any], *, anew: bool = False) -> None:
        """Record facts, all or none, each once; `anew` forgets all that were declared before."""
        with self._transaction() as connection:
            if anew:
                connection.execute(_facts.delete().where(_facts.c.name != "schema"))
            for name, value in facts.items():
                connection.execute(_facts.insert().values(name=name, value=value))

    def forget(self, name: str) -> None:
        """Take back a fact on which nothing hangs yet."""
        with self._transaction() as connection:
            connection.execute(_facts.delete().where(_facts.c.name == name))

    # Queries and answers.

    def add_queries(self, queries: Sequence[Query], pseudo_labels: Mapping[str, str] | None = None) -> None:
        """Record queries and the files of their round's pseudo-labels, all or none; they are durable on return.

        The pseudo-labels take the place of those of an earlier call for the same round.
        """
        now = _now()
        rows: list[dict[str, Any]] = [
            {
                "round": query.round,
                "rank": query.rank,
                "id": query.id,
                "sizes": [list(size) for size in query.sizes],
                "score": query.score,
                "stands_for": query.stands_for,
                "asked_at": now,
            }
            for query in queries
        ]
        with self._transaction() as connection:
            last = connection.scalar(sa.select(sa.func.max(_queries.c.ask)))
            ask = 0 if last is None else last + 1
            connection.execute(_queries.insert(), [{**row, "ask": ask} for row in rows])
            round = queries[0].round
            connection.execute(_pseudo_labels.delete().where(_pseudo_labels.c.round == round))
            if pseudo_labels:
                files = [{"round": round, "id": id, "label": file} for id, file in pseudo_labels.items()]
                connection.execute(_pseudo_labels.insert(), files)

    def pseudo_labels(self, round: int) -> dict[str, str]:
        """Return by id the files of the pseudo-labels of a round, in sorted order."""
        with self._transaction() as connection:
            rows = connection.execute(
                sa.select(_pseudo_labels).where(_pseudo_labels.c.round == round).order_by(_pseudo_labels.c.id)
            ).all()
        return {row.id: row.label for row in rows}

    def queries(self) -> list[Query]:
        """Return all queries that were not withdrawn, by round and rank."""
        with self._transaction() as connection:
            rows = connection.execute(
                sa.select(_queries).where(~_queries.c.withdrawn).order_by(_queries.c.round, _queries.c.rank)
            ).all()
        return [
            Query(row.id, row.round, row.rank, tuple((h, w) for h, w in row.sizes), row.score, row.stands_for)
            for row in rows
        ]

    def ever_asked(self) -> set[str]:
        """Return the ids of all queries, withdrawn ones included."""
        with self._transaction() as connection:
            return set(connection.scalars(sa.select(_queries.c.id)).all())

    def size_of_last_ask(self) -> int:
        """Return how many images the last call of ask chose."""
        last = sa.select(sa.func.max(_queries.c.ask)).scalar_subquery()
        with self._transaction() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(_queries.c.ask == last)) or 0

    def ranks_used(self, round: int) -> int:
        """Return how many ranks of a round are taken, withdrawn queries included."""
        with self._transaction() as connection:
            last = connection.scalar(sa.select(sa.func.max(_queries.c.rank)).where(_queries.c.round == round))
        return 0 if last is None else last + 1

    def withdraw(self, ids: Sequence[str]) -> None:
        """Close the queries of these images without an answer.

        A round of which nothing is left that was asked loses its pseudo-labels too: they belong to that selection.
        """
        with self._transaction() as connection:
            for id in ids:
                connection.execute(_queries.update().where(_queries.c.id == id).values(withdrawn=True))
            asked = sa.select(_queries.c.round).where(~_queries.c.withdrawn)
            done = sa.select(_rounds.c.round)
            connection.execute(
                _pseudo_labels.delete().where(_pseudo_labels.c.round.not_in(asked), _pseudo_labels.c.round.not_in(done))
            )

    def add_answers(self, answers: Mapping[str, tuple[str | None, str]]) -> None:
        """Record, for each image, the file of its label (None for a skip) and a reason; all or none."""
        now = _now()
        rows = [{"id": id, "label": file, "reason": reason, "told_at": now} for id, (file, reason) in answers.items()]
        with self._transaction() as connection:
            if rows:
                connection.execute(_answers.insert(), rows)

    def answers(self) -> dict[str, Recorded]:
        """Return the latest answer for each image that has one, in the order the images were asked for."""
        last = sa.select(sa.func.max(_answers.c.number)).group_by(_answers.c.id)
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_answers).where(_answers.c.number.in_(last))).all()
            asked = connection.scalars(sa.select(_queries.c.id).order_by(_queries.c.round, _queries.c.rank)).all()
        latest = {row.id: Recorded(row.number, row.label, row.reason) for row in rows}
        return {id: latest[id] for id in dict.fromkeys(asked) if id in latest}

    # Rounds.

    def commit_round(self, result: RoundResult, model: bytes, labels: str) -> None:
        """Record a finished round whole, with its model and a stamp of its labels.

        The models of earlier rounds are deleted, and what a killed process may have left half-written.
        """
        name = self.keep(model, ".model")
        with self._transaction() as connection:
            connection.execute(_rounds.update().values(model=None))
            connection.execute(
                _rounds.insert().values(
                    round=result.round,
                    labels=labels,
                    n_labels=result.n_labels,
                    n_pseudo=result.n_pseudo,
                    model=name,
                    metrics=dict(result.metrics),
                    seconds=dict(result.seconds),
                    committed_at=_now(),
                )
            )
        for file in [*self.files.glob("*.model"), *self.files.glob(".writing-*")]:
            if file.name != name:
                file.unlink(missing_ok=True)

    def measure_round(self, round: int, metrics: Mapping[str, float], seconds: Mapping[str, float]) -> None:
        """Record what an evaluation of a committed round's model gave."""
        with self._transaction() as connection:
            connection.execute(
                _rounds.update().where(_rounds.c.round == round).values(metrics=dict(metrics), seconds=dict(seconds))
            )

    def rounds(self) -> list[RoundResult]:
        """Return the committed rounds."""
        asked: dict[int, list[str]] = {}
        for query in self.queries():
            asked.setdefault(query.round, []).append(query.id)
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_rounds).order_by(_rounds.c.round)).all()
        return [
            RoundResult(
                row.round, tuple(asked.get(row.round, ())), row.n_labels, row.metrics, row.seconds, row.n_pseudo
            )
            for row in rows
        ]

    def last_model(self) -> tuple[str, str] | None:
        """Return the file of the last round's model and the stamp of its labels; None before the first round."""
        with self._transaction() as connection:
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

    def _prepare(self, connection: sa.Connection) -> None:
        damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if damage != "ok":
            raise StoreError(f"{self.path} is damaged ({damage})", hint="restore it from a backup")
        present = set(sa.inspect(connection).get_table_names())
        if not present:
            _tables.create_all(connection)
            connection.execute(_facts.insert().values(name="schema", value=SCHEMA))
            return
        missing = set(_tables.tables) - present
        if missing:
            raise StoreError(
                f"{self.path} is a database, but no record of alkit's",
                got=f"no table {', '.join(sorted(missing))}",
                hint="choose another file",
            )
        schema = connection.scalar(sa.select(_facts.c.value).where(_facts.c.name == "schema"))
        if schema != SCHEMA:
            raise ResumeError(
                f"{self.path} was written by another version of alkit",
                got=f"schema {schema}",
                expected=SCHEMA,
            )

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as reason:
            text = str(reason.orig)
            if "locked" in text:
                raise StoreBusyError(f"another process is writing to {self.path} ({text})") from reason
            raise StoreError(
                f"cannot read or write the record {self.path} ({text})",
                hint="check that it is an alkit record, and that its folder is writable and has room",
            ) from reason


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
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
