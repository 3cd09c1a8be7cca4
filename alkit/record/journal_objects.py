"""The journal of a record on a server: an object for each transaction, in a place beside the record's files.

An object has the lines of a transaction as :mod:`alkit.record.journal` writes them. Its name is the number of the lines
before it, and the digest of its last line. It is put while the transaction keeps out all others that write, before the
transaction commits. So after a crash there may be one object that follows the end which the database states. The next
transaction completes it. An object of a lost connection may arrive late, when another one has taken its place. It is
not on the chain, and is passed over.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from alkit._logs import logger
from alkit.errors import StoreError
from alkit.record.change_form import Change
from alkit.record.journal import LONGEST_START, UNLIKE
from alkit.record.journal_lines import DIGITS, Line, Position, decode, n_answers, transactions
from alkit.record.places import Place

log = logger(__name__)

_NAME = re.compile(rf"(\d{{12}})-([0-9a-f]{{{DIGITS}}})(\.new)?")

BLOCK = 9
"""Number of digits at the beginning of a name by which names are looked for: blocks of 1000 lines."""

NEW = ".new"
"""Ending of the name of a list of objects that an object has replaced."""


@dataclass(frozen=True)
class Name:
    """The name of an object.

    Parameters
    ----------
    start:
        Number of lines before it.
    chain:
        Digest of its last line.
    ending:
        :data:`NEW`, or nothing.
    """

    start: int
    chain: str
    ending: str = ""

    def __str__(self) -> str:
        return f"{self.start:012}-{self.chain}{self.ending}"


@dataclass(frozen=True)
class JournalObjects:
    """The journal of a record in a place. Its methods but :meth:`ends_at` need the write lock of the database."""

    place: Place

    @property
    def path(self) -> PurePath:
        """Where it is, for messages."""
        return PurePath(self.place.shown(""))

    def ends_at(self, position: Position) -> bool:
        """Whether an object ends at a position, and none follows."""
        if not position.lines:
            return not self._names(0)
        near = self._names(position.lines)
        if any(name.start >= position.lines for name in near):
            return False
        return self._has_end(position, near)

    def _has_end(self, position: Position, near: Iterable[Name]) -> bool:
        """Whether an object ends at a position; it is looked for block by block, then everywhere."""
        if any(name.chain == position.chain and name.start < position.lines for name in near):
            return True
        blocks = [lines for lines in range(position.lines - 1000, position.lines - 4000, -1000) if lines >= 0]
        for lines in [*blocks, None]:
            if any(name.chain == position.chain and name.start < position.lines for name in self._names(lines)):
                return True
        return False

    def whole(self) -> bool:
        """Whether the record is known to contain everything that was recorded before this journal began."""
        for name in self._names(0):
            if not name.start and not name.ending:
                for line in decode(self.place.get(str(name)), Position()):
                    return bool(line.change[1]["whole"])
        return False

    def write(self, content: bytes, start: Position) -> None:
        """Put an object with the lines behind `start`."""
        lines = content.rstrip(b"\n").rsplit(b"\n", 1)[-1]
        self.place.put(str(Name(start.lines, lines[-DIGITS:].decode())), content)

    def prepare(self, content: bytes) -> None:
        """Put an object with all lines of a new journal, and a list of the objects that it replaces."""
        end = [line.end for line in decode(content, Position())][-1]
        old = [str(name) for name in self._names(None)]
        self.write(content, Position())
        self.place.put(str(Name(end.lines, end.chain, NEW)), json.dumps(old).encode())

    def replace(self, position: Position) -> bool:
        """Delete the objects that one with this end has replaced; return whether it did."""
        name = Name(position.lines, position.chain, NEW)
        if not position.lines or not self.place.exists(str(name)):
            return False
        self.place.delete(sorted(self._replaced(position)))
        self.place.delete([str(name)])
        return self.ends_at(position)

    def _replaced(self, position: Position) -> set[str]:
        """Return the names of the objects that one with this end has replaced, as its list says."""
        listed = json.loads(self.place.get(str(Name(position.lines, position.chain, NEW))))
        return {str(one) for one in listed if _NAME.fullmatch(str(one))} - {str(Name(0, position.chain))}

    def check_new(self, *, restored: bool = False) -> None:
        """Raise a :class:`StoreError` if there is a journal that a new one must not continue; as for a file."""
        names = [name for name in self._names(None) if not name.ending]
        if any(name.start for name in names):
            raise self._belongs_to_another(f"{len(names)} changes")
        if not restored and any(len(self.place.get(str(name))) > LONGEST_START for name in names):
            raise self._belongs_to_another("a journal that begins with rows")

    def check_contained(self, changes: Sequence[Change]) -> None:
        """Do nothing: objects of a killed process stay beside those of the new journal, and are not on its chain."""

    def _belongs_to_another(self, got: str) -> StoreError:
        return StoreError(
            f"{self.path} belongs to another record, or to a later state of this one",
            got=got,
            expected="a record that is not older than its journal, or no journal",
            hint=f"{UNLIKE}; or another place for the files",
        )

    def pending(self, position: Position, n: int, record: object) -> list[Line]:
        """Return the lines of a transaction that the database lacks; none if it has everything.

        Parameters and errors are those of :meth:`alkit.record.journal.Journal.pending`.
        """
        near = self._names(position.lines)
        if position.lines and not self._has_end(position, near):
            raise StoreError(
                f"{self.path} is not the journal of {record}, or is damaged",
                got="no change with the last digest that the database states",
                expected=f"a change that ends with line {position.lines} and the digest {position.chain}",
                hint=f"the place of the files that the record was begun with; or {UNLIKE}",
            )
        following = [self._lines(name, position) for name in near if name.start == position.lines and not name.ending]
        found = [lines for lines in following if lines]
        if any(name.start > position.lines for name in self._names(None)):
            later = [lines for lines in found if self._follows(lines[-1].end)]
            if later or not found:
                told = n_answers([line.change for lines in later for line in lines])
                raise StoreError(
                    f"{record} is older than its journal: the server lost changes, or an earlier copy was restored",
                    got=f"{n} answers and {position.lines} lines of the journal",
                    expected=f"more than {n + told} answers, and more lines",
                    hint=UNLIKE,
                )
        if len(found) > 1:
            log.warning("%s: %d changes follow the last one, and none is completed", record, len(found))
            return []
        return found[0] if found else []

    def _follows(self, position: Position) -> bool:
        return any(name.start == position.lines and self._lines(name, position) for name in self._names(position.lines))

    def _lines(self, name: Name, start: Position) -> list[Line]:
        """Return the lines of an object that follow a position; none if they are not one complete transaction."""
        lines = list(decode(self.place.get(str(name)), start))
        complete = len(transactions(lines)) == 1 and lines[-1].end.chain == name.chain
        return lines if complete and lines[-1].number == lines[-1].last else []

    def _names(self, lines: int | None) -> list[Name]:
        """Return the names in the block of a number of lines, or all, sorted."""
        found = self.place.names(start="" if lines is None else f"{lines:012}"[:BLOCK])
        parts = [match for name in found if (match := _NAME.fullmatch(name))]
        return [Name(int(part[1]), part[2], part[3] or "") for part in parts]

    def content(self, end: Position | None = None) -> bytes:
        """Return the lines of all objects on the chain, as a file would have them.

        Parameters
        ----------
        end:
            The end that the database states. It tells the last object from others that were never committed, and from
            those that one with this end has replaced, and that are not deleted yet.

        Raises
        ------
        OSError
            There is no object, or one cannot be read.
        """
        by_start: dict[int, list[Name]] = {}
        names = self._names(None)
        has_list = end is not None and Name(end.lines, end.chain, NEW) in names
        replaced = self._replaced(end) if end is not None and has_list else set()
        for name in names:
            if not name.ending and str(name) not in replaced:
                by_start.setdefault(name.start, []).append(name)
        if not by_start:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        contents, position = list[bytes](), Position()
        for start, siblings in sorted(by_start.items()):
            if start < position.lines:
                continue  # it arrived late, when another one had taken its place
            text, position = self._next(siblings, position, end)
            contents.append(text)
        return b"".join(contents)

    def _next(self, siblings: Sequence[Name], position: Position, end: Position | None) -> tuple[bytes, Position]:
        """Return the content of one of the objects with the same start, and the position behind it.

        It is the one that others follow, or that ends where the database does. If all are damaged, it is the first.
        """
        following = {name: lines[-1].end for name in siblings if (lines := self._lines(name, position))}
        for name, behind in following.items():
            if len(following) == 1 or behind == end or self._follows(behind):
                return self.place.get(str(name)), behind
        name = next(iter(following), siblings[0])
        text = self.place.get(str(name))
        stated = Position(name.start + text.count(b"\n"), position.length + len(text), name.chain)
        return text, following.get(name, stated)
