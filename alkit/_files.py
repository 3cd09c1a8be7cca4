"""Atomic writes of files, temporary files that do not outlive their process, and the folder of alkit's cache.

All temporary files of alkit are made here. Their names contain the computer and the process, so that another process
can delete those of a process that was killed:

- ``.writing-*`` in the folder of the file that is written: every file that alkit writes, and backups of a record;
- ``alkit-*`` in the folder for temporary files of the system: records without a path, and copies that a repair reads.

The image cache, the checkpoint of a pretext and the write-ahead log of a record are not temporary: the next process
continues with them.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import secrets
import shutil
import socket
import stat
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from alkit.errors import ConfigurationError, StoreError

OLD, OLD_FOLDER = 3600.0, 14 * 24 * 3600.0
"""Seconds after which a temporary file or folder of an unknown process counts as abandoned if it has not changed.

A file is being written; a folder may be of somebody who goes on tomorrow.
"""

ROOM = 2**20
"""Number of bytes that a folder must have room for: SQLite needs a part of it to read a database."""

CHECK = "check the permissions of the folder and the space of the disk, and close programs that have the file open"
"""What to do if a file cannot be written or deleted."""

UNFINISHED = ".writing-"
"""Beginning of the names of files that are being written."""

_own: set[str] = set()  # names of the temporary files of this process
_swept: set[Path] = set()  # folders from which this process has deleted abandoned files


@contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """Yield the path of a new file in `folder`, and delete it at the end if it still has that name."""
    name = f"{UNFINISHED}{_process()}-{secrets.token_hex(4)}"
    _own.add(name)
    try:
        yield folder / name
    finally:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
        _own.discard(name)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`. After a crash the file has either its old content or all of the new one.

    Folders that do not exist are created. The first write into a folder also deletes what killed processes left there.

    Raises
    ------
    StoreError
        The file cannot be written: permission is missing, or the disk is full.
    """
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file to write into, which replaces `path` at the end if no error is raised; see `write_atomically`.

    Raises
    ------
    StoreError
        The file cannot be written: permission is missing, or the disk is full.
    """
    try:
        _make(path.parent)
        if path.parent not in _swept:
            _swept.add(path.parent)
            delete_abandoned(path.parent)
        with temporary_file(path.parent) as temporary:
            # Not private, because users may share a cache or a record.
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o644), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
        sync_folder(path.parent)
    except (OSError, UnicodeEncodeError) as reason:
        what = reason.strerror if isinstance(reason, OSError) else "it cannot be encoded as a file name"
        raise StoreError(f"cannot write {path} ({what})", hint=CHECK) from reason


BINARY = getattr(os, "O_BINARY", 0)
"""Flag of Windows that keeps line ends as they are."""


def check_room(folder: Path, what: object) -> None:
    """Check that a folder has a little space, after something in it could not be read that needs some, as SQLite does.

    Raises
    ------
    StoreError
        It has none. The message begins with `what`.
    """
    try:
        with temporary_file(folder) as path, path.open("xb") as file:
            file.write(bytes(ROOM))
            file.flush()
            os.fsync(file.fileno())
    except OSError as reason:
        if reason.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"{what} cannot be read, because {folder} has no space ({reason.strerror})",
                hint="free some; for temporary files, set the environment variable TMPDIR to another folder",
            ) from reason


def delete_file(path: Path) -> None:
    """Delete a file, if there is one.

    Raises
    ------
    StoreError
        It cannot be deleted: permission is missing, or on Windows a program has it open.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as reason:
        raise StoreError(f"cannot delete {path} ({reason.strerror})", hint=CHECK) from reason


def delete_abandoned(folder: Path) -> None:
    """Delete the temporary files in `folder` that killed processes left behind, as far as that is possible."""
    with suppress(OSError):
        for path in abandoned_files(folder):
            path.unlink(missing_ok=True)


def abandoned_files(folder: Path) -> list[Path]:
    """Return the temporary files in `folder` that killed processes left behind.

    These are the files of processes of this computer that have ended, and of unknown processes if they are old.
    """
    before = time.time() - OLD
    found = folder.glob(f"{UNFINISHED}*")
    return [path for path in found if _is_abandoned(path, before, while_it_lives=True)]


