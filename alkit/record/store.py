"""The record: what was asked, answered and learnt, in a database with files beside it.

SQLite in write-ahead mode with full synchronisation holds queries, answers and rounds. Labels, weights and clusters are
files named by their SHA-256, in a folder beside the database. A file is written and synchronised before the transaction
that names it commits, so every file that a record names exists. The state of a query is computed from the answers
(:mod:`alkit.record.states`) and never stored. Rows are checked by their digests when they are read
(:mod:`alkit.record.digests`); ``alkit check`` checks everything.

The module is long because all transactions of a record are in one place.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import wraps
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from filelock import Timeout

from alkit._files import check_reachable, delete_with, make_folder, make_temporary_folder
from alkit._logs import logger
from alkit.arguments.checked import checked
from alkit.checks import check_number
from alkit.configuration.versions import to_present
from alkit.errors import ConfigurationError, QueryError, ResumeError, StoreBusyError, StoreError
from alkit.record import guard, migrations, tables
from alkit.record.address import VARIABLE, Server, locate
from alkit.record.backend import REPAIR, Lock
from alkit.record.backups import check_whole, latest_first
from alkit.record.columns import storable_text, stored_json
from alkit.record.database import FEW, Database, Row, chunks
from alkit.record.elsewhere import ELSEWHERE, begin_elsewhere, files_elsewhere, given_address, place_elsewhere
from alkit.record.facts import has_form
from alkit.record.files import LABELS, Files, files_in
from alkit.record.journal_objects import JournalObjects
from alkit.record.later_backups import later_backups
from alkit.record.network_folder import warn_of_network_folder
from alkit.record.places import AT_ONCE
from alkit.record.postgresql import PostgreSQL
from alkit.record.read_only import copy_database, is_read_only
from alkit.record.removing import ANSWER, QUERY, REMOVED
from alkit.record.rows import (
    asked_from,
    by_round,
    figures_of,
    make_snapshot,
    model_from,
    recorded_from,
    result_from,
    sizes_from,
    terms_of,
    with_queries,
    with_terms,
)
from alkit.record.snapshot import Snapshot
from alkit.record.states import Asked, Recorded
from alkit.record.tables import (
    answer_queries,
    answers,
    facts,
    pseudo_labels,
    queries,
    query_terms,
    round_figures,
    rounds,
)
from alkit.values.audit import without_image
from alkit.values.label_spec import Size
from alkit.values.queries import Query
from alkit.values.rounds import RoundResult
from alkit.values.shown import count

log = logger(__name__)

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

LASTING = ("schema", ELSEWHERE)
"""Names of the facts that stay as they are when others are replaced."""

UNASKED = "unasked"
"""Name of the fact that holds, by round, how many of the labels that its model was trained on nobody asked for."""

_IN_SNAPSHOT = queries, query_terms, answers, answer_queries, rounds, round_figures
"""Tables of which a snapshot depends."""


class RemovedMeanwhileError(StoreBusyError):
    """Another process has removed an image whose label was to be read."""


_Rows = tuple[object, Mapping[Row, T]]
"""The state of a table, and its rows with the object built from each."""


@checked
class Store:
    """The record of one experiment.

    Parameters
    ----------
    path:
        The database file, or ``postgresql+psycopg://[USER@]HOST[:PORT]/DATABASE?campaign=NAME`` for a schema of a
        PostgreSQL database. It is created if it does not exist, a file with its folder. A password comes from
        ``PGPASSWORD``, ``~/.pgpass`` or a service file.
    wait:
        Seconds to wait for another process that is working on the record.
    files:
        Where the labels and models are: a folder, or an address that fsspec reaches, such as ``s3://bucket/prefix``.
        None: beside the database file; or, if the record was created with an address or is in PostgreSQL,
        ``$ALKIT_FILES``. The record keeps no address, and neither do the files have their names from it, so that both
        may move.
    read_only:
        Whether nothing shall be written: neither what another process left undone, nor the form of the present version.

    Attributes
    ----------
    read_only:
        Whether nothing is written, because somebody wants it; because the file or its folder cannot be written, and
        then a copy of the database is read; or because the user of the server, or the server itself, may not write.
        Every change is refused.

    Raises
    ------
    StoreError
        The file cannot be opened or created, is damaged, or is not a record; or the server cannot be reached.
    ConfigurationError
        The URL has a password; or the record keeps its files elsewhere, and nobody has said where.
    ResumeError
        A later version of alkit wrote the record.

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

    def __init__(
        self,
        path: str | os.PathLike[str],
        wait: float = 30.0,
        files: str | os.PathLike[str] | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        address = locate(path, files)
        self.path, self._address = address.database, address.files
        self.wait = check_number("wait", wait, 0)
        fixed = isinstance(self.path, Path) and self._check_file(self.path)
        self.read_only = read_only or fixed
        self._locks: dict[int, Lock] = {}  # by process: after a fork, a process needs its own
        self._step = threading.local()  # whose name is that of the step that runs in this thread
        self._contents: Files | None = None
        self._snapshot: tuple[object, Snapshot] | None = None  # with the state of the database it belongs to
        self._asked: _Rows[Asked] = None, {}
        self._told: _Rows[Recorded] = None, {}
        copy = self._copy(self.path) if fixed and isinstance(self.path, Path) else None
        self.database = Database(self.path, wait, copy)
        self._opened = False
        # Creating or migrating a record needs the lock. Opening one does not, so nobody waits while a model is trained.
        with self.one_connection():
            found = self._look()
            if found is None:
                self._create()
                found = self._look()
            schema, agrees = found or (0, False)
            if isinstance(self.path, Server):
                self.read_only = read_only or not self.database.backend.may_write()
            elif read_only and copy is None and schema != tables.SCHEMA:  # a copy is migrated in its place
                self.database.close()
                copy = self._copy(self.path)
                self.database = Database(self.path, wait, copy)
            if schema != tables.SCHEMA and self.read_only:
                if isinstance(self.path, Server):
                    raise ResumeError(
                        f"{self.path} was written by an earlier version of alkit, and cannot be changed here",
                        got=f"schema {schema}",
                        expected=f"schema {tables.SCHEMA}",
                        hint="open it once as a user who may write",
                    )
                migrations.migrate(self.database, keep=False)
            elif schema != tables.SCHEMA:
                with self.exclusive():
                    migrations.migrate(self.database, keep=True)
            elif not agrees and not (self.read_only and copy is None):  # a replica may be late
                self.database.complete()
            self._opened = True
            if isinstance(self.path, Path):
                self._warn_of_later_backup(self.path)
        if self.read_only:
            self.database.freeze(*(["it was opened with read_only=True"] if read_only else []))
        if self._address is not None and self.fact(ELSEWHERE) is None:
            raise ConfigurationError(
                f"files must be left out, because those of {self.path} are beside it", got=repr(self._address)
            )

    def _warn_of_later_backup(self, path: Path) -> None:
        with self.database.reading() as connection:
            lines = self.database.position(connection).lines
        with suppress(StoreError, OSError):  # no space for copies; a backup was just deleted
            for sentence in islice(later_backups(path, self.database.copy or path, lines), 1):
                log.warning("%s; otherwise run alkit repair, which keeps what the backup has", sentence)

    def _check_file(self, path: Path) -> bool:
        """Check the path of the database file, and return whether it can only be read."""
        check_reachable(path)
        if path.is_dir():
            raise StoreError(f"{path} is a folder", expected="the record's file", hint=f"{path / 'record.db'}")
        self.files = path.with_name(path.name + ".files")
        self.backups = path.with_name(path.name + ".backups")
        guard.check_files(path)
        if not (read_only := is_read_only(path)):
            make_folder(path.parent)
            warn_of_network_folder(path)
        return read_only

    def _create(self) -> None:
        """Begin a record, unless another process has just done so."""
        backend, address = self.database.backend, self._address
        if traces := backend.traces():
            raise StoreError(
                f"{self.path} is {'damaged: it is empty' if self.path.exists() else 'missing'}",
                got=f"{', '.join(traces)} of an earlier record",
                hint=f"{REPAIR}; or move these away, to begin another record",
            )
        if self.read_only:
            raise StoreError(f"{self.path} is empty, and cannot be written", hint="another file")
        if isinstance(self.path, Server):
            address = self._known_address()
        new: dict[str, Any] = {"schema": tables.SCHEMA}
        with self.exclusive():
            if isinstance(self.path, Server) and backend.exists():
                return
            if address is not None:
                new[ELSEWHERE] = begin_elsewhere(address, backend.identity())
                self._attach(new[ELSEWHERE])
            with self.database.transaction() as connection:
                if not tables.names(connection):
                    self.database.create(connection)
                    rows = [{"name": name, "value": json.dumps(value)} for name, value in new.items()]
                    self.database.insert(connection, facts, rows)

    def _known_address(self) -> str:
        """Return where the files are, if they are elsewhere."""
        if (address := given_address(self._address)) is None:
            raise ConfigurationError(
                f"the labels and models of {self.path} are elsewhere, and the record does not say where",
                hint=f"files='s3://bucket/prefix', or {VARIABLE} in the environment",
            )
        return address

    def _attach(self, id: str) -> None:
        """Use the journal of a record on a server, which lies beside its files."""
        if isinstance(self.database.backend, PostgreSQL):
            place = place_elsewhere(self._known_address(), id, self.database.backend.identity())
            self.database.backend.attach(JournalObjects(place.inside("journal")))

    @property
    def contents(self) -> Files:
        """The labels, models and clusters.

        Raises
        ------
        ConfigurationError
            They are elsewhere, and nobody has said where.
        """
        if self._contents is None:
            id = self.fact(ELSEWHERE)
            if id is None:
                self._contents = files_in(self.files)
            else:
                self._contents = files_elsewhere(self._known_address(), id, self.database.backend.identity())
        return self._contents

    def one_connection(self) -> AbstractContextManager[None]:
        """Let this thread read by one connection inside the block, which must be short."""
        return self.database.backend.holding(True)

    def no_connection(self) -> AbstractContextManager[None]:
        """Hold no connection inside the block, which may take long."""
        return self.database.backend.holding(False)

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Let all readings of this thread inside the block see one state of the record; nothing is written in it.

        Raises
        ------
        RemovedMeanwhileError
            A label could not be read, because another process has removed its image.
        """
        before: list[Any] = []
        try:
            with self.database.moment():
                before.append(self.fact(REMOVED))
                yield
        except StoreError as problem:
            if before and [self.fact(REMOVED)] != before:
                raise RemovedMeanwhileError(
                    f"another process has just removed an image from {self.path}", hint="the same again"
                ) from problem
            raise

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def _copy(self, path: Path) -> Path:
        """Return a copy of the database file, which is deleted with this object."""
        folder = make_temporary_folder()
        delete_with(self, folder)
        return copy_database(path, folder)

    def _look(self) -> tuple[int, bool] | None:
        """Return the schema of the record, and whether its journal agrees with it; None if the record is empty.

        Raise an error if this is not a record that can be read or migrated.
        """
        if not self.database.backend.exists():
            return None
        with self.database.reading() as connection:
            if not (names := tables.names(connection)):
                return None
            if "facts" not in names and self.database.backend.traces():
                raise StoreError(f"{self.path} is damaged: the table facts is missing", hint=REPAIR)
            if "facts" not in names:
                raise StoreError(
                    f"{self.path} is a database, but not a record of alkit",
                    got=f"tables {', '.join(sorted(names))}",
                    hint="choose another file",
                )
            schema = migrations.schema_of(self.database, connection)
            migrations.check_schema(self.path, schema)
            expected = {table.name for table in (*tables.TABLES, tables.totals, tables.journal)}
            if schema == tables.SCHEMA and (missing := expected - names):
                raise StoreError(f"{self.path} is damaged: table {', '.join(sorted(missing))} is missing", hint=REPAIR)
            if isinstance(self.path, Server):
                self._attach(str(self._fact(connection, ELSEWHERE)))
            return schema, schema == tables.SCHEMA and self.database.agrees(connection)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from changing the record inside the block; may be nested.

        Raises
        ------
        StoreBusyError
            Another process held it for longer than ``wait`` seconds. The system frees the lock of a killed process.
        """
        self.database.check_writable()
        if (lock := self._locks.get(os.getpid())) is None:
            lock = self._locks[os.getpid()] = self.database.backend.lock()
        depth = lock.lock_counter
        try:
            try:
                lock.acquire(timeout=self.wait)
            except Timeout as reason:
                raise StoreBusyError(
                    f"another process is working on {self.path}, and still was after {self.wait:g} s",
                    hint="let it finish, or stop it: nothing committed is lost",
                ) from reason
            except OSError as reason:
                raise StoreError(f"cannot lock {self.path} ({reason.strerror})") from reason
            if self._opened and lock.lock_counter == 1:
                with self.database.reading() as connection:
                    agrees = self.database.agrees(connection)
                if not agrees:  # a writer was killed or could not commit; the block must see its changes
                    self.database.complete()
            yield
        finally:
            while lock.lock_counter > depth:  # also if Ctrl-C came just after the lock was acquired
                lock.release()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Record everything that is changed inside the block at once, or nothing if it ends in an error.

        Nobody else can change the record meanwhile, not even tell an answer, so the block must be short. Steps, such as
        a training, are refused in it: they delete files that nothing brings back.

        Raises
        ------
        StoreBusyError
            As for :meth:`exclusive`.
        """
        with self.exclusive(), self.database.together():
            yield

    def _check_apart(self, name: str) -> None:
        """Raise a :class:`QueryError` inside a block of :meth:`together`."""
        if self.database.is_together:
            raise QueryError(
                f"{name} was called inside together() of the same record",
                got="a step, which may delete files that would be missing if the block ended in an error",
                hint=f"call {name} after the block",
            )

    @checked
    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Keep others from changing the record, as :meth:`exclusive` does, and this thread from a step inside a step.

        A step runs functions of the user: strategies, learners, oracles and listeners.

        Parameters
        ----------
        name:
            The call, for the message.

        Raises
        ------
        QueryError
            Such a function calls a step itself, which would change what the step around it goes by; or this is inside
            :meth:`together`.
        StoreBusyError
            As for :meth:`exclusive`.
        """
        if (around := getattr(self._step, "name", None)) is not None:
            raise QueryError(
                f"{name} was called inside {around} of the same record",
                got="a call by one of its functions, such as a strategy, a learner, an oracle or a listener",
                hint=f"call {name} after {around} has returned; such a function works with its arguments alone",
            )
        self._check_apart(name)
        with self.exclusive():
            self._step.name = name
            try:
                yield
            finally:
                self._step.name = None

    # Facts: values that hold for the whole experiment.

    @checked
    def fact(self, name: str) -> Any:
        """Return a recorded fact, or None. Classes have their present addresses, whenever it was recorded."""
        with self.database.reading() as connection:
            found = self.database.rows(connection, facts, name=name)
        if not found:
            return None
        return to_present(self._parsed(name, found[0][1]))

    def names(self) -> list[str]:
        """Return the names of all facts, sorted."""
        with self.database.reading() as connection:
            return [row[0] for row in self.database.all_rows(connection, facts)]

    def _parsed(self, name: str, text: str) -> Any:
        try:
            value = json.loads(text)
            if has_form(name, value):
                return value
        except (ValueError, RecursionError):
            pass
        raise StoreError(f"{self.path} is damaged: the fact {name!r} is not what alkit writes", hint=REPAIR)

    @checked
    def declare(self, values: Mapping[str, Any], *, replace_all: bool = False) -> None:
        """Record facts, all or none; each may be recorded once. `replace_all` forgets all earlier ones."""
        rows = [{"name": name, "value": stored_json(name, value)} for name, value in values.items()]
        with self.database.transaction() as connection:
            if replace_all:
                self.database.delete(connection, facts, facts.c.name.not_in(LASTING))
            self.database.insert(connection, facts, rows)

    @checked
    def revise(self, name: str, change: Callable[[Any], Any]) -> None:
        """Replace a fact by the result of `change`, which gets its value. None stands for a fact that is missing."""
        with self.database.transaction() as connection:
            self._revise(connection, name, change)

    @checked
    def revise_all(self, changes: Mapping[str, Callable[[Any], Any]]) -> None:
        """Replace facts as :meth:`revise` does, all or none."""
        with self.database.transaction() as connection:
            for name, change in changes.items():
                self._revise(connection, name, change)

    @checked
    def revise_unanswered(self, name: str, change: Callable[[Any], Any]) -> None:
        """Replace a fact as :meth:`revise` does, unless anything was ever answered."""
        with self.database.transaction() as connection:
            if not self._has_answers(connection):
                self._revise(connection, name, change)

    def _fact(self, connection: sa.Connection, name: str) -> Any:
        found = self.database.rows(connection, facts, name=name)
        return self._parsed(name, found[0][1]) if found else None

    def _revise(self, connection: sa.Connection, name: str, change: Callable[[Any], Any]) -> None:
        before = self._fact(connection, name)
        if (after := change(before)) == before:
            return
        self.database.delete(connection, facts, facts.c.name == name)
        if after is not None:
            self.database.insert(connection, facts, [{"name": name, "value": stored_json(name, after)}])

    @checked
    def replace(
        self,
        values: Mapping[str, Any],
        keep: Callable[[str], bool],
        *,
        unanswered: bool = False,
        without_queries: bool = False,
        withdrawn: Sequence[str] = (),
        sizes: Mapping[str, Sequence[Size]] | None = None,
        wanted: int | None = None,
    ) -> None:
        """Record facts and forget all others, except those whose name is kept, in one transaction with the queries.

        Parameters
        ----------
        unanswered:
            Whether the record must have no answer.
        without_queries:
            Whether all queries are deleted, none of which was answered, and their invalid answers.
        withdrawn:
            Images whose queries are closed, as :meth:`withdraw` does it.
        sizes, wanted:
            By image the sizes that its masks may have, and the number of answers that its query wants; None leaves it.

        Raises
        ------
        ResumeError
            The record must be `unanswered`, and another process has just recorded an answer.
        """
        with self.database.transaction() as connection:
            if unanswered:
                self._check_unanswered(connection)
            if without_queries:
                self._delete_queries(connection)
            if withdrawn:
                self._withdraw(connection, withdrawn)
            if sizes:
                self._change_queries(connection, sizes, wanted)
            known = [row[0] for row in self.database.rows(connection, facts)]
            gone = [name for name in known if name not in LASTING and (name in values or not keep(name))]
            for part in chunks(gone):
                self.database.delete(connection, facts, facts.c.name.in_(part))
            rows = [{"name": name, "value": stored_json(name, value)} for name, value in values.items()]
            self.database.insert(connection, facts, rows)

    # The whole record.

    def snapshot(self) -> Snapshot:
        """Return all queries, answers and rounds at this moment; they are read only if the record has changed."""
        with self.database.reading() as connection:
            state, kept = self.database.state(connection, *_IN_SNAPSHOT), self._snapshot
            if kept is None or kept[0] != state:
                # Another thread may read another state at the same time, and keep it.
                asked_now = self._read(connection, queries, self._asked, asked_from)
                told_now = self._read(connection, answers, self._told, recorded_from)
                asked = with_terms(asked_now[1], self.database.all_rows(connection, query_terms))
                told = with_queries(told_now[1], self.database.all_rows(connection, answer_queries))
                done = self.database.all_rows(connection, rounds)
                figures = by_round(self.database.all_rows(connection, round_figures))
                # This fact changes only with the rounds.
                unasked = self._fact(connection, UNASKED) or {}
                kept = state, make_snapshot(asked, told, done, unasked, figures)
                self._asked, self._told, self._snapshot = asked_now, told_now, kept
            return kept[1]

    def _read(self, connection: sa.Connection, table: sa.Table, last: _Rows[T], build: Callable[[Row], T]) -> _Rows[T]:
        """Return all rows of a table with the object built from each; take those that have not changed from `last`."""
        state, (last_state, known) = self.database.state(connection, table), last
        if state == last_state:
            return last
        found = self.database.all_rows(connection, table, known)
        return state, {row: known.get(row) or build(row) for row in found}

    def asked(self) -> list[Asked]:
        """Return all queries with their times and pre-labels, withdrawn ones included, by round and rank."""
        return list(self.snapshot().asked)

    def answers(self) -> list[Recorded]:
        """Return all answers in the order of their recording; :mod:`alkit.record.states` tells which of them count."""
        return list(self.snapshot().answers)

    def queries(self) -> list[Query]:
        """Return all queries that were not withdrawn, by round and rank."""
        return list(self.snapshot().queries)

    def rounds(self) -> list[RoundResult]:
        """Return the committed rounds."""
        return list(self.snapshot().rounds)

    def outline(self) -> tuple[list[RoundResult], dict[str, int]]:
        """Return the rounds without their ids, and the numbers of queries and answers, without reading these."""
        with self.database.reading() as connection:
            done = self.database.all_rows(connection, rounds)
            counts = self.database.state(connection, queries, answers)
            unasked = self._fact(connection, UNASKED) or {}
            figures = by_round(self.database.all_rows(connection, round_figures))
        return [result_from(row, (), unasked, figures) for row in done], {row[0]: row[1] for row in counts}

    # Queries.

    def has_queries(self) -> bool:
        """Whether anything was ever asked."""
        with self.database.reading() as connection:
            return connection.scalar(sa.select(queries.c.round).limit(1)) is not None

    def has_answers(self) -> bool:
        """Whether anything was ever answered; invalid answers do not count."""
        with self.database.reading() as connection:
            return self._has_answers(connection)

    def _has_answers(self, connection: sa.Connection) -> bool:
        return connection.scalar(sa.select(answers.c.number).where(answers.c.kind != "invalid").limit(1)) is not None

    def _check_unanswered(self, connection: sa.Connection) -> None:
        if self._has_answers(connection):
            raise ResumeError(
                f"an answer has just arrived in {self.path}, so its settings and queries stay",
                hint="the recorded settings, or another store",
            )

    @checked
    def sizes_of(self, ids: Collection[str] | None = None) -> dict[str, tuple[Size, ...]]:
        """Return by id the sizes that a mask may have, for those of these images, or of all, that were ever asked."""
        with self.database.reading() as connection:
            found = (
                self.database.all_rows(connection, queries)
                if ids is None
                else self.database.rows_of(connection, queries.c.id, ids)
            )
        return {row[3]: sizes_from(row[4]) for row in sorted(found, key=lambda row: int(row[2]))}  # by the call of ask

    def size_of_last_ask(self) -> int:
        """Return how many images the last call of ask chose; reviews do not count."""
        own = query_terms.c.round == queries.c.round, query_terms.c.rank == queries.c.rank
        review = sa.select(query_terms.c.round).where(*own, query_terms.c.purpose == "review").exists()
        last = sa.select(sa.func.max(queries.c.ask)).where(~review).scalar_subquery()
        with self.database.reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(queries.c.ask == last)) or 0

    @checked
    def count_ranks(self, round: int) -> int:
        """Return how many ranks of a round are taken, withdrawn queries included."""
        with self.database.reading() as connection:
            last = self.database.greatest(connection, queries.c.rank, queries.c.round == round)
        return 0 if last is None else last + 1

    @checked
    def add_queries(
        self,
        new: Sequence[Query],
        pseudo: Mapping[str, str] | None = None,
        prelabels: Mapping[int, str] | None = None,
        facts_now: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        """Record queries and the files of their round's pseudo-labels, all or none; they are durable on return.

        The database is backed up first. The pseudo-labels replace those of an earlier call for the same round.

        Parameters
        ----------
        prelabels:
            By rank the files of pre-labels.
        facts_now:
            Facts to replace in the same transaction, as in :meth:`revise_queries`.
        """
        self.database.check_writable()
        self.database.backend.back_up()
        with self.database.transaction() as connection:
            self._check_kept(connection, {*(pseudo or {}).values(), *(prelabels or {}).values()})
            now = self.database.now(connection)
            last = self.database.greatest(connection, queries.c.ask)
            rows = [
                {
                    "round": query.round,
                    "rank": query.rank,
                    "ask": 0 if last is None else last + 1,
                    "id": query.id,
                    "sizes": stored_json("sizes", query.sizes),
                    "score": query.score,
                    "stands_for": storable_text(query.stands_for),
                    "wanted": query.wanted,
                    "asked_at": now,
                    "prelabel": (prelabels or {}).get(query.rank),
                    "withdrawn": False,
                }
                for query in new
            ]
            self.database.insert(connection, queries, rows)
            self.database.insert(connection, query_terms, filter(None, map(terms_of, new)))
            round = new[0].round
            self.database.delete(connection, pseudo_labels, pseudo_labels.c.round == round)
            files = [{"round": round, "id": id, "label": file} for id, file in (pseudo or {}).items()]
            self.database.insert(connection, pseudo_labels, files)
            for name, change in (facts_now or {}).items():
                self._revise(connection, name, change)

    @checked
    def pseudo_labels(self, round: int) -> dict[str, str]:
        """Return by id the files of the pseudo-labels of a round, in sorted order."""
        with self.database.reading() as connection:
            found = self.database.rows(connection, pseudo_labels, round=round)
        return {id: label for _, id, label, _ in found}

    @checked
    def withdraw(self, ids: Sequence[str], *, reviews: Sequence[str] = ()) -> None:
        """Close the queries of some images without an answer, and the reviews of others, all or none.

        If no query of a round is left, and no model was trained in it, its pseudo-labels are deleted: they belong to
        that selection.
        """
        with self.database.transaction() as connection:
            self._withdraw(connection, ids)
            self._withdraw(connection, reviews, reviews=True)

    def _withdraw(self, connection: sa.Connection, ids: Sequence[str], *, reviews: bool = False) -> None:
        for part in chunks(ids):
            found = self.database.rows(connection, queries, queries.c.id.in_(part))
            terms = self.database.rows(connection, query_terms, purpose="review")
            of_reviews = {row[:2] for row in terms}
            found = [row for row in found if (row[:2] in of_reviews) == reviews]
            self.database.change(connection, queries, found, withdrawn=True)
        asked = sa.select(queries.c.round).where(queries.c.withdrawn == 0)
        done = sa.select(rounds.c.round)
        column = pseudo_labels.c.round
        self.database.delete(connection, pseudo_labels, column.not_in(asked), column.not_in(done))

    def _change_queries(
        self, connection: sa.Connection, sizes: Mapping[str, Sequence[Size]], wanted: int | None
    ) -> None:
        for row in self.database.all_rows(connection, queries):
            if row[3] in sizes:
                text = stored_json("sizes", list(sizes[row[3]]))
                number = row[7] if wanted is None else wanted
                self.database.change(connection, queries, [row], sizes=text, wanted=number)

    @checked
    def revise_queries(
        self,
        changed: Sequence[Query],
        facts_now: Mapping[str, Callable[[Any], Any]] | None = None,
        *,
        unless: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Replace the number of wanted answers and the terms of queries by those of these queries, all or none.

        Parameters
        ----------
        changed:
            The queries, as they are now.
        facts_now:
            Facts to replace in the same transaction, by name, as :meth:`revise` does it.
        unless:
            Called while no other process writes; if it returns True, nothing is changed.

        Returns
        -------
        done:
            Whether they were replaced.

        Raises
        ------
        StoreError
            There is no query with such a round and rank.
        """
        with self.database.transaction() as connection:
            if unless():
                return False
            for query in changed:
                key = queries.c.round == query.round, queries.c.rank == query.rank
                if not (found := self.database.rows(connection, queries, *key)):
                    raise StoreError(f"{self.path} has no query {query.rank} in round {query.round}")
                if found[0][7] != query.wanted:
                    self.database.change(connection, queries, found, wanted=query.wanted)
                own = query_terms.c.round == query.round, query_terms.c.rank == query.rank
                before, after = self.database.rows(connection, query_terms, *own), terms_of(query)
                if [row[2:5] for row in before] != ([] if after is None else [tuple(after.values())[2:]]):
                    self.database.delete(connection, query_terms, *own)
                    self.database.insert(connection, query_terms, [] if after is None else [after])
            for name, change in (facts_now or {}).items():
                self._revise(connection, name, change)
        return True

    def delete_queries(self) -> None:
        """Delete all queries, none of which was answered, and their invalid answers.

        Raises
        ------
        ResumeError
            Another process has just recorded an answer.
        """
        with self.database.transaction() as connection:
            self._delete_queries(connection)

    def _delete_queries(self, connection: sa.Connection) -> None:
        self._check_unanswered(connection)
        for table in (queries, query_terms, answers, answer_queries, pseudo_labels):
            self.database.delete(connection, table)

    @checked
    def mark_sent(self, ids: Collection[str]) -> None:
        """Record that the open queries of these images were sent to an oracle; the first time counts."""
        with self.database.transaction() as connection:
            self._mark_sent(connection, ids)

    @checked
    def set_prelabels(self, files: Mapping[str, str]) -> None:
        """Record by id the files of the pre-labels that are sent with open queries."""
        with self.database.transaction() as connection:
            self._check_kept(connection, set(files.values()))
            for part in chunks(files):
                for row in self.database.rows(connection, queries, queries.c.id.in_(part), queries.c.withdrawn == 0):
                    self.database.change(connection, queries, [row], prelabel=files[row[3]])

    def _mark_sent(self, connection: sa.Connection, ids: Collection[str]) -> None:
        now = self.database.now(connection)
        for part in chunks(ids):
            conditions = queries.c.id.in_(part), queries.c.withdrawn == 0, queries.c.sent_at.is_(None)
            found = self.database.rows(connection, queries, *conditions)
            self.database.change(connection, queries, found, sent_at=now)

    # Answers.

    @checked
    def add_answers(
        self,
        ids: Collection[str],
        decide: Callable[[Sequence[Asked], Sequence[Recorded]], Iterable[Recorded]],
        *,
        sent: bool = False,
        labels: Collection[str | None] = (),
        sent_back: Callable[[Sequence[Recorded], Sequence[Recorded]], Mapping[int, str]] | None = None,
    ) -> None:
        """Record answers, all or none; no other process writes between the decision and the recording.

        Parameters
        ----------
        ids:
            The images that the answers are for.
        decide:
            Called with their queries and their earlier answers; returns the answers to record. Their numbers and times
            are set here. If it raises an error, nothing is recorded.
        sent:
            Whether an oracle gave the answers. Then their queries were sent to it, even if a killed process did not
            record that.
        labels:
            Names of the files of their labels.
        sent_back:
            Called with the answers to record and the earlier ones; returns by number the reasons for which earlier ones
            are sent back.
        """
        with self.database.transaction() as connection:
            asked = self._asked_of(connection, ids)
            before = {row: recorded_from(row) for row in self.database.rows_of(connection, answers.c.id, ids)}
            given = self.database.rows_of(connection, answer_queries.c.number, [row[0] for row in before])
            known = list(with_queries(before, given).values())
            last = self.database.greatest(connection, answers.c.number) or 0
            now = self.database.now(connection)
            try:
                decided = list(decide(asked, known))
            except StoreError:
                self._check_kept(connection, labels)  # which says why one of them cannot be read
                raise
            rows = [
                {**asdict(answer), "number": number, "told_at": now}
                for number, answer in enumerate(decided, start=last + 1)
            ]
            self._check_kept(connection, {row["label"] for row in rows})
            self.database.insert(connection, answers, rows)
            self.database.insert(connection, answer_queries, [row for row in rows if row["query"] is not None])
            for number, reason in sent_back(decided, known).items() if sent_back else ():
                told = self.database.rows(connection, answers, number=number)
                self.database.change(connection, answers, told, rejected=reason)
            if sent and (unsent := {entry.query.id for entry in asked if entry.sent_at is None}):
                self._mark_sent(connection, unsent & {row["id"] for row in rows})

    def _asked_of(self, connection: sa.Connection, ids: Collection[str]) -> list[Asked]:
        """Return the queries of some images."""
        found = {row: asked_from(row) for row in self.database.rows_of(connection, queries.c.id, ids)}
        key, terms = sa.tuple_(query_terms.c.round, query_terms.c.rank), list[Row]()
        for part in chunks(found, FEW // 2):  # a key has two values
            terms += self.database.rows(connection, query_terms, key.in_([row[:2] for row in part]))
        return list(with_terms(found, terms).values())

    def _check_kept(self, connection: sa.Connection, names: Collection[str | None]) -> None:
        """Check that labels are still there: a removal may delete one that no row referred to until now."""
        if not self.database.rows(connection, facts, name=REMOVED):
            return
        with ThreadPoolExecutor(AT_ONCE) as threads:
            there = list(threads.map(self.contents.exists, filter(None, names)))
        if not all(there):
            raise StoreError(
                "a label was not recorded, because it was deleted meanwhile with an image that had an equal one",
                hint="the same again",
            )

    @checked
    def reject(self, numbers: Collection[int], reason: str) -> int:
        """Send answers back; they do not count any more. Return how many these are.

        Answers to images that were removed meanwhile stay empty.
        """
        done = 0
        with self.database.transaction() as connection:
            for part in chunks(numbers):
                found = self.database.rows(connection, answers, answers.c.number.in_(part), answers.c.kind != "invalid")
                self.database.change(connection, answers, found, rejected=reason)
                done += len(found)
        return done

    # Removal.

    @checked
    def take_out(self, id: str, facts_now: Callable[[Sequence[str]], Mapping[str, Any]]) -> None:
        """Take an image out of the rows of answers, queries and pseudo-labels, and record facts, all or none.

        Parameters
        ----------
        facts_now:
            Called with the names of the files that no row refers to any more; returns the facts to replace.
        """
        self.contents.check_owned()
        with self.database.transaction() as connection:
            told = self.database.rows(connection, answers, id=id)
            asked = self.database.rows(connection, queries, id=id)
            predicted = self.database.rows(connection, pseudo_labels, id=id)
            before = {row[5] for row in told} | {row[10] for row in asked} | {row[2] for row in predicted}
            self.database.change(connection, answers, told, **ANSWER)
            self.database.change(connection, queries, asked, **QUERY)
            for row in asked:
                own = query_terms.c.round == row[0], query_terms.c.rank == row[1]
                found = self.database.rows(connection, query_terms, *own)
                self.database.change(connection, query_terms, found, assigned=None, due=None)
            self.database.delete(connection, pseudo_labels, pseudo_labels.c.id == id)
            for row in self.database.rows(connection, round_figures, name="audit"):
                figures = without_image(json.loads(row[2]), id)
                self.database.change(connection, round_figures, [row], value=stored_json("audit", figures))
            unused = before - self._label_files(connection) - {None}
            for name, value in facts_now(sorted(unused)).items():
                self._revise(connection, name, lambda former, value=value: value)  # type: ignore[misc]

    def _label_files(self, connection: sa.Connection) -> set[str | None]:
        """Return the names of the labels, pre-labels and pseudo-labels to which rows refer."""
        found = {row[5] for row in self.database.all_rows(connection, answers)}
        found |= {row[10] for row in self.database.all_rows(connection, queries)}
        return found | {row[2] for row in self.database.all_rows(connection, pseudo_labels)}

    @checked
    def used(self, numbers: Collection[int]) -> list[tuple[int, int | None]]:
        """Return the first and the last round whose model used each of these answers; None: the last of all rounds."""
        with self.database.reading() as connection:
            found = self.database.rows_of(connection, answers.c.number, numbers)
        return [(row[10], row[11]) for row in found if row[10] is not None]

    @checked
    def delete_files(self, names: Collection[str] = (), *, strays: bool = True) -> None:
        """Delete files to which no row refers: these, and the labels of answers that were refused or interrupted.

        Another image may have got a label that equals one of them.

        Parameters
        ----------
        strays:
            Whether such labels are deleted. Another process may be about to record some of them, and fails then.

        Raises
        ------
        StoreError
            One is still there.
        """
        with self.database.transaction() as connection:  # nobody refers to them meanwhile, see add_answers
            others = [name for ending in LABELS for name in self.contents.names(ending)] if strays else []
            unused = sorted({*names, *others} - self._label_files(connection))
            self.contents.delete(unused)
        if left := [name for name in unused if self.contents.exists(name)]:
            raise StoreError(
                f"{count(len(left), 'file')} cannot be deleted, such as {self.contents.place.shown(left[0])}",
                hint="check the permissions, and do the same again",
            )

    def check_purge(self) -> None:
        """Check that :meth:`purge` deletes no backup with answers or rounds that the record lacks.

        Raises
        ------
        StoreError
            A backup of another state of the record has some, or nobody knows because a backup cannot be read.
        """
        for copy in latest_first(self.backups) if isinstance(self.path, Path) else ():
            try:
                check_whole(copy)
            except OSError as reason:
                raise StoreError(
                    f"{copy} cannot be read ({reason.strerror}), and may have the only copy of an answer",
                    hint="the same again; or delete it, if it stays so",
                ) from reason
        for sentence in later_backups(self.path, self.path) if isinstance(self.path, Path) else ():
            raise StoreError(
                f"the backups of {self.path} cannot be deleted, because they may have the only copy of an answer: "
                f"{sentence}",
                hint="alkit repair, which keeps what the backup has, and the same again in the repaired record",
            )

    def purge(self) -> None:
        """Delete former values of rows from the journal, the backups and the unused parts of the database.

        Raises
        ------
        StoreBusyError
            Another process has the record open, so that the database cannot be rewritten.
        """
        self._check_apart("purge()")
        self.database.rewrite_journal()
        with self.database.reading() as connection:
            lines = self.database.position(connection).lines
        self.database.backend.purge(lines)

    # Rounds.

    @checked
    def commit_round(
        self,
        result: RoundResult,
        model: bytes,
        labels: str,
        consumed: Collection[int] = (),
        keep: Collection[int] = (),
        facts_now: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        """Record a finished round completely, with its model, and back the database up.

        The models of earlier rounds are deleted, but for some, and so are the unfinished files of killed processes.

        Parameters
        ----------
        labels:
            A stamp of the labels the model was trained on.
        consumed:
            Numbers of the answers that the model was trained on or measured by.
        keep:
            Earlier rounds whose models stay, if they are still there.
        facts_now:
            Facts to replace in the same transaction, as in :meth:`revise_queries`.
        """
        self._check_apart("commit_round()")
        name = self.keep(model, ".model")
        with self.database.transaction() as connection:
            known = self.database.rows(connection, rounds, rounds.c.model.is_not(None))
            named = {name} | {row[6] for row in known if row[0] in keep}
            done = [row for row in known if row[0] not in keep]
            self.database.change(connection, rounds, done, model=None)
            self._mark_used(connection, set(consumed), result.round)
            row = {
                "round": result.round,
                "labels": labels,
                "n_labels": result.n_labels,
                "n_pseudo": result.n_pseudo,
                "n_held_out": result.n_held_out,
                "agreement": result.agreement,
                "model": name,
                "metrics": stored_json("metrics", result.metrics),
                "seconds": stored_json("seconds", result.seconds),
                "committed_at": self.database.now(connection),
                "warnings": stored_json("warnings", result.warnings) if result.warnings else None,
            }
            self.database.insert(connection, rounds, [row])
            self._set_figures(connection, result.round, figures_of(result))
            self._revise(connection, UNASKED, lambda before: _with_count(before, result))
            for fact, change in (facts_now or {}).items():
                self._revise(connection, fact, change)
        self.contents.delete([other for other in self.contents.names(".model") if other not in named])
        try:
            self.database.backend.back_up()
        except StoreError as reason:  # the round is recorded all the same
            log.warning("no backup after round %d: %s", result.round, reason)

    def _mark_used(self, connection: sa.Connection, consumed: Collection[int], round: int) -> None:
        last = self.database.greatest(connection, rounds.c.round)
        number, used_from, used_until = (answers.c.keys().index(n) for n in ("number", "used_from", "used_until"))
        new, again, dropped = list[Row](), list[Row](), list[Row]()
        for row in self.database.all_rows(connection, answers):
            if row[number] in consumed and row[used_from] is None:
                new.append(row)
            elif row[number] in consumed and row[used_until] is not None:
                again.append(row)
            elif row[number] not in consumed and row[used_from] is not None and row[used_until] is None:
                dropped.append(row)
        self.database.change(connection, answers, new, used_from=round)
        self.database.change(connection, answers, again, used_until=None)
        self.database.change(connection, answers, dropped, used_until=last)

    @checked
    def measure_round(
        self,
        round: int,
        metrics: Mapping[str, float],
        seconds: Mapping[str, float],
        figures: Mapping[str, Mapping[str, Any]] | None = None,
        warnings: Sequence[str] | None = None,
        facts_now: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        """Record what the model of a committed round was measured by, all or nothing.

        Parameters
        ----------
        metrics, seconds:
            Its metrics, and the times of its stages.
        figures:
            Further figures by name, in place of those of the same names; an empty mapping removes one.
        warnings:
            All warnings of the round; None for those that it has.
        facts_now:
            Facts to replace in the same transaction, as in :meth:`revise_queries`.
        """
        texts: dict[str, str | None] = {
            "metrics": stored_json("metrics", metrics),
            "seconds": stored_json("seconds", seconds),
        }
        if warnings is not None:
            texts["warnings"] = stored_json("warnings", warnings) if warnings else None
        with self.database.transaction() as connection:
            found = self.database.rows(connection, rounds, round=round)
            self.database.change(connection, rounds, found, **texts)
            self._set_figures(connection, round, figures or {})
            for name, change in (facts_now or {}).items():
                self._revise(connection, name, change)

    def _set_figures(self, connection: sa.Connection, round: int, figures: Mapping[str, Mapping[str, Any]]) -> None:
        names = round_figures.c.name.in_(list(figures))
        self.database.delete(connection, round_figures, round_figures.c.round == round, names)
        named = {name: value for name, value in figures.items() if value}
        rows = [{"round": round, "name": name, "value": stored_json(name, value)} for name, value in named.items()]
        self.database.insert(connection, round_figures, rows)

    def last_model(self) -> tuple[str, str] | None:
        """Return the file of the last round's model and the stamp of its labels; None before the first round."""
        with self.database.reading() as connection:
            last = sa.select(sa.func.max(rounds.c.round)).scalar_subquery()
            return model_from(self.database.rows(connection, rounds, rounds.c.round == last))

    def models(self) -> dict[int, str]:
        """Return the files of the models that are kept, by round."""
        with self.database.reading() as connection:
            found = self.database.rows(connection, rounds, rounds.c.model.is_not(None))
        return {row[0]: row[6] for row in found}

    @checked
    def used_in(self, round: int) -> frozenset[int]:
        """Return the numbers of the answers that the model of a round was trained on or measured by."""
        with self.database.reading() as connection:
            found = self.database.all_rows(connection, answers)
        return frozenset(
            row[0]
            for row in found
            if row[10] is not None and row[10] <= round and (row[11] is None or round <= row[11])
        )

    # Files.

    @checked
    def keep(self, content: bytes, suffix: str) -> str:
        """Store `content` as a file and return its name; see :meth:`Files.write`."""
        return self.contents.write(content, suffix)

    @checked
    def content(self, name: str) -> bytes:
        """Return the content of a file; see :meth:`Files.read`."""
        return self.contents.read(name)


def _with_count(before: Mapping[str, int] | None, result: RoundResult) -> dict[str, int] | None:
    """Return the numbers of labels that nobody asked for, by round, with that of a new round; None if all are 0.

    Rounds that a repair lost leave numbers behind, which the new round replaces.
    """
    counts = {number: n for number, n in (before or {}).items() if int(number) < result.round}
    return {**counts, **({str(result.round): result.n_unasked} if result.n_unasked else {})} or None


def in_one_moment(work: F) -> F:
    """Let a function see one state of the record that is its first argument: see :meth:`Store.moment`."""
    name = next(iter(signature(work).parameters))

    @wraps(work)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        record = args[0] if args else kwargs.get(name)
        with record.moment() if isinstance(record, Store) else nullcontext():
            return work(*args, **kwargs)

    return wrapper  # type: ignore[return-value]
