"""Names of the files in a folder and its subfolders, each folder once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from alkit.errors import ConfigurationError, DataError

OF_SYSTEMS = frozenset({"lost+found", "System Volume Information", "$RECYCLE.BIN"})
"""Folders of operating systems on each disk, which users cannot read."""


def check_folder(folder: Path, name: str, content: str) -> None:
    """Check that a folder exists.

    Parameters
    ----------
    folder:
        The folder.
    name:
        Name of the parameter in the message.
    content:
        What the folder should hold, for the message.

    Raises
    ------
    DataError
        It does not exist, or is a file.
    """
    if not folder.is_dir():
        got, hint = (
            (f"the file {folder}", "the folder that contains it") if folder.exists() else (folder, "check the path")
        )
        raise DataError(f"{name} must be an existing folder of {content}", got=got, hint=hint)


def find_names(folder: Path, pattern: str, unreadable: dict[str, OSError] | None = None) -> Iterator[str]:
    """Yield the paths, relative to `folder`, of all files that match a pattern and are not hidden.

    A folder is read under its own path rather than under that of a link, and only once. Links to a folder that contains
    `folder` are not followed, so that a link to a parent neither ends in a loop nor adds other files.

    Parameters
    ----------
    folder:
        The folder.
    pattern:
        As in :func:`glob.glob` with ``recursive=True``: ``**`` matches any folders.
    unreadable:
        Gets the folders that cannot be read, or not to their end, and could contain such files.
    """
    wanted = [part for part in pattern.replace(os.sep, "/").split("/") if part not in ("", ".")]
    errors: dict[str, OSError] = {} if unreadable is None else unreadable
    for name in _walk(folder, lambda place, error: _may_contain(place, wanted) and errors.update({place: error})):
        if _matches(name.split(os.sep), wanted):
            yield name


def check_inside(pattern: str, name: str = "") -> None:
    """Check that the files of a pattern lie in its folder or below: a record of a stranger may hold the pattern.

    Parameters
    ----------
    pattern:
        Names of files, relative to a folder.
    name:
        The name of a class that was put into it.

    Raises
    ------
    ConfigurationError
        It leads out of the folder.

    Examples
    --------
    >>> check_inside("train/{id}_mask.png")
    >>> check_inside("train/../../{id}.png")
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: pattern must name files in the folder...
    """
    parts = pattern.replace(os.sep, "/").split("/")
    if ".." in parts or os.path.isabs(pattern) or os.path.splitdrive(pattern)[0]:
        raise ConfigurationError(
            "pattern must name files in the folder or below",
            got=repr(pattern) + (f", by the class {name!r}" if name else ""),
            hint="name the folder that has them, and a pattern without .. and without a leading slash",
        )


def as_patterns(exclude: str | Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of files to leave out, of which one may be given as a text."""
    return (exclude,) if isinstance(exclude, str) else tuple(exclude)


def is_excluded(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a path relative to a folder matches one of these patterns.

    A pattern without a slash is matched with each part of the path, so that it can be the name of a file or a folder.

    >>> is_excluded("a/masks/1.png", ["masks"]), is_excluded("a/1_mask.png", ["*_mask.*"])
    (True, True)
    >>> is_excluded("a/b/1.png", ["a/*.png"]), is_excluded("a/b/1.png", ["**/b/*"])
    (False, True)
    """
    parts = name.split(os.sep)
    for pattern in patterns:
        wanted = [part for part in pattern.replace(os.sep, "/").split("/") if part not in ("", ".")]
        if any(fnmatch(part, wanted[0]) for part in parts) if len(wanted) == 1 else _matches(parts, wanted):
            return True
    return False


def _walk(folder: Path, report: Callable[[str, OSError], object]) -> Iterator[str]:
    real = folder.resolve()
    seen = {_identity(parent) for parent in real.parents}
    places, links = deque([""]), deque[str]()
    while places or links:
        place = places.popleft() if places else links.popleft()  # links last, so that a folder's own path comes first
        try:
            identity = _identity(folder / place)
            if identity in seen:
                continue
            seen.add(identity)
            with os.scandir(folder / place) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    name = os.path.join(place, entry.name)
                    if entry.name.startswith("."):
                        continue
                    if _is_folder(entry):
                        (links if entry.is_symlink() else places).append(name)
                    else:
                        yield name
        except OSError as error:
            report(place, error)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder. A link to itself is none, and its file cannot be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino


def _may_contain(place: str, wanted: Sequence[str]) -> bool:
    """Return whether files below a folder may match a pattern.

    >>> _may_contain("a", ["*", "b.png"]), _may_contain("a", ["*.png"])
    (True, False)
    """
    parts = place.split(os.sep) if place else []
    if OF_SYSTEMS & set(parts):
        return False
    for part, own in zip(parts, wanted, strict=False):
        if own == "**":
            return True
        if not fnmatch(part, own):
            return False
    return len(parts) < len(wanted)


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern.

    >>> _matches(["a", "b", "c.png"], ["**", "*.png"]), _matches(["a"] * 30, ["**"] * 30 + ["b"])
    (True, False)
    """
    ends = {0}  # numbers of parts that the beginning of the pattern can match
    for own in wanted:
        if own == "**":
            ends = set(range(min(ends), len(parts) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(parts) and fnmatch(parts[end], own)}
        if not ends:
            return False
    return len(parts) in ends
