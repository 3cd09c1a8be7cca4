"""The lines of the journal of a record, see :mod:`alkit.record.journal`.

A line is a JSON list, a space, and a digest in two parts: 64 bits of the list's SHA-256, and 64 bits of the SHA-256 of
the digest of the line before and the list. The second part chains the lines. The list is ``[number, last, kind, ...]``,
``last`` being the number of the transaction's last line. The rest is one of::

    "record", {"id": ..., "schema": ..., "whole": ...}    # the first line
    "insert", table, [value of each column]
    "change", table, [key of each row], {column: value}
    "delete", table, [key of each row]
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alkit.record.change_form import Change, is_change, is_unicode
from alkit.record.tables import SCHEMA

DIGITS = 32
"""Number of hexadecimal digits of a digest."""


@dataclass(frozen=True, slots=True)
class Position:
    """The end of a journal.

    Parameters
    ----------
    lines, length:
        Number of its lines and bytes.
    chain:
        Digest of the last line.
    """

    lines: int = 0
    length: int = 0
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a journal, and the position behind it."""

    number: int
    last: int
    change: Change
    end: Position


def chain(before: str, text: bytes) -> str:
    """Return the digest of a line.

    >>> chain("", b'[1,1,"delete","facts",[["seed"]]]')
    'f0a8bd7331196c322f217ffaa7fe4295'
    """
    return own_digest(text) + hashlib.sha256(before.encode() + b" " + text).hexdigest()[: DIGITS // 2]


def own_digest(text: bytes) -> str:
    """Return the part of a line's digest that does not depend on the line before."""
    return hashlib.sha256(text).hexdigest()[: DIGITS // 2]


def encode(changes: Sequence[Change], start: Position) -> tuple[bytes, Position]:
    """Return the lines of a transaction that follow `start`, and the position behind them."""
    lines, now, last = [], start.chain, start.lines + len(changes)
    for number, change in enumerate(changes, start.lines + 1):
        text = json.dumps([number, last, *change], separators=(",", ":"), allow_nan=False).encode()
        now = chain(now, text)
        lines.append(b"%b %b\n" % (text, now.encode()))
    content = b"".join(lines)
    return content, Position(last, start.length + len(content), now)


def decode(content: bytes, start: Position) -> Iterator[Line]:
    """Yield the lines that follow `start`, up to the first that is not what alkit wrote or has no end."""
    for text in content.split(b"\n")[:-1]:
        line = decode_line(text, start)
        if line is None or line.number != start.lines + 1:
            return
        yield line
        start = line.end


def decode_line(text: bytes, start: Position) -> Line | None:
    """Return the line that follows `start`; None if it is not what alkit wrote there."""
    body, now = text[: -DIGITS - 1], text[-DIGITS:].decode(errors="replace")
    if text[-DIGITS - 1 : -DIGITS] != b" " or chain(start.chain, body) != now:
        return None
    return parse_line(body, Position(0, start.length + len(text) + 1, now))


def parse_line(body: bytes, end: Position) -> Line | None:
    """Return a line whose digest holds; None if it is not one that alkit writes, but a stranger's.

    Parameters
    ----------
    end:
        The position behind it, without its number.
    """
    try:
        number, last, *change = json.loads(body)
    except (ValueError, TypeError, RecursionError):
        return None
    if not (type(number) is type(last) is int and 0 < number <= last and is_change(change)):
        return None
    if (change[0] == "record") != (number == 1) or not is_unicode(body, change):
        return None
    return Line(number, last, change, Position(number, end.length, end.chain))


def transactions(lines: Sequence[Line]) -> list[list[Line]]:
    """Return the lines of each complete transaction."""
    found: list[list[Line]] = [[]]
    for line in lines:
        found[-1].append(line)
        if line.number == line.last:
            found.append([])
    return found[:-1]


def first_change(*, whole: bool = True) -> Change:
    """Return the change that begins a journal.

    Parameters
    ----------
    whole:
        Whether the record is known to contain everything that was ever recorded; False after some repairs.
    """
    return "record", {"id": secrets.token_hex(8), "schema": SCHEMA, "whole": whole}


def n_answers(changes: Sequence[Change]) -> int:
    """Return how many answers some changes add."""
    return sum(change[:2] == ["insert", "answers"] for change in changes)
