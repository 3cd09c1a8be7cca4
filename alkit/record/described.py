"""Images that a record describes by digests of their content, which only somebody who has them knows."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from alkit._files import without_tilde
from alkit.configuration.forms import Written
from alkit.pools.batches import batches
from alkit.pools.decoding import SUFFIXES
from alkit.pools.names import find_names
from alkit.protocols import HasDigests, Pool
from alkit.record.store import Store

DIGEST = re.compile("[0-9a-f]{16}")
"""The beginning of a SHA-256, in hexadecimal, which a record keeps of each image."""

LEAST = 256
"""Fewest pixels of an image whose digest cannot be guessed."""


MOST_OTHERS = 1000
"""A folder may have so many files that a record does not describe, and as many more as it has that the record does."""


def has_far_more_files(form: Written, recorded: Collection[str] = ()) -> bool:
    """Return whether the folder of a pool, by its written form, has far more files than a record describes.

    A stranger's record can name the root of the disk. Its files are counted, and none is opened.

    Parameters
    ----------
    recorded:
        Ids of the images that the record describes.
    """
    match form:
        case {"is": "alkit.pools:Subset", "with": {"pool": inner}}:
            return has_far_more_files(inner, recorded)
        case {"is": "alkit:ImagePool" | "alkit:VolumePool" | "alkit:TilePool", "with": {"path": str(path), **given}}:
            pattern = given.get("pattern", "**/*")
        case _:
            return False
    if not isinstance(pattern, str):
        return False
    others = known = 0
    is_plain = form["is"] == "alkit:ImagePool" and given.get("pages") is None  # a file is an image
    for name in find_names(Path(without_tilde(path)), pattern):
        stem, suffix = os.path.splitext(name)
        if is_plain and suffix.lower() not in SUFFIXES:
            continue
        is_known = is_plain and stem.replace(os.sep, "/") in recorded
        known, others = known + is_known, others + (not is_known)
        if others > MOST_OTHERS + 2 * len(recorded):
            return True
    return is_plain and others > MOST_OTHERS + known


def describes_images(record: Store) -> bool:
    """Return whether a record has a digest of each of its images; a stranger can write one without any."""
    recorded = record.fact("images")
    return bool(recorded) and all(map(DIGEST.fullmatch, recorded.values()))


def described_images(record: Store, pool: Pool) -> tuple[str, ...]:
    """Return the sorted ids of the images of a pool that have the content that a record describes."""
    recorded = record.fact("images")
    if not recorded or not isinstance(pool, HasDigests):
        return ()
    there = {id: digest[:16] for id, digest in pool.digests().items()}
    return tuple(id for id in sorted(recorded) if DIGEST.fullmatch(recorded[id]) and there.get(id) == recorded[id])


def can_be_guessed(record: Store, pool: Pool) -> bool:
    """Return whether somebody who does not have an image could write its digest into a record.

    A stranger chooses how images are read. At a size of one pixel, or by a window of volumes in which all is black,
    the digest of any image is known.
    """
    recorded = record.fact("images") or {}
    ids = [id for id in pool.ids if id in recorded]
    for some in batches(ids, pool) if ids else ():
        images = pool.read(some)
        if images.shape[-2] * images.shape[-1] < LEAST:
            return True
        planes = images.reshape(*images.shape[:2], -1)
        if (planes.min(axis=2) == planes.max(axis=2)).any():
            return True
    return False
