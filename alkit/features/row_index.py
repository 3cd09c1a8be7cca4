"""The index of rows on disk: the image of each row, and checksums that show damage."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.features.gathered import Rows

Images = npt.NDArray[np.bytes_]
"""Digests of images, ``(n,)``, 32 bytes each."""

ERASED = "erased"
"""Name of an empty file beside the rows, which is made again whenever rows are overwritten because of a removal."""

ENTRY = np.dtype([("image", "S32"), ("row", "<u4"), ("check", "<u4")])
"""An entry: the digest of the image, the CRC-32 of the row, and the CRC-32 of both."""

Entries = npt.NDArray[Any]


def image_digests(shape: Sequence[int], scale: object, digests: Sequence[str]) -> Images:
    """Return the digests by which tables know images: of their pixels, shape and scale.

    >>> image_digests((1, 2, 2), "full", ["a" * 64]) == image_digests((1, 4, 1), "full", ["a" * 64])
    array([False])
    """
    before = hashlib.sha256(json.dumps([list(shape), scale]).encode())
    found = np.empty(len(digests), "S32")
    for row, digest in enumerate(digests):
        own = before.copy()
        own.update(digest.encode())
        found[row] = own.digest()
    return found


def make_entries(images: Images, rows: Rows) -> Entries:
    """Return the entries of some rows."""
    entries = np.empty(len(rows), ENTRY)
    entries["image"], entries["row"] = images, row_sums(rows)
    entries["check"] = entry_checks(entries)
    return entries


def row_sums(rows: Rows) -> npt.NDArray[np.uint32]:
    """Return the CRC-32 of each row."""
    raw, step = np.ascontiguousarray(rows, "<f4").reshape(-1).view(np.uint8).data, 4 * rows.shape[1]
    return np.fromiter((zlib.crc32(raw[at : at + step]) for at in range(0, len(raw), step)), np.uint32, len(rows))


def entry_checks(entries: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """Return the CRC-32 of each entry without its last field."""
    raw, step = memoryview(entries.tobytes()), ENTRY.itemsize
    return np.fromiter(
        (zlib.crc32(raw[at : at + step - 4]) for at in range(0, len(raw), step)), np.uint32, len(entries)
    )


def find_rows(entries: Entries, valid: npt.NDArray[np.bool_], images: Images) -> npt.NDArray[np.intp]:
    """Return the row of each image, or -1; only entries that are `valid` count."""
    if not valid.any():
        return np.full(len(images), -1)
    own = entries["image"]
    if (start := _run(own, images)) is not None and valid[start : start + len(images)].all():
        return np.arange(start, start + len(images))
    # Sorting numbers takes a tenth of the time of sorting digests, and equal beginnings are as good as unknown.
    begins, wanted = _begin(own), _begin(images)
    order = np.argsort(begins, kind="stable")
    order = order[valid[order]]
    rows = order[np.minimum(np.searchsorted(begins[order], wanted), len(order) - 1)]
    found = own[rows] == images
    if not found.all() and (begins[rows] == wanted)[~found].any():
        rows_by_image = {own[row]: row for row in order[::-1]}
        return np.array([rows_by_image.get(image, -1) for image in images])
    return np.where(found, rows, -1)


def _begin(images: Images) -> npt.NDArray[np.uint64]:
    """Return the first eight bytes of each digest as a number."""
    return np.ascontiguousarray(images).view("<u8").reshape(-1, 4)[:, 0]


def _run(own: Images, images: Images) -> int | None:
    """Return where `images` stand in `own` one after the other, if they do from the first place of the first one."""
    for start in np.flatnonzero(own == images[0])[:1]:
        if start + len(images) <= len(own) and bool((own[start : start + len(images)] == images).all()):
            return int(start)
    return None
