"""The whole journal of a record, read line by line, and the rows that its changes make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alkit.record import tables
from alkit.record.journal import DIGITS, Line, Position, decode_line, n_answers

Rows = dict[tuple[Any, ...], dict[str, Any]]
"""Rows by primary key, without their digests."""

Content = dict[str, Rows]
"""The rows of each table."""


@dataclass(frozen=True)
class History:
    """What can be read of a journal.

    Parameters
    ----------
    size:
        Bytes of the file.
    lines:
        The intact lines of complete transactions, by number.
    damaged:
        Numbers of the lines that are not what alkit wrote. If there are several in a row, the first ones are named.
    rest:
        Bytes behind the last complete transaction, if no damaged line is among them.
    """

    size: int = 0
    lines: Mapping[int, Line] = field(default_factory=dict)
    damaged: tuple[int, ...] = ()
    rest: int = 0

    @property
    def end(self) -> Position:
        """The position behind the last intact line."""
        return self.lines[max(self.lines)].end if self.lines else Position()

    @property
    def ends_well(self) -> bool:
        """Whether nothing damaged or unfinished follows the last intact line."""
        return not self.rest and max(self.damaged, default=0) < self.end.lines

    @property
    def whole(self) -> bool:
        """Whether the record was known to contain everything when this journal began."""
        return 1 in self.lines and bool(self.lines[1].change[1]["whole"])

    @property
    def n_transactions(self) -> int:
        """Number of transactions that have an intact last line."""
        return sum(line.number == line.last for line in self.lines.values())

    @property
    def n_answers(self) -> int:
        """Number of answers that its intact lines add."""
        return n_answers([line.change for line in self.lines.values()])

    def continues(self, position: Position) -> bool:
        """Whether a position is one of this journal, and all lines behind it are intact."""
        line = self.lines.get(position.lines)
        known = not position.lines or (line is not None and line.end == position)
        return known and all(number in self.lines for number in range(position.lines + 1, self.end.lines + 1))

    def contradicts(self, position: Position) -> bool:
        """Whether the journal is not the one that a position belongs to."""
        line = self.lines.get(position.lines)
        return line is not None and line.end != position

    def after(self, number: int, until: int | None = None) -> list[Line]:
        """Return the intact lines after line `number`, up to line `until` or to the end."""
        last = self.end.lines if until is None else until
        return [line for key, line in self.lines.items() if number < key <= last]


def read_history(path: Path) -> History | None:
    """Return what can be read of a journal; None if the file cannot be read.

    A line after a damaged one is intact if its chained digest follows from the one that the damaged line states.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    lines, damaged = dict[int, Line](), list[int]()  # `lines` stays sorted by number
    offset, chain, next_number, least = 0, "", 1, 1
    *texts, unfinished = content.split(b"\n")
    for text in texts:
        line = decode_line(text, Position(next_number - 1, offset, chain))
        if line is None or line.number < least:
            damaged.append(next_number)
            next_number += 1
        else:
            lines[line.number] = line
            next_number = least = line.number + 1
        offset += len(text) + 1
        chain = text[-DIGITS:].decode(errors="replace")
    done = max((line.number for line in lines.values() if line.number == line.last), default=0)
    complete = {number: line for number, line in lines.items() if number <= done}
    rest = len(content) - (complete[done].end.length if complete else 0)
    if damaged and max(damaged) > done:
        rest = len(unfinished)
    return History(len(content), complete, tuple(damaged), rest)


def apply(content: Content, lines: Iterable[Line]) -> None:
    """Make the changes of some lines. Rows that were lost are passed over."""
    for line in lines:
        kind, name, *rest = line.change
        if kind == "record":
            continue
        table, own = tables.BY_NAME[name], content[name]
        columns = table.c.keys()[:-1]
        if kind == "insert":
            row = dict(zip(columns, rest[0], strict=True))
            own[tuple(row[column.name] for column in table.primary_key)] = row
            continue
        for key in map(tuple, rest[0]):
            if kind == "delete":
                own.pop(key, None)
            elif key in own:
                own[key] = {**own[key], **rest[1]}


def empty() -> Content:
    """Return tables without rows."""
    return {table.name: {} for table in tables.TABLES}


def cluster_files(facts: Rows) -> dict[str, str]:
    """Return the file of each set of clusters, by the name of its fact."""
    found = {}
    for (name,), row in facts.items():
        if str(name).startswith("clusters of ") and isinstance(file := json.loads(row["value"]), str):
            found[str(name)] = file
    return found
