"""Atomic writes of files, and the folder of alkit's cache."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from alkit.errors import StoreError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`. After a crash the file has either its old content or all of the new one.

    Folders that do not exist are created.

    Raises
    ------
    StoreError
        The file cannot be written: permission is missing, or the disk is full.
    """
    try:
        _make(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # mkstemp makes it private, but users may share a cache or a record
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as reason:
        raise StoreError(
            f"cannot write {path} ({reason.strerror})",
            hint="check the permissions of the folder and the free space of the disk",
        ) from reason


def abandoned_files(folder: Path, older: float = 3600.0) -> list[Path]:
    """Return the temporary files in `folder` that killed writers left behind.

    A file belongs to a killed writer if it has not changed for `older` seconds, or if its time is as far in the future,
    because the clock was wrong.
    """
    found = []
    for path in folder.glob(".writing-*"):
        with suppress(FileNotFoundError):  # its writer has just finished
            if abs(time.time() - path.stat().st_mtime) > older:
                found.append(path)
    return found


def make_folder(folder: Path) -> Path:
    """Create `folder` unless it exists, and return it.

    Raises
    ------
    StoreError
        The folder cannot be created.
    """
    try:
        _make(folder)
    except OSError as reason:
        raise StoreError(
            f"cannot create the folder {folder} ({reason.strerror})",
            hint="another folder, because a file has this name or that of a folder above it"
            if isinstance(reason, FileExistsError | NotADirectoryError)
            else "check the permissions of the folder above it",
        ) from reason
    return folder


def _make(folder: Path) -> None:
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in new:
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power failure. Windows cannot open folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def cache_folder(given: str | Path | None = None) -> Path:
    """Return the folder of cached files, such as decoded images and pretext weights. Deleting it costs only time.

    It is `given`, or the first of ``$ALKIT_CACHE``, ``$XDG_CACHE_HOME/alkit`` and ``~/.cache/alkit`` that is set.
    """
    if given is not None:
        return Path(given)
    if own := os.environ.get("ALKIT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alkit"
