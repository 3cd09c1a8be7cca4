"""Names of the files in a folder and its subfolders, each folder once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path


def find_names(folder: Path, pattern: str) -> Iterator[str]:
    """Yield the paths, relative to `folder`, of all files that match a pattern and are not hidden.

    A folder is read under its own path rather than under that of a link, and only once. Links to a folder that contains
    `folder` are not followed, so that a link to a parent neither ends in a loop nor adds other files.

    Parameters
    ----------
    folder:
        The folder.
    pattern:
        As in :func:`glob.glob` with ``recursive=True``: ``**`` matches any folders.
    """
    wanted = [part for part in pattern.replace(os.sep, "/").split("/") if part not in ("", ".")]
    for name in _walk(folder):
        if _matches(name.split(os.sep), wanted):
            yield name


def _walk(folder: Path) -> Iterator[str]:
    real = folder.resolve()
    seen = {_identity(parent) for parent in real.parents}
    places, links = deque([""]), deque[str]()
    while places or links:
        place = places.popleft() if places else links.popleft()  # links last, so that a folder's own path comes first
        with suppress(OSError):  # as glob does: a folder that cannot be read has no files
            identity = _identity(folder / place)
            if identity in seen:
                continue
            seen.add(identity)
            with os.scandir(folder / place) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    name = os.path.join(place, entry.name)
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        (links if entry.is_symlink() else places).append(name)
                    else:
                        yield name


def _identity(folder: Path) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern."""
    if not wanted or not parts:
        return not parts and all(part == "**" for part in wanted)
    if wanted[0] == "**":
        return _matches(parts, wanted[1:]) or _matches(parts[1:], wanted)
    return fnmatch(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])
