"""The journal of a record: a file beside the database with one line for each change, only ever appended to.

The lines of a transaction are written and synchronised before the database commits, and the database stores the
journal's end in the same transaction. After a crash at any moment the journal therefore has everything that the
database has, and at most the last transaction more. That one is completed when the record is opened next. Every other
difference is damage, and an error. For the lines, see :mod:`alkit.record.journal_lines`.
"""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from alkit._files import sync_folder, write_atomically
from alkit._logs import logger
from alkit.errors import StoreError
from alkit.record.change_form import Change
from alkit.record.journal_lines import Line, Position, decode, decode_line, encode, n_answers, transactions

log = logger(__name__)

LONGEST_START = 256
"""Greatest number of bytes of the journal of a record in which nothing was recorded yet."""

PART, MOST_ZEROS = 2**20, 2**26
"""Bytes of a journal that are read at once, and the most that are kept of such parts with nothing but zeros."""

UNLIKE = (
    "alkit repair (in Python: alkit.record.repair), which makes a new record of the database, the journal and the "
    "backups"
)


@dataclass(frozen=True)
class Journal:
    """The journal file of a record. Its methods but :meth:`ends_at` need the write lock of the database."""

    path: Path

    def content(self, end: Position | None = None) -> bytes:
        """Return the whole journal, whatever its end; an :class:`OSError` if it cannot be read.

        Parameters
        ----------
        end:
            The end that the database states. It may be that of a journal that was prepared and committed, and has not
            replaced this one.
        """
        prepared = self._prepared
        if end is not None and not self.ends_at(end) and prepared.ends_at(end):
            with suppress(FileNotFoundError):  # another process has just replaced this one
                return _content(prepared.path)
        return _content(self.path)

    def ends_at(self, position: Position) -> bool:
        """Whether the journal's length and the digest of its last line are those of a position."""
        try:
            with self.path.open("rb") as file:
                return os.fstat(file.fileno()).st_size == position.length and _ends(file, position)
        except OSError:
            return False

    def passes(self, position: Position) -> bool:
        """Whether one of its lines ends at a position, so that it continues what ended there."""
        try:
            with self.path.open("rb") as file:
                return not position.lines or _ends(file, position)
        except OSError:
            return False

    def whole(self) -> bool:
        """Whether the record is known to contain everything that was recorded before this journal began."""
        try:
            with self.path.open("rb") as file:
                line = decode_line(file.readline().rstrip(b"\n"), Position())
        except OSError:
            return False
        return line is not None and bool(line.change[1]["whole"])

    def write(self, content: bytes, start: Position) -> None:
        """Write lines behind `start`, where the journal ends, and synchronise it.

        Raises
        ------
        OSError
            They cannot be written. The journal stays as it was if the system allows.
        """
        with self.path.open("ab" if start.length else "wb", buffering=0) as file:
            _write(file, content, start.length)
        if not start.length:
            sync_folder(self.path.parent)

    def prepare(self, content: bytes) -> None:
        """Write a journal beside this one, which replaces it later."""
        write_atomically(self._prepared.path, content)

    def replace(self, position: Position) -> bool:
        """Replace the journal by one that was prepared, if that one has this end; return whether it did."""
        prepared = self._prepared
        if self.ends_at(position) or not prepared.ends_at(position):
            return False
        with suppress(FileNotFoundError):  # another process has just done it
            os.replace(prepared.path, self.path)
        sync_folder(self.path.parent)
        return True

    @property
    def _prepared(self) -> Journal:
        return Journal(self.path.with_name(f"{self.path.name}.new"))

    def check_new(self, *, restored: bool = False) -> None:
        """Raise a :class:`StoreError` if there is a journal that a new one must not replace.

        A killed process may have left a journal and no record. That one is replaced.

        Parameters
        ----------
        restored:
            Whether the new record has rows of an earlier one, from a migration or a repair. A killed process may have
            left these rows in a journal. Otherwise only the start of an empty record is replaced.
        """
        if not self.path.exists():
            return
        content = self._own_content()
        lines = list(decode(content, Position()))
        found, most = len(transactions(lines)), LONGEST_START
        if restored and lines:
            most = len(content)
        if found > 1 or len(content) > most:
            raise self._belongs_to_another(content, lines)

    def check_contained(self, changes: Sequence[Change]) -> None:
        """Raise a :class:`StoreError` if there is a journal with a row that the changes of a new one lack.

        A killed process left the rows that are written again now. Other rows are those of another state of the record.
        """
        if not self.path.exists():
            return
        content = self._own_content()
        lines, new = list(decode(content, Position())), {json.dumps(change) for change in changes}
        if any(line.number > 1 and json.dumps(line.change) not in new for line in lines):
            raise self._belongs_to_another(content, lines)

    def _own_content(self) -> bytes:
        try:
            return _content(self.path)
        except OSError as reason:
            raise StoreError(f"cannot read {self.path} ({reason.strerror})", hint=UNLIKE) from reason

    def _belongs_to_another(self, content: bytes, lines: Sequence[Line]) -> StoreError:
        return StoreError(
            f"{self.path} belongs to another record, or to a later state of this one",
            got=f"{len(transactions(lines))} changes, {n_answers([line.change for line in lines])} answers"
            if lines
            else f"{len(content)} bytes that begin with a damaged line",
            expected="a record that is not older than its journal, or no journal",
            hint=f"{UNLIKE}; or move the journal away, if it belongs to another record",
        )

    def pending(self, position: Position, n: int, record: object) -> list[Line]:
        """Return the lines of a transaction that the database lacks; none if it has everything.

        An unfinished line at the end, as an interrupted write leaves it, is cut off.

        Parameters
        ----------
        position:
            The journal's end, as the database knows it.
        n:
            Number of answers in the database.
        record:
            The record, for messages.

        Raises
        ------
        StoreError
            The journal is missing, shorter, or another one, or the database lacks more than one transaction.
        """
        if self.ends_at(position):
            return []
        try:
            with self.path.open("rb") as file:
                ends, size = _ends(file, position), os.fstat(file.fileno()).st_size
                extra = _rest(file) if ends else b""
        except FileNotFoundError:
            raise StoreError(
                f"{self.path} is missing: the journal of {record}, which belongs beside it",
                hint="copy it from where the record came from (and keep it whenever you copy or rename a record), or "
                "run alkit repair, which makes a new record without it",
            ) from None
        except OSError as reason:
            raise StoreError(f"cannot read {self.path} ({reason.strerror})") from reason
        if not ends:
            what = "is cut off" if size < position.length else "is damaged, or the journal of another record"
            raise StoreError(f"{self.path} {what}", got=f"{size} bytes", expected=_words(position), hint=UNLIKE)
        lines = list(decode(_with_last_line_end(extra, position), position))
        if len(lines) < extra.count(b"\n"):
            raise StoreError(
                f"{self.path} is damaged: line {position.lines + len(lines) + 1} is not what alkit wrote", hint=UNLIKE
            )
        found = transactions(lines)
        if len(found) > 1 or (
            found and lines[-1].end.length < position.length + len(extra)
        ):  # a crash cannot leave both
            told = n_answers([line.change for line in lines])
            raise StoreError(
                f"{record} is older than its journal: its write-ahead log was lost, or an earlier copy was restored",
                got=f"{n} answers and {position.lines} lines of the journal",
                expected=f"{n + told} answers and {found[-1][-1].number} lines",
                hint=UNLIKE,
            )
        content = encode([line.change for line in found[0]], position)[0] if found else b""
        if content != extra:
            cut = size - position.length - len(content)
            what = f"an unfinished change, which was cut off ({cut} bytes)" if cut > 0 else "an unfinished line"
            log.warning("%s ended with %s, as after an interrupted write", self.path, what)
            with self.path.open("ab", buffering=0) as file:
                file.truncate(position.length)
                _write(file, content, position.length)
        return found[0] if found else []


