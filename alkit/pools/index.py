"""The index of a cache of decoded images: which row of the row file belongs to which item.

Format 2 of ``index.json`` is a line with the SHA-256 of the rest, followed by JSON. The sum shows any damage of the
index, and the index has a checksum of every row.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alkit._files import write_atomically
from alkit._logs import logger
from alkit._reading.inside import leads_out, read_inside
from alkit._reading.limits import check_pixels

log = logger(__name__)

FORMAT = 2

ROWS = re.compile("rows-[0-9a-f]{8}[.]bin")
"""Names of row files."""

DTYPES = ("|u1", "<u2", "<f4")
"""Types of the pixels."""

LONGEST = 2**32
"""Greatest number of bytes of an index."""

MOST_CHANNELS = 1000
"""Greatest number of channels of an image."""

TYPES = [int, int, int, int, int, int, str, int]
"""Types of the values of an entry."""


class Entry(NamedTuple):
    """An item in the index: the size and times of its file, see `File`, its row and its original size.

    `digest` is the SHA-256 that identifies the pixels, see :func:`alkit.pools.digests.pixel_digest`. `checksum` is the
    CRC-32 of the bytes of the row, which is checked whenever the row is read.
    """

    bytes: int
    modified: int
    changed: int
    row: int
    height: int
    width: int
    digest: str
    checksum: int


@dataclass(frozen=True)
class Index:
    """The table of contents of a row file.

    Parameters
    ----------
    folder:
        Folder of this cache.
    rows:
        Name of the row file.
    count:
        Number of rows written. Rows without an entry belong to files that have changed since, or were not finished.
    shape, dtype:
        Shape ``(c, h, w)`` and type, ``|u1``, ``<u2`` or ``<f4``, of a row.
    entries:
        Entries by the name of the item, see :mod:`alkit.pools.sources`.
    """

    folder: Path
    rows: str
    count: int
    shape: tuple[int, int, int]
    dtype: str
    entries: Mapping[str, Entry]

    @property
    def row_bytes(self) -> int:
        """Size of a row in bytes."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def save(self) -> None:
        """Replace the index on disk with this one."""
        content = json.dumps(
            {
                "format": FORMAT,
                "rows": self.rows,
                "count": self.count,
                "shape": self.shape,
                "dtype": self.dtype,
                "entries": self.entries,
            }
        ).encode()
        write_atomically(self.folder / "index.json", f"{hashlib.sha256(content).hexdigest()}\n".encode() + content)

    @classmethod
    def load(cls, folder: Path) -> Index | None:
        """Return the index in `folder`, or None if there is none. Log a warning and return None if it is damaged."""
        try:
            text = read_inside(folder / "index.json", folder, LONGEST)
        except FileNotFoundError:
            return None
        try:
            checksum, _, content = text.partition(b"\n")
            if checksum != hashlib.sha256(content).hexdigest().encode():
                raise ValueError("its checksum is wrong, or another version of alkit wrote it")
            found = json.loads(content)
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']}")
            if (
                not ROWS.fullmatch(found["rows"])
                or leads_out(folder / found["rows"], folder)
                or not (folder / found["rows"]).is_file()
            ):
                raise ValueError(f"another row file, {found['rows']!r}")
            if found["dtype"] not in DTYPES:
                raise ValueError(f"the type {found['dtype']!r}")
            channels, height, width = found["shape"]
            if not all(type(number) is int and 0 <= number < 2**40 for number in (*found["shape"], found["count"])):
                raise ValueError(f"the shape {found['shape']} and {found['count']} rows")
            check_pixels((height, width), "an image")
            if not 1 <= channels <= MOST_CHANNELS:
                raise ValueError(f"{channels} channels")
            entries = {name: Entry(*entry) for name, entry in found["entries"].items()}
            if any(list(map(type, entry)) != TYPES for entry in entries.values()):
                raise ValueError("entries of another form")
            index = cls(folder, found["rows"], found["count"], (channels, height, width), found["dtype"], entries)
            written = (folder / index.rows).stat().st_size
            if written < index.count * index.row_bytes:
                raise ValueError(f"the row file has {written} of {index.count * index.row_bytes} bytes")
        except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
            log.warning("the image cache in %s is damaged (%s); the images are decoded again", folder, error)
            return None
        return index
