"""The whole journal of a record, read line by line, and the rows that its changes make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alkit.record import tables
from alkit.record.journal import Journal
from alkit.record.journal_lines import DIGITS, Line, Position, chain, decode_line, n_answers, own_digest, parse_line
from alkit.record.places import not_permitted

FEW = 8
"""Number of wrong digits with which a digest is still recognised. Another line has about 30 wrong ones of 32."""

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
        return [line for key, line in sorted(self.lines.items()) if number < key <= last]


def read_history(path: Path, end: Position | None = None) -> History | None:
    """Return what can be read of a journal; None if the file cannot be read; see :func:`history_of`.

    Parameters
    ----------
    end:
        The end that the database states, as :meth:`alkit.record.journal.Journal.content` takes it.

    Raises
    ------
    UnreachableError
        This user may not read it.
    """
    try:
        return history_of(Journal(path).content(end))
    except PermissionError as reason:
        raise not_permitted(path, reason) from reason
    except OSError:
        return None


def history_of(content: bytes) -> History:
    """Return what can be read of a journal.

    A line after a damaged one is intact if the first part of its digest holds.
    """
    lines, damaged = dict[int, Line](), list[int]()
    before = Position()
    *texts, unfinished = content.split(b"\n")
    for text in texts:
        line = _read_line(text, before, follows=not damaged or damaged[-1] != before.lines)
        if line is None or line.number in lines:
            damaged.append(before.lines + 1)
            stated = text[-DIGITS:].decode(errors="replace")
            before = Position(before.lines + 1, before.length + len(text) + 1, stated)
        else:
            lines[line.number] = line
            before = line.end
    done = max((line.number for line in lines.values() if line.number == line.last), default=0)
    complete = {number: line for number, line in lines.items() if number <= done}
    rest = len(content) - (complete[done].end.length if complete else 0)
    if damaged and max(damaged) > done:
        rest = len(unfinished)
    return History(len(content), complete, tuple(damaged), rest)


def _read_line(text: bytes, before: Position, *, follows: bool) -> Line | None:
    """Return a line; None if it is not what alkit wrote.

    Parameters
    ----------
    follows:
        Whether the line that ends at `before` is intact. Then the next one must be chained to it.
    """
    if (line := decode_line(text, before)) is not None:
        return line
    body, stated, true = text[: -DIGITS - 1], text[-DIGITS:], chain(before.chain, text[: -DIGITS - 1]).encode()
    if sum(a != b for a, b in zip(stated, true, strict=False)) <= FEW and len(text) > DIGITS:
        return decode_line(body + b" " + true, before)
    if stated[: DIGITS // 2] != own_digest(body).encode():
        return None
    line = parse_line(body, Position(0, before.length + len(text) + 1, stated.decode(errors="replace")))
    if line is None or (follows and line.number <= before.lines + 1):
        return None  # it belongs to another journal
    return line


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
        if str(name).startswith("clusters of "):
            with suppress(ValueError, RecursionError):  # it is damaged, or a stranger's
                found[str(name)] = str(json.loads(row["value"]))
    return found
