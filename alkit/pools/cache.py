"""The cache of decoded images: each item of a pool's files is one row of a file, and is decoded once.

A file gives one item, such as an image, or several, such as the slices of a volume, see :mod:`alkit.pools.sources`.

Rows are only appended. An index beside the row file maps each item to its row, with the size of its file in bytes and
the times of its last modification and change. The time of change shows that a file was renamed, or replaced by another
one of equal size and modification time, as by ``cp -p``. The index is replaced as a whole, after the rows that it lists
are on disk. So after a crash, decoding continues with the next file, and a changed file is decoded again. A cache whose
index is damaged is rebuilt, and a damaged row is decoded again, since the files are still there.

A cache lies under ``images/<key>/``: ``index.json``, see :mod:`alkit.pools.index`; a row file of C-ordered,
little-endian ``(c, h, w)`` arrays; and ``lock``, which is held while rows are added.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from alkit._logs import logger
from alkit._reading.threads import map_in_threads
from alkit.errors import ImageError, StoreError
from alkit.pools.decoding import File, Pixels
from alkit.pools.digests import pixel_digest
from alkit.pools.index import Entry, Index
from alkit.pools.rows import Rows, checksum
from alkit.pools.sources import BETWEEN, Source, file_name
from alkit.values.label_spec import Size
from alkit.values.progress import Progress, Report

log = logger(__name__)

Item = tuple[str, Pixels, Size]
"""The name of an item, its pixels, and its original height and width."""

FEW = 5
"""Most reasons that a message lists."""

SAVE_EVERY = 1000
"""Number of rows after which the index is saved. A crash loses at most so many decoded images, or a tenth of them.

