"""The cache of decoded images: each image of a folder is one row of a memory-mapped file, and is decoded once.

Rows are only appended. An index beside the row file maps each image file, with its size in bytes and the times of its
last modification and change, to its row. The time of change shows that a file was renamed, or replaced by another one
of equal size and modification time, as by ``cp -p``. The index is replaced as a whole, after the rows that it lists are
on disk. So after a crash, decoding continues with the next image, and a changed image is decoded again. A cache whose
index is damaged is rebuilt, and a damaged row is decoded again, since the images are still there.

A cache lies under ``images/<key>/``: ``index.json``, see :mod:`alkit.pools.index`; a row file of C-ordered,
little-endian ``(c, h, w)`` arrays; and ``lock``, which is held while rows are added.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from alkit._reading.threads import map_in_threads
from alkit.errors import ImageError, StoreError
from alkit.pools.decoding import File, Pixels, decode
from alkit.pools.digests import pixel_digest
from alkit.pools.index import Entry, Index
from alkit.pools.rows import Rows, Source, checksum
from alkit.values.label_spec import Size
from alkit.values.progress import Progress, Report

log = logging.getLogger(__name__)

LAYOUT = 2
"""Version of the row file and of the decoder. It is part of the name of the folder."""

FEW = 5
"""Most reasons that a message lists."""

SAVE_EVERY = 1000
"""Number of rows after which the index is saved. A crash loses at most so many decoded images."""


def cache_images(
    folder: Path,
    files: Mapping[str, File],
    *,
    size: Size | None,
    grayscale: bool,
    pattern: str,
    root: Path,
    report: Report,
) -> tuple[Rows, dict[str, str]]:
    """Decode those of `files` that are not in the cache, and return the cached images of all, in their order.

    Files that cannot be decoded are left out: they are returned by id, with the reason.

    If two processes do this at the same time, the second waits for the first and then finds the images in the cache.

    Parameters
    ----------
    folder:
        Folder of images.
    files:
        Image files by id, see :func:`alkit.pools.decoding.scan`.
    size, grayscale:
        Working size and colour, see :class:`alkit.ImagePool`.
    pattern:
        Pattern of the file names. With the folder, size and colour it identifies the cache.
    root:
        Folder of all caches.
    report:
        Called with the progress after each image.

    Raises
    ------
    ImageError
        No file can be decoded; or they differ in size while `size` is None, mix 8 and 16 bits, or have 16 bits without
        `grayscale`.
    StoreError
        The cache cannot be written.
    """
    name = repr((LAYOUT, os.fspath(folder.resolve()), size, grayscale, pattern))
    place = root / "images" / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    with _as_store_error(place):
        index = Index.load(place)
    if index is None or _missing(index, files.values()):
        with _lock(place):
            with _as_store_error(place):
                index = Index.load(place)  # another process may have added rows meanwhile
            index, failed = _extend(index, place, folder, files, size, grayscale, report)
    else:
        failed = {}
    names = [file.name for file in files.values() if file.name not in failed]
    rows = Rows(index, names, [index.entries[name] for name in names], Source(folder, size, grayscale))
    return rows, {id: str(failed[file.name]) for id, file in files.items() if file.name in failed}


def _missing(index: Index | None, files: Iterable[File]) -> list[File]:
    """Return the files that are not in the index, or have changed since."""
    known = {} if index is None else index.entries
    return [file for file in files if (entry := known.get(file.name)) is None or entry[:3] != file[1:]]


def _extend(
    index: Index | None,
    place: Path,
    folder: Path,
    files: Mapping[str, File],
    size: Size | None,
    grayscale: bool,
    report: Report,
) -> tuple[Index, dict[str, ImageError]]:
    """Decode the files that are missing in the index, append their rows and save the index at intervals.

    Return the new index, and by name the errors of files that cannot be decoded.
    """
    missing = _missing(index, files.values())
    stale = {file.name for file in missing}
    entries = (
        {}
        if index is None
        else {file.name: index.entries[file.name] for file in files.values() if file.name not in stale}
    )
    if index is not None and not entries:
        index = None  # no row is still valid, so start again: the new rows may have another shape
    failed: dict[str, ImageError] = {}
    unsaved = 0
    try:
        with closing(map_in_threads(partial(_try_decode, folder, size, grayscale), missing)) as results:
            for file, result in zip(missing, results, strict=True):
                if isinstance(result, ImageError):
                    failed[file.name] = result
                    continue
                pixels, original = result
                _check_fits(file.name, pixels, original, grayscale, index, entries)
                index = index or _start(place, pixels)
                with _as_store_error(place):
                    _write(index, pixels)
                sums = pixel_digest(pixels), checksum(pixels)
                entries[file.name] = Entry(*file[1:], index.count, *original, *sums)
                index = replace(index, count=index.count + 1, entries=entries)
                unsaved += 1
                if unsaved == SAVE_EVERY:
                    _sync(index)
                    unsaved = 0
                report(Progress("read", len(entries), len(files)))
    finally:
        if index is not None and unsaved:
            _sync(index)
    if index is None or not entries:
        reasons = [str(error) for error in failed.values()]
        if len(reasons) == 1:
            raise next(iter(failed.values()))
        raise ImageError(
            f"none of the {len(reasons)} images can be used",
            got="; ".join(reasons[:FEW]) + ("; ..." if len(reasons) > FEW else ""),
            hint="repair them",
        )
    return index, failed


def _try_decode(folder: Path, size: Size | None, grayscale: bool, file: File) -> tuple[Pixels, Size] | ImageError:
    try:
        return decode(folder / file.name, size, grayscale)
    except ImageError as error:
        return error


def _check_fits(
    name: str,
    pixels: Pixels,
    original: Size,
    grayscale: bool,
    index: Index | None,
    entries: Mapping[str, Entry],
) -> None:
    """Refuse an image that differs in shape or type from the rows before it."""
    deep = pixels.dtype.itemsize == 2
    if deep and not grayscale:
        raise ImageError(
            f"{name} has 16 bits per pixel", expected="8 bits, unless images are grayscale", hint="grayscale=True"
        )
    if index is None:
        return
    other, entry = next(iter(entries.items()))
    if pixels.dtype.str != index.dtype:
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
