"""Tables of features on disk: each image's row is computed once, for all experiments and processes.

A table belongs to one extractor with its weights and its code. It lies in the cache under ``features/<key>/``:

- ``about.json``: the extractor, its fingerprint, digests of the user's code, the number of columns, and the name of
  the row file;
- ``rows-*.bin``: the rows, float32 and little-endian, in the order in which they were computed. Rows are only appended;
- ``rows-*.index``: for each row the digest of its image and the CRC-32 of the row, with a CRC-32 of both;
- ``order-*.bin``: the rows of some images in another order, copied from the row file;
- ``lock``, which is held while rows are added.

A row is written before its entry in the index, so that a killed process leaves only rows that count or rows that are
written again. All rows are checked when a table is opened. A row with a wrong checksum, or one that is cut off, is
computed again, and no other. Decision 0042 gives the reasons.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from alkit._files import temporary_file, write_atomically
from alkit._logs import logger
from alkit.errors import DataError, StoreError
from alkit.features.gathered import Gathered, Rows, map_rows
from alkit.features.row_index import ENTRY, ERASED, Images, entry_checks, find_rows, make_entries, row_sums

log = logger(__name__)

FORMAT = 1

BLOCK = 2**22
"""Bytes of rows that are checked or copied at once."""

ORDERS = 3
"""Number of copies in another order that a table keeps."""

ATTEMPTS = 3
"""Number of times that rows are added or repaired before a table that stays damaged is an error."""

CLOSE = 0.02
"""Largest difference between a row and its second computation, as a share of the row's largest value.

