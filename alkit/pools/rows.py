"""The rows of a cache of decoded images: each is checked when it is read, and decoded again if it is damaged."""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import Any, BinaryIO, Protocol, cast

import numpy as np

from alkit._logs import logger
from alkit.errors import ImageError, StoreError
from alkit.pools.decoding import Pixels
from alkit.pools.digests import pixel_digest
from alkit.pools.index import Entry, Index
from alkit.pools.sources import Source

log = logger(__name__)

AT_ONCE = 2**17
"""Bytes that the system is told to load at once. Linux ignores what exceeds the disk's read-ahead, often 128 KiB."""


class ReadsRows(Protocol):
    """Stored images by their positions."""

    def read(self, positions: Sequence[int]) -> Pixels:
        """Return images as they are stored, ``(n, c, h, w)``."""


class InMemory:
    """Stored images in memory."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels

    def read(self, positions: Sequence[int]) -> Pixels:
        """Return some of the images."""
        return self._pixels[np.asarray(positions, np.intp)]


class Rows:
    """Decoded images of some files, in their order. They stay on disk until they are read.

    The row file is read by calls of the system rather than mapped into memory: if it were cut off meanwhile, a mapped
    file would end the process. `Rows` are pickled without pixels; after unpickling they open the row file again.

    Parameters
    ----------
    index:
        Index of the row file.
    names, entries:
        Name of each image as the index lists it, and its entry.
    source:
        Where the images come from.
    """

    def __init__(self, index: Index, names: Sequence[str], entries: Sequence[Entry], source: Source) -> None:
        self.index, self.names, self.entries, self.source = replace(index, entries={}), names, entries, source
        self.shape = index.shape
        self._lock = threading.Lock()
        try:
            self._file = cast(BinaryIO, (index.folder / index.rows).open("rb", buffering=0))
        except OSError as error:
            raise StoreError(
                "the image cache was replaced after this pool was opened", got=error, hint="open the pool again"
            ) from error
        weakref.finalize(self, self._file.close)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.index, self.names, self.entries, self.source)

    def some(self, positions: Sequence[int]) -> Rows:
        """Return the images at these positions, in this order."""
        names, entries = [self.names[row] for row in positions], [self.entries[row] for row in positions]
        return Rows(self.index, names, entries, self.source)

    def expect(self, positions: Sequence[int]) -> None:
        """Let the system load these images, which will be read soon, while this process does something else."""
        if not hasattr(os, "posix_fadvise"):
            return
        bytes, rows = self.index.row_bytes, sorted(self.entries[position].row for position in positions)
        runs = [list(rows) for _, rows in groupby(enumerate(rows), lambda pair: pair[1] - pair[0])]
        with suppress(OSError):  # reading says what is wrong
            for run in runs:
                start, end = run[0][1] * bytes, (run[-1][1] + 1) * bytes
                for place in range(start, end, AT_ONCE):
                    size = min(AT_ONCE, end - place)
                    os.posix_fadvise(self._file.fileno(), place, size, os.POSIX_FADV_WILLNEED)

    def read(self, positions: Sequence[int]) -> Pixels:
        """Load the images at these positions into memory and return them, ``(n, c, h, w)``.

        Raises
        ------
        ImageError
            A cached image is damaged, and its file is missing, damaged or changed, too.
        """
        pixels: Pixels = np.empty((len(positions), *self.shape), self.index.dtype)
        for place, position in enumerate(positions):
            entry = self.entries[position]
            if not self._load(entry.row, pixels[place]) or checksum(pixels[place]) != entry.checksum:
                pixels[place] = self._restore(position)
        return pixels

    def _load(self, row: int, into: Pixels) -> bool:
        """Read a row, and return whether it could be read completely."""
        buffer, start = into.data.cast("B"), row * self.index.row_bytes
        done = 0
        try:
            while done < len(buffer):
                if hasattr(os, "preadv"):  # threads and forked processes share the position in the file
                    count = os.preadv(self._file.fileno(), [buffer[done:]], start + done)
                else:
                    with self._lock:
                        self._file.seek(start + done)
                        count = cast(Any, self._file).readinto(buffer[done:])
                if not count:
                    return False
                done += count
        except OSError as error:
            log.warning("the image cache in %s cannot be read (%s)", self.index.folder, error)
            return False
        return True

    def _restore(self, position: int) -> Pixels:
        """Decode a damaged image again, and replace its row if the cache can be written."""
        entry, path = self.entries[position], self.source.path(self.names[position])
        log.warning("the cached copy of %s is damaged or was removed; the image is decoded again", path)
        try:
            pixels, _ = self.source.item(self.names[position])
        except ImageError as error:
            raise ImageError(
                f"the cached copy of {path} is damaged, and the image cannot be decoded again",
                got=error,
                hint="restore the image, and open the pool again",
            ) from error
        if pixel_digest(pixels) != entry.digest:
            raise ImageError(
                f"the cached copy of {path} is damaged, and the image has changed since",
                hint="restore the image, and open the pool again",
            )
        try:
            with (self.index.folder / self.index.rows).open("r+b", buffering=0) as file:
                file.seek(entry.row * self.index.row_bytes)
                file.write(pixels.tobytes())
        except OSError as error:
            log.warning("the image cache in %s cannot be repaired (%s)", self.index.folder, error)
        return pixels


def checksum(pixels: Pixels) -> int:
    """Return the CRC-32 of an image's bytes. It takes about 0.03 ms for 256 x 256 pixels in colour."""
    return zlib.crc32(np.ascontiguousarray(pixels).data.cast("B"))
