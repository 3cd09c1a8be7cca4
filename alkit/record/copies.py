"""Copies of files that are elsewhere, in the user's cache.

Their names have their digests, by which they are checked whenever they are read.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from alkit._files import cache_folder, make_folder, write_atomically
from alkit._logs import logger
from alkit._reading.inside import read_inside
from alkit.errors import StoreError
from alkit.record.places import LONGEST, NAME, remove

log = logger(__name__)

KEPT = 30 * 86400.0
"""Seconds that a copy in the cache is kept after its last use."""

DIGEST = re.compile(r"([0-9a-f]{64})(?![0-9a-f])")
"""The beginning of a name that has a digest."""

_swept: set[Path] = set()


def is_whole(name: str, content: bytes) -> bool:
    """Whether a content has the digest in its name; True if the name has none."""
    known = DIGEST.match(name)
    return known is None or hashlib.sha256(content).hexdigest() == known[1]


def path_of_copy(name: str) -> Path:
    """Return the path that the copy of a file has, whether it exists or not."""
    return cache_folder() / "record-files" / name


def copy_of(name: str) -> bytes | None:
    """Return the content of a copy; None if there is none, or if it is damaged."""
    if not DIGEST.match(name):
        return None
    path = path_of_copy(name)
    with suppress(OSError):
        content = read_inside(path, path.parent, LONGEST)
        if is_whole(name, content):
            os.utime(path)
            return content
    return None


def keep_copy(name: str, content: bytes) -> None:
    """Keep a copy of a file whose name has a digest, if the cache can be written."""
    if not DIGEST.match(name):
        return
    path = path_of_copy(name)
    try:
        if not path.parent.exists():
            make_folder(path.parent).chmod(0o700)  # a record's labels may be for few eyes
        write_atomically(path, content)
        if path.parent not in _swept:
            _swept.add(path.parent)
            _sweep(path.parent)
    except (StoreError, OSError) as reason:
        log.debug("no copy of %s is kept (%s)", name, reason)


def delete_copy(name: str) -> None:
    """Delete a copy, if there is one."""
    with suppress(OSError):
        path_of_copy(name).unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Delete copies that nobody has used for a long time."""
    now = time.time()
    remove(folder, [path for path in folder.iterdir() if NAME.fullmatch(path.name) and _age(path, now) > KEPT])


def _age(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except OSError:  # another process has just deleted it
        return 0.0
