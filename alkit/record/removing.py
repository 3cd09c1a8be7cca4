"""Images that were removed from a record, because somebody withdrew their consent.

The record keeps that such an image was there, when it was removed and why. Its labels are deleted, and what is known of
its answers and queries is taken out of their rows. The journal is begun again with the rows that are left, and the
backups are replaced, because both have the former rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from alkit.protocols import HasDigests, HasFiles, HasSubsets, Pool

REMOVED = "removed"
"""Name of the fact that has, by the id of each removed image, the time, the reason, and what is still to be deleted."""

TAKEN_OUT = "its image was removed"
"""Reason of the answers to a removed image, which do not count."""

ANSWER: Mapping[str, Any] = {
    "annotator": "",
    "kind": "invalid",
    "label": None,
    "reason": TAKEN_OUT,
    "seconds": None,
    "rejected": None,
}
"""What the row of an answer to a removed image contains."""

QUERY: Mapping[str, Any] = {"withdrawn": 1, "prelabel": None, "score": None, "stands_for": "", "sizes": "[]"}
"""What the row of a query of a removed image contains."""


def without_removed(pool: Pool, removed: Mapping[str, Mapping[str, Any]], others: Collection[str]) -> Pool:
    """Return a pool without removed images, which are known by their id, by their content and by that of their file.

    Parameters
    ----------
    pool:
        The pool.
    removed:
        The fact about removed images.
    others:
        Ids of the images of the record that were not removed. They stay, also if one has the content of a removed one.
    """
    if not removed or not isinstance(pool, HasSubsets):
        return pool
    contents = {entry["digest"] for entry in removed.values() if entry["digest"]}
    files = {file for entry in removed.values() if (file := entry.get("file"))}
    digests = pool.digests() if contents and isinstance(pool, HasDigests) else {}
    known = set(others)
    gone = {
        id
        for id in pool.ids
        if id in removed
        or (id not in known and (digests.get(id, "")[:16] in contents or (files and file_digest(pool, id) in files)))
    }
    return pool.subset(tuple(id for id in pool.ids if id not in gone)) if gone else pool


def unfinished_removals(removed: Mapping[str, Mapping[str, Any]] | None) -> list[str]:
    """Return the ids of images whose removal was begun and not finished, from the fact about removed images."""
    return [id for id, entry in (removed or {}).items() if not entry["purged"]]


def file_digest(pool: Pool, id: str) -> str:
    """Return a digest of the file of an image, which does not depend on its working size; empty if it has none."""
    file = pool.file(id) if isinstance(pool, HasFiles) else None
    try:
        return "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def without(value: Any, ids: Collection[str]) -> Any:
    """Return a list or mapping of ids without some of them; other values unchanged."""
    if isinstance(value, list):
        return [entry for entry in value if entry not in ids]
    if isinstance(value, dict):
        return {id: entry for id, entry in value.items() if id not in ids}
    return value