A save writes the whole index, so that the work would grow with the square of the number of images if each number of new
rows were the same.
"""


def cache_images(
    files: Mapping[str, File], source: Source, *, root: Path, report: Report
) -> tuple[Rows, dict[str, str]]:
    """Decode those of `files` that are not in the cache, and return the cached items of all, in their order.

    Files that cannot be decoded are left out: they are returned by id, with the reason.

    If two processes do this at the same time, the second waits for the first and then finds the items in the cache.

    Parameters
    ----------
    files:
        Files by id, see :func:`alkit.pools.decoding.scan`. Each gives one item or several.
    source:
        How files are decoded. Its key identifies the cache.
    root:
        Folder of all caches.
    report:
        Called with the progress after each file.

    Raises
    ------
    ImageError
        No file can be decoded; or the items differ in size or type; or the source refuses their type.
    StoreError
        The cache cannot be written.
    """
    place = root / "images" / hashlib.sha256(source.key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    with _as_store_error(place):
        index = Index.load(place)
    if index is None or _missing(index, files.values()):
        with _lock(place):
            with _as_store_error(place):
                index = Index.load(place)  # another process may have added rows meanwhile
            index, failed = _extend(index, place, source, files, report)
    else:
        failed = {}
    by_file = names_by_file(index)
    names = [name for file in files.values() for name in by_file.get(file.name, ())]
    rows = Rows(index, names, [index.entries[name] for name in names], source)
    return rows, {id: str(failed[file.name]) for id, file in files.items() if file.name in failed}


def names_by_file(index: Index) -> dict[str, list[str]]:
    """Return the names of the items of each file, in the order in which they were decoded."""
    names: dict[str, list[str]] = {}
    for name in index.entries:
        names.setdefault(file_name(name), []).append(name)
    return names


def _missing(index: Index | None, files: Iterable[File]) -> list[File]:
    """Return the files that are not in the index, or have changed since."""
    known = {} if index is None else {file_name(name): entry[:3] for name, entry in index.entries.items()}
    return [file for file in files if known.get(file.name) != file[1:]]


def _extend(
    index: Index | None, place: Path, source: Source, files: Mapping[str, File], report: Report
) -> tuple[Index, dict[str, ImageError]]:
    """Decode the files that are missing in the index, append their rows and save the index at intervals.

    The items of a file are added to the index together, after all of them were decoded.

    Return the new index, and by name the errors of files that cannot be decoded.
    """
    missing = _missing(index, files.values())
    stale = {file.name for file in missing}
    by_file = {} if index is None else names_by_file(index)
    kept = [by_file[file.name] for file in files.values() if file.name not in stale]
    entries = {} if index is None else {name: index.entries[name] for names in kept for name in names}
    if index is not None and not entries:
        index = None  # no row is still valid, so start again: the new rows may have another shape
    failed: dict[str, ImageError] = {}
    odd: list[OddError] = []
    done, unsaved = len(kept), 0
    try:
        with closing(_decoded(source, missing)) as decoded:
            for file, items in zip(missing, decoded, strict=True):
                before, added = index, dict[str, Entry]()
                for item in items:
                    if isinstance(item, ImageError):
                        failed[file.name] = item
                        break
                    name, pixels, original = item
                    source.check(name, pixels)
                    try:
                        _check_fits(name, pixels, original, index, entries or added)
                    except OddError as reason:
                        failed[file.name] = reason
                        odd.append(reason)
                        break
                    index = index or _start(place, pixels)
                    with _as_store_error(place):
                        _write(index, pixels)
                    sums = pixel_digest(pixels), checksum(pixels)
                    added[name] = Entry(*file[1:], index.count, *original, *sums)
                    index = replace(index, count=index.count + 1)
                    unsaved += 1
                if index is None or file.name in failed:
                    index = before  # the next file's rows replace those of a file that failed
                    continue
                entries |= added
                index = replace(index, entries=entries)
                done += 1
                if unsaved >= max(SAVE_EVERY, len(entries) // 10):
                    _sync(index)
                    unsaved = 0
                report(Progress("read", done, len(files)))
    finally:
        if index is not None and unsaved:
            _sync(index)
    if len(odd) > done:  # the first image is the odd one
        raise odd[0]
    if index is None or not entries:
        reasons = [str(error) for error in failed.values()]
        if len(reasons) == 1:
            raise next(iter(failed.values()))
        raise ImageError(
            f"none of the {len(reasons)} images can be used",
            got="; ".join(reasons[:FEW]) + ("; ..." if len(reasons) > FEW else ""),
            hint="repair them",
        )
    return replace(index, entries=entries), failed  # without the former entry of a file that cannot be used any more


def _decoded(source: Source, files: Iterable[File]) -> Generator[Iterable[Item | ImageError]]:
    """Yield the items of each file; the last one is an error if the file cannot be used."""
    if not source.is_parallel:
        yield from (_items(source, file) for file in files)
        return
    with closing(map_in_threads(lambda file: list(_items(source, file)), files)) as decoded:
        yield from decoded


def _items(source: Source, file: File) -> Iterator[Item | ImageError]:
    empty = True
    try:
        for item in source.items(file):
            yield item
            empty = False
        if empty:
            raise ImageError(f"{source.path(file.name)} holds nothing to label")
    except ImageError as error:
        yield error


class OddError(ImageError):
    """An image differs from the images before it in its channels or in the type of its values."""


def _check_fits(name: str, pixels: Pixels, original: Size, index: Index | None, entries: Mapping[str, Entry]) -> None:
    """Refuse an image that differs in shape or type from the rows before it."""
    if index is None:
        return
    other, entry = next(iter(entries.items()))
    name, other = name.replace(BETWEEN, "/"), other.replace(BETWEEN, "/")
    if pixels.shape[0] != index.shape[0]:
        raise OddError(
            f"{name} has {pixels.shape[0]} channels",
            expected=f"{index.shape[0]}, as {other} has",
            hint="select one kind with pattern or exclude",
        )
    if pixels.dtype.str != index.dtype and "f" in pixels.dtype.str + index.dtype:
        raise OddError(
            f"{name} has values of the type {pixels.dtype.name}",
            expected=f"{np.dtype(index.dtype).name}, as {other} has",
            hint="select one kind with pattern or exclude",
        )
    if pixels.dtype.str != index.dtype:
        deep = pixels.dtype.itemsize == 2
        raise ImageError(
            "all images must have the same number of bits",
            got=f"{other if deep else name} with 8 bits, {name if deep else other} with 16",
            hint="select one kind with pattern, or save all of them with 16 bits",
        )
    if pixels.shape != index.shape:
        raise ImageError(
            "all images must have the same size, or be resized",
            got=f"{other} {(entry.height, entry.width)} and {name} {original}",
            hint="size=256 to resize them",
        )


def _start(place: Path, pixels: Pixels) -> Index:
    """Start a row file. An old one is unlinked, not overwritten, because another process may be reading it."""
    rows = place / f"rows-{secrets.token_hex(4)}.bin"
    with _as_store_error(place):
        for old in place.glob("rows-*.bin"):
            with suppress(PermissionError):  # Windows does not unlink a file that is open
                old.unlink()
        rows.touch()
    channels, height, width = pixels.shape
    return Index(place, rows.name, 0, (channels, height, width), pixels.dtype.str, {})


def _write(index: Index, pixels: Pixels) -> None:
    with (index.folder / index.rows).open("r+b", buffering=0) as file:
        file.seek(index.count * index.row_bytes)
        if file.write(pixels.tobytes()) != index.row_bytes:
            raise OSError("the disk is full")


def _sync(index: Index) -> None:
    with _as_store_error(index.folder):
        with (index.folder / index.rows).open("r+b") as file:
            os.fsync(file.fileno())
        index.save()


@contextmanager
def _lock(place: Path) -> Iterator[None]:
    lock = FileLock(place / "lock")
    with _as_store_error(place):
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
def _as_store_error(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, StoreError) as error:
        raise StoreError(
            "the image cache cannot be written",
            got=error,
            expected=f"a writable folder with room at {place}",
            hint="set ALKIT_CACHE to another folder",
        ) from error
