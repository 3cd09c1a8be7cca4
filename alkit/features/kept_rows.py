"""Rows of features that are on disk already: read without computing or writing anything, and without any weights."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.features.gathered import Rows, map_rows
from alkit.features.row_index import ENTRY, Images, entry_checks, find_rows, row_sums


def find_kept_rows(root: Path, extractor: Any, images: Images) -> tuple[Rows, npt.NDArray[np.bool_]] | None:
    """Return the rows of some images in the tables of :mod:`alkit.features.stored`.

    If an extractor had other weights at another time, the table that was written last counts. It may differ from that
    of the present weights, which nobody loads: rows found in this way are for pictures, not for selections.

    Parameters
    ----------
    root:
        Folder of all tables.
    extractor:
        Written form of the extractor, with its former addresses.
    images:
        Digests of the images.

    Returns
    -------
    rows, known:
        The rows of the images that have a sound one, and which of the images these are; None if there is none.
    """
    tables = []
    for about in root.glob("*/about.json"):
        with suppress(OSError, ValueError, RecursionError, LookupError, TypeError):  # it is damaged
            facts = json.loads(about.read_bytes())
            width = facts["width"]
            if facts["extractor"] == extractor and type(width) is int and width > 0:
                file = about.with_name(Path(str(facts["rows"])).name).with_suffix(".bin")
                tables.append((file.stat().st_mtime, file, width))
    for _, file, width in sorted(tables, reverse=True):
        with suppress(OSError, ValueError):
            if (found := _rows_in(file, width, images)) is not None:
                return found
    return None


def _rows_in(file: Path, width: int, images: Images) -> tuple[Rows, npt.NDArray[np.bool_]] | None:
    raw = file.with_suffix(".index").read_bytes()
    written = file.stat().st_size // (4 * width)
    entries = np.frombuffer(raw, ENTRY, count=min(len(raw) // ENTRY.itemsize, written))
    places = find_rows(entries, entry_checks(entries) == entries["check"], images)
    known = places >= 0
    if not known.any():
        return None
    rows = map_rows(file, (written, width))[places[known]]
    sound = row_sums(rows) == entries["row"][places[known]]
    known[np.flatnonzero(known)[~sound]] = False
    return (rows[sound], known) if sound.any() else None
