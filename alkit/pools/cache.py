"""A folder of images as rows of one memory-mapped file: each image is decoded once.

The row file only grows. The index beside it says which row belongs to which file, as the file's name, size in
bytes and time of change were when it was decoded; it is replaced whole, after the rows it speaks of are on
disk. So a killed decode goes on where it was, and a changed image is decoded again. A cache is not a record:
one that is damaged is built anew.

Format 1, under ``images/<key>/``: ``index.json``, a row file of C-ordered ``(c, h, w)`` arrays,
little-endian, and ``lock``, held while rows are added.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import joblib
import numpy as np
from filelock import FileLock, Timeout

from alkit._files import write_atomically
from alkit.errors import ImageError, StoreError
from alkit.pools.decoding import File, Pixels, decode, pixel_digest
from alkit.values.label_spec import Size
from alkit.values.progress import Progress, Report

log = logging.getLogger(__name__)

FORMAT = 1
SAVE_EVERY = 1000
"""Rows between two savings of the index: what a killed decode loses at most."""

T = TypeVar("T")
U = TypeVar("U")


class Entry(NamedTuple):
    """What the index knows of a file: what it was when it was decoded, its row and the digest of that row."""

    bytes: int
    modified: int
    row: int
    height: int
    width: int
    digest: str


@dataclass(frozen=True)
class Index:
    """The table of contents of a row file.

    Parameters
    ----------
    folder:
        Where the cache lies.
    rows:
        Name of the row file.
    count:
        Rows written; those no entry names belong to files that have changed since.
    shape, dtype:
        Of one row: ``(c, h, w)`` and ``|u1`` or ``<u2``.
    entries:
        By file name.
    """

    folder: Path
    rows: str
    count: int
    shape: tuple[int, int, int]
    dtype: str
    entries: Mapping[str, Entry]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def save(self) -> None:
        """Replace the index on disk by this one."""
        text = json.dumps(
            {
                "format": FORMAT,
                "rows": self.rows,
                "count": self.count,
                "shape": self.shape,
                "dtype": self.dtype,
                "entries": self.entries,
            }
        )
        write_atomically(self.folder / "index.json", text.encode())

    @classmethod
    def load(cls, folder: Path) -> Index | None:
        """Return the index in `folder`; None where there is none, or a damaged one, which is logged."""
        try:
            text = (folder / "index.json").read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']}")
            channels, height, width = found["shape"]
            entries = {name: Entry(*entry) for name, entry in found["entries"].items()}
            index = cls(folder, found["rows"], found["count"], (channels, height, width), found["dtype"], entries)
            written = (folder / index.rows).stat().st_size
            if written < index.count * index.row_bytes:
                raise ValueError(f"{written} bytes of {index.count * index.row_bytes} rows are there")
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            log.warning("the image cache in %s is damaged (%s); the images are decoded again", folder, error)
            return None
        return index


class Rows:
    """The decoded images of some files, in their order, on disk until they are read.

    Parameters
    ----------
    index:
        Of the row file.
    entries:
        One for each image. Pickled without pixels: unpickled, it opens the row file again.
    """

    def __init__(self, index: Index, entries: Sequence[Entry]) -> None:
        self.index, self.entries, self.shape = replace(index, entries={}), entries, index.shape
        self._rows = np.array([entry.row for entry in entries])
        try:
            kept = np.memmap(index.folder / index.rows, index.dtype, "r", shape=(index.count, *index.shape))
        except (OSError, ValueError) as error:
            raise StoreError("the image cache was replaced", got=error, hint="open the pool again") from error
        self._kept = np.asarray(kept)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.index, self.entries)

    def read(self, positions: Sequence[int]) -> Pixels:
        """Return the images at these positions, ``(n, c, h, w)``, in memory; no other row is touched."""
        pixels: Pixels = self._kept[self._rows[np.asarray(positions, np.intp)]]
        return pixels


def cached(
    folder: Path,
    files: Mapping[str, File],
    *,
    size: Size | None,
    grayscale: bool,
    pattern: str,
    root: Path,
    report: Report,
) -> Rows:
    """Return the pixels of `files`, in their order, after decoding those that the cache does not hold yet.

    Two processes may do so at once: the second waits and finds the work done.

    Raises
    ------
    ImageError
        Some files cannot be decoded (the others are, and stay so), or they do not fit together: of different
        sizes where `size` is None, of 8 and of 16 bits, or of 16 bits without `grayscale`.
    StoreError
        The cache cannot be written.
    """
    name = repr((FORMAT, os.fspath(folder.resolve()), size, grayscale, pattern))
    place = root / "images" / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    with _storing(place):
        index = Index.load(place)
    if index is None or _stale(index, files.values()):
        with _locked(place):
            with _storing(place):
                index = Index.load(place)  # another process may have been here meanwhile
            index = _extended(index, place, folder, files, size, grayscale, report)
    return Rows(index, [index.entries[file.name] for file in files.values()])


def _stale(index: Index | None, files: Iterable[File]) -> list[File]:
    """Return the files that the index does not know as they are now."""
    known = {} if index is None else index.entries
    return [file for file in files if (entry := known.get(file.name)) is None or entry[:2] != file[1:]]


def _extended(
    index: Index | None,
    place: Path,
    folder: Path,
    files: Mapping[str, File],
    size: Size | None,
    grayscale: bool,
    report: Report,
) -> Index:
    """Decode what the index lacks, appending rows and saving the index as it goes."""
    missing = _stale(index, files.values())
    stale = {file.name for file in missing}
    entries = (
        {}
        if index is None
        else {file.name: index.entries[file.name] for file in files.values() if file.name not in stale}
    )
    if index is not None and not entries:
        index = None  # nothing is left of it: its rows may have another shape
    failed: list[ImageError] = []
    unsaved = 0
    try:
        with closing(_streamed(partial(_attempt, folder, size, grayscale), missing)) as results:
            for file, result in zip(missing, results, strict=True):
                if isinstance(result, ImageError):
                    failed.append(result)
                    continue
                pixels, original = result
                _check_fits(file.name, pixels, original, grayscale, index, entries)
                index = index or _begun(place, pixels)
                with _storing(place):
                    _write(index, pixels)
                entries[file.name] = Entry(file.bytes, file.modified, index.count, *original, pixel_digest(pixels))
                index = replace(index, count=index.count + 1, entries=entries)
                unsaved += 1
                if unsaved == SAVE_EVERY:
                    _sync(index)
                    unsaved = 0
                report(Progress("read", len(entries), len(files)))
    finally:
        if index is not None and unsaved:
            _sync(index)
    if len(failed) > 1:
        told = "; ".join(map(str, failed[:5])) + ("; ..." if len(failed) > 5 else "")
        raise ImageError(f"{len(failed)} images cannot be used", got=told, hint="mend them or move them away")
    if failed or index is None:
        raise failed[0]
    return index


def _attempt(folder: Path, size: Size | None, grayscale: bool, file: File) -> tuple[Pixels, Size] | ImageError:
    try:
        return decode(folder / file.name, size, grayscale)
    except ImageError as error:
        return error


def _streamed(function: Callable[[T], U], items: Iterable[T]) -> Generator[U]:
    """Map in threads, in order, with no more than two items per thread decoded ahead."""
    threads = min(8, joblib.cpu_count())
    with ThreadPoolExecutor(threads) as executor:
        remaining = iter(items)
        ahead = deque(executor.submit(function, item) for item in islice(remaining, 2 * threads))
        try:
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(executor.submit(function, item) for item in islice(remaining, 1))
        finally:
            executor.shutdown(cancel_futures=True)


def _check_fits(
    name: str,
    pixels: Pixels,
    original: Size,
    grayscale: bool,
    index: Index | None,
    entries: Mapping[str, Entry],
) -> None:
    """Refuse an image that cannot share a row file with those before it."""
    deep = pixels.dtype.itemsize == 2
    if deep and not grayscale:
        raise ImageError(
            f"{name} has 16 bits per pixel",
            expected="8 bits where gray becomes colour",
            hint="grayscale=True",
        )
    if index is None:
        return
    other, entry = next(iter(entries.items()))
    if pixels.dtype.str != index.dtype:
        raise ImageError(
            "images of 8 and of 16 bits have no scale in common",
            got=f"{other if deep else name} with 8 bits, {name if deep else other} with 16",
            hint="choose one kind by pattern=, or save all of them with 16 bits",
        )
    if pixels.shape != index.shape:
        raise ImageError(
            "the images have different sizes",
            got=f"{other} {(entry.height, entry.width)} and {name} {original}",
            expected="one (height, width)",
            hint="size=256 to resize them all",
        )


def _begun(place: Path, pixels: Pixels) -> Index:
    """Start a row file. Another process may be reading the one before: it is unlinked, not written over."""
    rows = place / f"rows-{secrets.token_hex(4)}.bin"
    with _storing(place):
        for old in place.glob("rows-*.bin"):
            with suppress(PermissionError):  # Windows keeps a file that is being read
                old.unlink()
        rows.touch()
    channels, height, width = pixels.shape
    return Index(place, rows.name, 0, (channels, height, width), pixels.dtype.str, {})


def _write(index: Index, pixels: Pixels) -> None:
    with (index.folder / index.rows).open("r+b", buffering=0) as file:
        file.seek(index.count * index.row_bytes)
        if file.write(pixels.tobytes()) != index.row_bytes:
            raise OSError("no room for another row")


def _sync(index: Index) -> None:
    with _storing(index.folder):
        with (index.folder / index.rows).open("r+b") as file:
            os.fsync(file.fileno())
        index.save()


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    lock = FileLock(place / "lock")
    with _storing(place):
        place.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is decoding these images; waiting for %s", place)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _storing(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, StoreError) as error:
        raise StoreError(
            "the image cache cannot be written",
            got=error,
            expected=f"a writable folder with room at {place}",
            hint="set ALKIT_CACHE, or cache=, to another folder",
        ) from error
