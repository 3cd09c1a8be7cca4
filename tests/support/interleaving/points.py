"""The points at which a step may be interrupted: whatever it reads, writes, locks or calls.

Between two points a step does one thing that another process could see or disturb. So a second process that works for a
while is as if it worked at one of them. What a step reads or writes after each point is noted, so that points between
which nothing happens that concerns the second process need not be tried.
"""

from __future__ import annotations

import functools
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alkit.configuration import registry
from alkit.record import sqlite as sqlite_module
from alkit.record.postgresql import PostgreSQL
from alkit.record.sqlite import SQLite
from alkit.record.store import Store

WRITES = os.O_WRONLY | os.O_RDWR

EVENTS = {"os.rename": "rename", "os.remove": "unlink", "os.scandir": "list", "os.listdir": "list"}
"""The events of Python that are points, and their names."""

WRITE, FILES, CACHE = "write", "files", "cache"
"""What a step does at a point: it changes something, or reads a file of the record or of the cache."""

TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE) (\w+)")


class Points:
    """Counts the points of the step that runs, and calls something at one of them."""

    def __init__(self) -> None:
        self.folders: tuple[str, ...] = ()  # whose files count
        self._armed = False
        self._thread = threading.get_ident()
        self._at, self._action = -1, lambda: None
        self.seen: list[str] = []
        self.touched: list[set[str]] = []
        self.within: list[int] = []  # by point the number of the lock that is held; 0 if none is
        self._locks = self._depth = 0

    @contextmanager
    def armed(self, at: int = -1, action: Callable[[], None] = lambda: None) -> Iterator[list[str]]:
        """Count the points in the block, and call `action` at the one with a number; yield their names."""
        self.seen, self.touched, self.within = [], [], []
        self._at, self._action, self._locks, self._depth = at, action, 0, 0
        self._armed = True
        try:
            yield self.seen
        finally:
            self._armed = False

    def reach(self, name: str, what: str = "") -> None:
        """Tell that a point is reached, and what happens then: :data:`WRITE`, :data:`FILES` or :data:`CACHE`."""
        if not self._armed or threading.get_ident() != self._thread:
            return
        self._armed = False
        try:
            self.seen.append(name)
            self.touched.append({what} - {""})
            self.within.append(self._locks if self._depth else 0)
            if len(self.seen) - 1 == self._at:
                self._action()
        finally:
            self._armed = True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Note that the step that runs holds the lock of the record in the block."""
        counts = self._armed
        if counts:
            self._locks += not self._depth
            self._depth += 1
        try:
            yield
        finally:
            self._depth -= counts

    def touch(self, statement: str, parameters: Any) -> None:
        """Note the tables of a statement, and the names of facts."""
        if not self._armed or not self.touched:
            return
        given = [value for value in _values(parameters) if isinstance(value, str)]
        for table in TABLE.findall(statement):
            if table in ("facts", "totals"):
                self.touched[-1].update(f"{table}.{value}" for value in given or ["*"])
            else:
                self.touched[-1].add(table)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an event of Python as a point, if it is one."""
        if not self._armed:
            return
        if event == "open":
            path, _, flags = arguments
            name = "write" if (flags or 0) & WRITES else "read"
        elif event in EVENTS:
            path, name = arguments[0], EVENTS[event]
        else:
            return
        if not isinstance(path, bytes | str | os.PathLike) or not os.fsdecode(path).startswith(self.folders):
            return
        path = Path(os.fsdecode(path))
        temporary = path.name.startswith(".writing-") and name != "rename"
        if temporary or path.name.endswith((".lock", "-journal")) or "state" in path.parts:
            return
        if name in ("read", "list"):
            if "exchange" in path.parts or "out" in path.parts:
                return
            what = CACHE if "cache" in path.parts else FILES
        else:
            what = WRITE
        self.reach(f"{name} {path.name[-24:]}", what)


def _values(parameters: Any) -> Iterator[Any]:
    match parameters:
        case dict():
            yield from parameters.values()
        case list() | tuple():
            for one in parameters:
                yield from _values(one)
        case _:
            yield parameters


points = Points()


class _Connection(sqlite3.Connection):
    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        if not statement.startswith("PRAGMA") or "checkpoint" in statement:
            points.reach(f"sqlite {statement[:16]}", WRITE if statement.startswith(("VACUUM", "PRAGMA")) else FILES)
        return super().execute(statement, *arguments)


def install() -> None:
    """Make points of everything that a step does to a record, in this process; no step waits for another one."""
    sys.addaudithook(points.hear)
    for backend in (SQLite, PostgreSQL):
        _install_transactions(backend)
    connect = sqlite3.connect

    def connect_at_once(path: Any, *arguments: Any, **more: Any) -> sqlite3.Connection:
        return connect(path, *arguments, **{**more, "timeout": 0, "factory": _Connection})

    sqlite3.connect = connect_at_once
    sa.event.listen(sa.Engine, "before_cursor_execute", lambda c, cursor, text, given, *_: points.touch(text, given))
    sqlite_module.make_engine = functools.cache(sqlite_module.make_engine)  # its statements; it keeps no connection
    registry._metadata = functools.cache(registry._metadata)
    exclusive, create = Store.exclusive, Store.__init__

    @contextmanager
    def locked(self: Store) -> Iterator[None]:
        points.reach("lock", WRITE)
        with exclusive(self), points.locked():
            yield
            points.reach("unlock", WRITE)

    def init(self: Store, path: Any, wait: float = 0, *arguments: Any, **more: Any) -> None:
        create(self, path, 0.0, *arguments, **more)

    Store.exclusive, Store.__init__ = locked, init


def _install_transactions(backend: type[Any]) -> None:
    begin = backend.begin

    @contextmanager
    def transaction(self: Any, statement: str) -> Iterator[Any]:
        writes = statement == backend.writing
        points.reach("begin to write" if writes else "begin to read", WRITE if writes else "")
        with begin(self, statement) as connection:
            yield connection
            if writes:
                points.reach("commit", WRITE)

    backend.begin = transaction