def _content(path: Path) -> bytes:
    """Return the content of a journal, as :func:`_rest` does; an :class:`OSError` if it cannot be read."""
    with path.open("rb") as file:
        return _rest(file)


def _rest(file: BinaryIO) -> bytes:
    """Return what a file has behind the present place, without most of the zeros that are its end.

    A journal has no zeros, but a crash may leave some. In a stranger's, gigabytes of them may take no room on the disk.

    Raises
    ------
    OSError
        More zeros are before other bytes.
    """
    parts, zeros, nothing = list[bytes](), 0, bytes(PART)
    while part := file.read(PART):
        if part != nothing[: len(part)]:
            if zeros > MOST_ZEROS:
                raise OSError(errno.EINVAL, f"it has a gap of more than {MOST_ZEROS} bytes, which no journal has")
            parts.append(part)
        elif (zeros := zeros + len(part)) <= MOST_ZEROS:
            parts.append(part)
    return b"".join(parts)


def _ends(file: BinaryIO, position: Position) -> bool:
    """Whether the line that ends at a position has its digest; the file is then behind it."""
    wanted = f" {position.chain}\n".encode()
    file.seek(max(0, position.length - len(wanted)))
    return bool(file.read(len(wanted)) == wanted)


def _write(file: io.FileIO, content: bytes, length: int) -> None:
    """Append to a file of a length and synchronise it, or leave it as it was."""
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) or 0 :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(length)
        raise


def _with_last_line_end(extra: bytes, start: Position) -> bytes:
    """Return the end of a journal with its last line end, if only that is missing or damaged."""
    *lines, rest = extra.split(b"\n")
    before = start
    for line in decode(b"".join(line + b"\n" for line in lines), start):
        before = line.end
    for text in (rest, rest[:-1]):
        if text and decode_line(text, before) is not None:
            return b"".join(line + b"\n" for line in [*lines, text])
    return extra


def _words(position: Position) -> str:
    return f"at least {position.length} bytes, the last line with the digest {position.chain}"
