"""Files that are whole or absent, and the folder of what can be made again."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alkit.errors import AlkitError, StoreError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a crash at any moment leaves the old file or the new one, never a part.

    Raises
    ------
    StoreError
        The folder cannot be written, or there is no room.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # mkstemp lets nobody else read: a cache or a record may be shared
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as reason:
        raise StoreError(
            f"cannot write {path} ({reason.strerror})",
            hint="check that the folder exists, is writable and has room",
        ) from reason


def abandoned_files(folder: Path, older: float = 3600.0) -> list[Path]:
    """Return what :func:`write_atomically` left half-written where it was killed: untouched for `older` seconds."""
    found = []
    for path in folder.glob(".writing-*"):
        with suppress(FileNotFoundError):  # whoever wrote it has just finished
            if time.time() - path.stat().st_mtime > older:
                found.append(path)
    return found


def make_folder(folder: Path) -> Path:
    """Make `folder` where it is missing, and return it; a :class:`StoreError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise StoreError(f"cannot make the folder {folder} ({reason.strerror})") from reason
    return folder


@contextmanager
def refuse_damage(refusal: Callable[[Exception], AlkitError]) -> Iterator[None]:
    """Raise the error that `refusal` returns in place of whatever a library raises at a damaged image file.

    Pillow raises OSError, SyntaxError, struct.error and others. alkit's own errors and MemoryError pass unchanged.
    """
    try:
        yield
    except (AlkitError, MemoryError):
        raise
    except Exception as error:
        raise refusal(error) from error


def _sync_folder(folder: Path) -> None:
    # A rename is durable only once its folder is; where folders cannot be opened (Windows) there is nothing to do.
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def cache_folder(given: str | Path | None = None) -> Path:
    """Return the folder for what can be made again: decoded images and pretext weights.

    `given`, or else ``$ALKIT_CACHE``, ``$XDG_CACHE_HOME/alkit``, ``~/.cache/alkit``. Deleting it loses time only.
    """
    if given is not None:
        return Path(given)
    if own := os.environ.get("ALKIT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alkit"