def make_temporary_folder() -> Path:
    """Make a private folder in the system's folder for temporary files. Those of killed processes are deleted.

    Raises
    ------
    StoreError
        The folder cannot be created.
    """
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as reason:  # Python has tried to write to some folders
        raise StoreError(
            f"no folder for temporary files can be written ({reason.strerror})",
            hint="set the environment variable TMPDIR to a folder with free space",
        ) from reason
    try:
        folder = place / f"alkit-{_process()}-{secrets.token_hex(8)}"
        _own.add(folder.name.removeprefix("alkit-"))  # before another thread looks for abandoned ones
        folder.mkdir(mode=0o700)
    except OSError as reason:
        raise StoreError(
            f"cannot create a temporary folder in {place} ({reason.strerror})",
            hint="set the environment variable TMPDIR to a folder with free space",
        ) from reason
    with suppress(OSError):
        before = folder.stat().st_mtime - OLD_FOLDER  # by the clock that stamps the other folders too
        for path in place.glob("alkit-*-*-*"):
            if _is_my_folder(path) and _is_abandoned(path, before, while_it_lives=False):
                shutil.rmtree(path, ignore_errors=True)
    return folder


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that is deleted at the end, see :func:`make_temporary_folder`."""
    folder = make_temporary_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def delete_with(owner: object, folder: Path) -> None:
    """Delete a temporary folder at the end of an object, unless that is in a fork of this process, which needs it."""
    weakref.finalize(owner, _delete, folder, os.getpid())


def _delete(folder: Path, process: int) -> None:
    if process == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)


def _is_my_folder(path: Path) -> bool:
    with suppress(OSError):
        facts = path.lstat()
        return stat.S_ISDIR(facts.st_mode) and (not hasattr(os, "getuid") or facts.st_uid == os.getuid())
    return False


def _is_abandoned(path: Path, before: float, *, while_it_lives: bool) -> bool:
    """Whether the process has ended that a temporary file or folder belongs to by its name.

    Of a process of this computer this is known. Others are taken for ended if nothing changed since the time `before`;
    with `while_it_lives` those of this computer are, too: a later process may have the same number.
    """
    name = path.name.removeprefix(UNFINISHED).removeprefix("alkit-")
    if name in _own or path.name in _own:
        return False
    computer, _, rest = name.partition("-")
    process = rest.partition("-")[0]
    if computer == _computer() and process.isascii() and process.isdigit() and os.name == "posix":
        ended = _has_ended(int(process))
        if ended or not while_it_lives:
            return ended
    try:
        return path.stat().st_mtime < before
    except OSError:  # its process has just finished it
        return False


def _has_ended(process: int) -> bool:
    """Whether a process of this computer has ended; the present process counts, because its own files are known."""
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _process() -> str:
    return f"{_computer()}-{os.getpid()}"


@functools.cache
def _computer() -> str:
    """Return a word that computers and containers do not share, because they number their processes independently."""
    facts = [socket.gethostname()]
    with suppress(OSError):
        facts.append(Path("/etc/machine-id").read_text("ascii", "replace"))
    with suppress(OSError):
        facts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:10]


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


def check_reachable(path: Path) -> None:
    """Raise a :class:`StoreError` if the system does not even tell whether a file exists."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, UnicodeEncodeError) as reason:
        what = reason.strerror if isinstance(reason, OSError) else "it cannot be encoded as a file name"
        raise StoreError(
            f"cannot reach {path} ({what})", hint="check the path, and the permissions on the way"
        ) from reason


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder, or lies in it."""
    return path.resolve().is_relative_to(folder.resolve())


def check_outside(name: str, path: Path, images: Path) -> None:
    """Check that a folder to write to is not in a folder of images, because its files would be taken for images.

    Parameters
    ----------
    name:
        The parameter's name, for the message.

    Raises
    ------
    ConfigurationError
        `path` is `images` or inside it.
    """
    if is_inside(path, images):
        where = "" if path.resolve() == images.resolve() else f", which is in {images}"
        raise ConfigurationError(
            f"{name} must be outside the folder of images", got=f"{path}{where}", hint="another folder"
        )


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
    return (_xdg_folder("XDG_CACHE_HOME") or home_folder("ALKIT_CACHE") / ".cache") / "alkit"


def state_folder() -> Path:
    """Return ``$ALKIT_STATE``, ``$XDG_STATE_HOME/alkit`` or ``~/.local/state/alkit``, the first that is set.

    It holds what a person named on this machine. Deleting it costs that these things must be named again.
    """
    if own := os.environ.get("ALKIT_STATE"):
        return Path(own)
    return (_xdg_folder("XDG_STATE_HOME") or home_folder("ALKIT_STATE") / ".local" / "state") / "alkit"


def _xdg_folder(variable: str) -> Path | None:
    """Return the folder that a variable of the XDG specification names; it says to ignore a relative path."""
    folder = Path(os.environ.get(variable) or "")
    return folder if folder.is_absolute() else None


def without_tilde(path: str | os.PathLike[str]) -> Path:
    """Return a path with the user's home folder in place of ``~``; unchanged if there is no such user.

    >>> without_tilde("a/~").name
    '~'
    """
    return Path(os.path.expanduser(path))


def home_folder(variable: str) -> Path:
    """Return the user's home folder; a :class:`StoreError` that names an environment variable if there is none.

    A relative path is none: in the present folder, files of a stranger would count as the user's.
    """
    try:
        home = Path.home()
    except RuntimeError:  # HOME is not set, and the system does not know the user, as in some containers
        home = Path()
    if not home.is_absolute():
        raise StoreError(
            "the user has no home folder", hint=f"set the environment variable {variable} to a folder with free space"
        )
    return home