Another device or another version of a library computes rows that differ by far less, other weights by more.
"""

_NAME = re.compile("rows-[0-9a-f]{8}")
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

Compute = Callable[[Sequence[str]], Iterator[Rows]]
"""Computes the rows of images, given by id, in batches."""


class ReadOnlyCacheError(Exception):
    """The cache cannot be written, because a permission is missing."""


@dataclass(frozen=True, eq=False)
class _Content:
    """What a table holds: its row file, the number of columns, and the entries of its rows."""

    file: Path
    width: int
    entries: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]

    @property
    def index(self) -> Path:
        return self.file.with_suffix(".index")


class StoredRows:
    """The rows of one fitted extractor.

    Parameters
    ----------
    root:
        Folder of all tables.
    extractor:
        Written form of the extractor.
    fingerprint:
        Text that changes if the row of any image would change.
    name:
        Name of the extractor, for messages.
    code:
        Digests of the user's code that computes the rows, by address.
    """

    def __init__(
        self, root: Path, extractor: Any, fingerprint: str, name: str, code: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._key = {"format": FORMAT, "extractor": extractor, "fingerprint": fingerprint}
        if code:  # tables of extractors of alkit have none
            self._key["code"] = dict(code)
        key = hashlib.sha256(json.dumps(self._key, sort_keys=True).encode()).hexdigest()
        self.folder, self.name = root / key[:16], name

    def erased(self) -> tuple[int, int] | None:
        """Return what changes whenever a row is overwritten in its place: its image was removed from a record."""
        with suppress(OSError):
            found = os.stat(self.folder / ERASED)
            return found.st_ino, found.st_mtime_ns
        return None

    def rows(self, ids: Sequence[str], images: Images, compute: Compute, again: Compute) -> Rows:
        """Return the rows of some images in their order, read-only; those that are missing are computed first.

        Parameters
        ----------
        ids:
            Ids of the images.
        images:
            Their digests, with everything that the row of an image depends on.
        compute:
            Computes rows by id.
        again:
            Computes a row that is there, to compare.

        Raises
        ------
        StoreError
            The table cannot be written, for example because the disk is full. The rows that are written are kept.
        DataError
            The extractor computes another number of columns, or other rows, than those in the table.
        ReadOnlyCacheError
            Rows are missing or damaged, and nothing can be written.
        """
        tried = False
        with _as_store_error(self.folder):
            for _ in range(ATTEMPTS):
                content = self._load()
                places = _find(content, images)
                if not tried:  # a table that does not exist yet is not compared with itself
                    tried = content is None or self._try_row(content, ids, places, _apart(again))
                if content is not None and (places >= 0).all() and not self._check(content, places, images):
                    return self._in_order(content, places, images)
                with self._locked():
                    content = self._load()  # another process may have added rows meanwhile
                    places = _find(content, images)
                    if (missing := np.flatnonzero(places < 0)).size:
                        self._add(content, ids, images, missing, _apart(compute))
                    elif content is not None and (bad := self._check(content, places, images)):
                        self._replace(content, [ids[place] for place in bad], places[bad], _apart(compute))
        raise StoreError(
            f"the features in {self.folder} are damaged, also after they were computed again",
            hint="set ALKIT_CACHE to a folder on another disk",
        )

    def _load(self) -> _Content | None:
        """Return what the table holds; None if it does not exist or is damaged as a whole."""
        try:
            about = json.loads((self.folder / "about.json").read_bytes())
            file = self.folder / f"{about['rows']}.bin"
            width = about["width"]
            if {key: about.get(key) for key in self._key} != self._key or not _NAME.fullmatch(about["rows"]):
                raise ValueError("about.json describes another table")
            if type(width) is not int or not 0 < width < 2**31:
                raise ValueError(f"{width} columns")
        except FileNotFoundError:
            return None
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as reason:
            log.warning("the features in %s are damaged (%s); they are computed again", self.folder, reason)
            return None
        written = os.stat(file).st_size // (4 * width) if file.exists() else 0
        raw = file.with_suffix(".index").read_bytes() if file.with_suffix(".index").exists() else b""
        entries = np.frombuffer(raw, ENTRY, count=min(len(raw) // ENTRY.itemsize, written)).copy()
        return _Content(file, width, entries, entry_checks(entries) == entries["check"])

    def _try_row(self, content: _Content, ids: Sequence[str], places: Any, compute: Compute) -> bool:
        """Compute one row that the table has, and check that it is the same."""
        for position in np.flatnonzero(places >= 0)[:1]:
            stored = map_rows(content.file, (1, content.width), int(places[position]))[0]
            if zlib.crc32(stored.data) != content.entries["row"][places[position]]:
                break  # it is damaged and will be computed again
            (row,) = next(compute([ids[position]]))
            self._check_width(len(row), content)
            if not np.allclose(stored, row, rtol=0, atol=CLOSE * float(np.abs(stored).max()) + 1e-6):
                raise DataError(
                    f"{self.name} computes other features of {ids[position]!r} than those in {self.folder}",
                    got=f"a difference of {float(np.abs(stored - row).max()):.2g}",
                    hint="let fingerprint() of the fitted extractor change whenever its rows do, and delete this "
                    "folder",
                )
        return True

    def _check_width(self, width: int, content: _Content) -> None:
        if width != content.width:
            raise DataError(
                f"{self.name} must compute {content.width} features for each image, as for those in {self.folder}",
                got=width,
                hint="let fingerprint() of the fitted extractor change whenever its rows do, or delete this folder",
            )

    def _check(self, content: _Content, places: npt.NDArray[np.intp], images: Images) -> list[int]:
        """Return the positions of rows whose checksum is wrong."""
        sums, bad, done = content.entries["row"], list[int](), 0
        file, own = content.file, places
        order = self._order_file(images)
        if not _is_run(places) and order.exists() and os.stat(order).st_size == 4 * content.width * len(places):
            file, own = order, np.arange(len(places))
        for block in _blocks(file, own, content.width):
            right = row_sums(block) == sums[places[done : done + len(block)]]
            bad += (np.flatnonzero(~right) + done).tolist()
            done += len(block)
        if bad and file == order:  # a damaged copy: the rows themselves may be right
            order.unlink()
            return self._check(content, places, images)
        return bad

    def _add(
        self, content: _Content | None, ids: Sequence[str], images: Images, missing: Any, compute: Compute
    ) -> None:
        """Compute the rows of images that the table lacks, and append them batch by batch."""
        done = 0
        with ExitStack() as stack:
            files: list[BinaryIO] = []
            for rows in compute([ids[position] for position in missing]):
                content = content or self._start(rows.shape[1])
                self._check_width(rows.shape[1], content)
                if not files:  # what a killed process wrote without its entries is overwritten
                    for path, size in ((content.file, 4 * content.width), (content.index, ENTRY.itemsize)):
                        file = stack.enter_context(_writable(path))
                        stack.callback(_sync, file)
                        file.truncate(len(content.entries) * size)
                        file.seek(0, os.SEEK_END)
                        files.append(file)
                _write(files[0], np.ascontiguousarray(rows, "<f4").tobytes())
                _write(files[1], make_entries(images[missing[done : done + len(rows)]], rows).tobytes())
                done += len(rows)

    def _start(self, width: int) -> _Content:
        """Start a row file. An old one is unlinked, not overwritten, because another process may be reading it."""
        for old in [*self.folder.glob("rows-*"), *self.folder.glob("order-*")]:
            with suppress(PermissionError):  # Windows does not unlink a file that is open
                old.unlink()
        name = f"rows-{secrets.token_hex(4)}"
        about = {**self._key, "width": width, "rows": name}
        write_atomically(self.folder / "about.json", json.dumps(about, sort_keys=True).encode())
        return _Content(self.folder / f"{name}.bin", width, np.empty(0, ENTRY), np.empty(0, bool))

    def _replace(self, content: _Content, ids: Sequence[str], places: Any, compute: Compute) -> None:
        """Compute damaged rows again and write them to their places."""
        if not ids:
            return
        log.warning("%d of the features in %s are damaged; they are computed again", len(ids), self.folder)
        done = 0
        with _writable(content.file) as file, _writable(content.index) as index:
            for rows in compute(ids):
                self._check_width(rows.shape[1], content)
                some = places[done : done + len(rows)]
                for place, row, entry in zip(
                    some, rows, make_entries(content.entries["image"][some], rows), strict=True
                ):
                    file.seek(int(place) * 4 * content.width)
                    _write(file, np.ascontiguousarray(row, "<f4").tobytes())
                    index.seek(int(place) * ENTRY.itemsize)
                    _write(index, entry.tobytes())
                done += len(rows)

    def _in_order(self, content: _Content, places: npt.NDArray[np.intp], images: Images) -> Rows:
        """Return rows in the order of `places`: those of the row file if they follow each other, else a copy."""
        shape = (len(places), content.width)
        if _is_run(places):
            return map_rows(content.file, shape, int(places[0]))
        order = self._order_file(images)
        if not order.exists() or os.stat(order).st_size != 4 * shape[0] * shape[1]:
            try:
                with temporary_file(self.folder) as copied:
                    with copied.open("wb") as file:
                        for block in _blocks(content.file, places, content.width):
                            _write(file, block.tobytes())
                    os.replace(copied, order)
            except OSError as reason:
                if reason.errno not in _READ_ONLY:
                    raise
                gathered = Gathered()
                for block in _blocks(content.file, places, content.width):
                    gathered.append(block)
                return gathered.array()
            for old in sorted(self.folder.glob("order-*"), key=lambda path: path.stat().st_mtime)[:-ORDERS]:
                with suppress(OSError):
                    old.unlink()
        with suppress(OSError):
            os.utime(order)
        return map_rows(order, shape)

    def _order_file(self, images: Images) -> Path:
        return self.folder / f"order-{hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()[:16]}.bin"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the table's lock inside the block, and fail if the table cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is computing these features; waiting for %s", self.folder)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _find(content: _Content | None, images: Images) -> npt.NDArray[np.intp]:
    """Return the row of each image, or -1."""
    if content is None:
        return np.full(len(images), -1)
    return find_rows(content.entries, content.valid, images)


def _is_run(places: npt.NDArray[np.intp]) -> bool:
    return bool((np.diff(places) == 1).all())


def _blocks(file: Path, places: npt.NDArray[np.intp], width: int) -> Iterator[Rows]:
    """Yield rows of a file in blocks; those that follow each other are read, others are copied from the mapped file."""
    at_once = max(1, BLOCK // (4 * width))
    if _is_run(places):  # read, because mapped pages would count as memory of the process
        with file.open("rb") as opened:
            opened.seek(4 * width * int(places[0]))
            for begin in range(0, len(places), at_once):
                count = min(at_once, len(places) - begin)
                yield np.frombuffer(opened.read(4 * width * count).ljust(4 * width * count), "<f4").reshape(-1, width)
        return
    rows = map_rows(file, (int(places.max()) + 1, width))
    for begin in range(0, len(places), at_once):
        yield rows[places[begin : begin + at_once]]


def _writable(path: Path) -> BinaryIO:
    """Open a file to write anywhere in it; it is created if it does not exist."""
    return cast(
        BinaryIO, os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+b", 0)
    )


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of `content`: a file without a buffer may write less."""
    rest = memoryview(content)
    while rest:
        written = file.write(rest)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def _sync(file: BinaryIO) -> None:
    with suppress(OSError):  # the rows are checked when they are read
        os.fsync(file.fileno())


class _Elsewhere(Exception):
    """Carries an error of the pool or the extractor past the code that explains errors of the table's files."""

    def __init__(self, reason: OSError) -> None:
        self.reason = reason


def _apart(compute: Compute) -> Compute:
    def computed(ids: Sequence[str]) -> Iterator[Rows]:
        try:
            yield from compute(ids)
        except OSError as reason:
            raise _Elsewhere(reason) from None

    return computed


@contextmanager
def _as_store_error(place: Path) -> Iterator[None]:
    try:
        yield
    except _Elsewhere as carried:
        raise carried.reason from None
    except OSError as reason:
        if reason.errno in _READ_ONLY:
            raise ReadOnlyCacheError(str(reason)) from reason
        raise StoreError(
            f"the features cannot be written to {place} ({reason.strerror})",
            hint="free some space, or set ALKIT_CACHE to another folder; the rows that are written are kept",
        ) from reason
