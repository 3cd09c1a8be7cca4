"""Places that fsspec reaches: S3, Google Cloud Storage, Azure, SFTP and others.

An object store shows an object when its upload is complete. Elsewhere a file is written under another name first, and
gets its own name after that. Both are followed by a look at the size. What is read is checked by the digest in its
name, and kept as a copy in the user's cache, which is checked as well whenever it is read.

Errors that another attempt may avoid are tried again, a few times; the log names them. Messages have no credentials.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from alkit._files import UNFINISHED, write_atomically
from alkit._logs import logger
from alkit.errors import AlkitError, StoreError
from alkit.record.connections import AZURE, OBJECT_STORES, forget, plain, protocol_of, scrubbed, system_at
from alkit.record.copies import DIGEST, copy_of, delete_copy, is_whole, keep_copy, path_of_copy
from alkit.record.places import AT_ONCE, LONGEST, NAME, UnreachableError, check_name

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

log = logger(__name__)

T = TypeVar("T")

PAUSES = (0.2, 1.0, 3.0)
"""Seconds before each further attempt."""

LONG = 120.0
"""Seconds after which no further attempt begins."""

ABANDONED = 86400.0
"""Seconds after which an unfinished file on a server counts as abandoned; the clocks of two computers may differ."""


class _DamagedError(Exception):
    """A content that was read has another digest than its name."""

    def __init__(self, content: bytes) -> None:
        super().__init__(f"{len(content)} bytes with another SHA-256")
        self.content = content


@dataclass(frozen=True)
class RemotePlace:
    """A folder that fsspec reaches.

    Parameters
    ----------
    root:
        Its address, without credentials.
    """

    root: str

    def put(self, name: str, content: bytes) -> None:
        """Upload a content."""
        check_name(name)
        try:
            self._try("write", name, partial(self._upload, content))
        except OSError as reason:
            lost = isinstance(reason, FileNotFoundError) and protocol_of(self.root) in OBJECT_STORES
            bucket = "container" if protocol_of(self.root) in AZURE else "bucket"
            why = f"the {bucket} does not exist" if lost else scrubbed(reason)
            raise StoreError(
                f"cannot write {self.shown(name)} ({why})",
                hint="check the address, and what the credentials in the environment permit",
            ) from None
        keep_copy(name, content)

    def get(self, name: str, *, cached: bool = True) -> bytes:
        """Return a content: the copy in the cache, or what is downloaded."""
        check_name(name)
        if cached and (known := copy_of(name)) is not None:
            return known
        try:
            content = self._try("read", name, partial(_download, name))
        except _DamagedError as reason:
            return reason.content
        except PermissionError as reason:  # S3 says so of a missing content, too, to those who may not list
            raise self._unreachable("read", name, reason) from None
        keep_copy(name, content)
        return content

    def fetch(self, names: Collection[str]) -> None:
        """Download contents that are not in the cache, several at once. Those that are missing are left out."""

        def fetch(name: str) -> None:
            with suppress(OSError):
                self.get(name)

        missing = sorted(name for name in set(names) if NAME.fullmatch(name) and not path_of_copy(name).exists())
        if missing:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                list(threads.map(fetch, missing))

    def exists(self, name: str) -> bool:
        """Whether there is a content of this name."""
        if not NAME.fullmatch(name):
            return False
        try:
            self._try("read", name, _size)
        except FileNotFoundError:
            return False
        except OSError as reason:
            raise self._unreachable("read", name, reason) from None
        return True

    def names(self, ending: str = "", start: str = "") -> list[str]:
        """Return the sorted names that have an ending and a start; either of them saves requests.

        Names that begin with a SHA-256 are found by their ending, or without either.
        """
        try:
            own = [] if ending else self._try("list", "", partial(self._list, start))
            kinds = [ending[1:]] if ending else [] if start else [name for name, is_folder in own if is_folder]
            for kind in kinds:
                inner = self.inside(kind)._try("list", "", partial(self._list, start))
                own += [(name, is_folder) for name, is_folder in inner if _kind(name) == kind]
        except OSError as reason:
            raise self._unreachable("list", "", reason) from None
        names = {name for name, is_folder in own if not is_folder and NAME.fullmatch(name)}
        return sorted(name for name in names if name.startswith(start) and name.endswith(ending))

    def folders(self) -> list[str]:
        """Return the sorted names of the folders in this one."""
        try:
            found = self._try("list", "", partial(self._list, ""))
        except OSError as reason:
            raise self._unreachable("list", "", reason) from None
        return sorted(name for name, is_folder in found if is_folder and NAME.fullmatch(name))

    def _list(self, start: str, system: AbstractFileSystem, path: str) -> list[tuple[str, bool]]:
        """Return the names in a folder, and whether each is a folder."""
        try:
            if start and protocol_of(self.root) in OBJECT_STORES:
                paths = [name for name in system.find(path, prefix=start) if name.rpartition("/")[0] == path]
                found = [{"name": name, "type": "file"} for name in paths]
            else:
                found = system.ls(path, detail=True)
        except FileNotFoundError:
            return []
        return [(one["name"].rstrip("/").rpartition("/")[2], one["type"] == "directory") for one in found]

    def delete(self, names: Iterable[str]) -> None:
        """Delete contents, and their copies in the cache of this user."""
        folders = set[str]()
        for name in names:
            if not NAME.fullmatch(name):
                continue
            folders.add(_kind(name))
            delete_copy(name)
            try:
                self._try("delete", name, lambda system, path: system.rm_file(path))
            except FileNotFoundError:
                pass
            except (OSError, UnreachableError) as reason:
                log.warning("cannot delete %s, which is not needed any more (%s)", self.shown(name), scrubbed(reason))
        if protocol_of(self.root) not in OBJECT_STORES:
            for folder in folders:
                with suppress(OSError, UnreachableError):
                    self.inside(folder)._try("clean", "", _delete_unfinished)

    def local(self, name: str) -> Path:
        """Return the path of the copy in the cache."""
        content = self.get(name)
        path = path_of_copy(name)
        if not path.exists():
            write_atomically(path, content)
        return path

    def shown(self, name: str = "") -> str:
        """Return the address."""
        return self._path(name) if name else self.root

    def inside(self, folder: str) -> RemotePlace:
        """Return a folder of this one."""
        return RemotePlace(f"{self.root}/{folder}")

    def _path(self, name: str) -> str:
        """Return the address of a content. Each kind has a folder, so that few names are listed."""
        return f"{self.root}/{_kind(name)}/{name}" if _kind(name) else f"{self.root}/{name}"

    def _upload(self, content: bytes, system: AbstractFileSystem, path: str) -> None:
        if protocol_of(self.root) in OBJECT_STORES:
            system.pipe_file(path, content)
        else:
            folder = path.rpartition("/")[0]
            system.makedirs(folder, exist_ok=True)
            unfinished = f"{folder}/{UNFINISHED}{secrets.token_hex(8)}"
            try:
                system.pipe_file(unfinished, content)
                system.mv(unfinished, path)
            except BaseException:
                with suppress(Exception):
                    system.rm_file(unfinished)
                raise
        try:
            size = _size(system, path)
        except FileNotFoundError:
            raise ConnectionError("it is not there after its upload") from None
        if size != len(content):
            raise ConnectionError(f"{size} of {len(content)} bytes have arrived")

    def _try(self, verb: str, name: str, work: Callable[[Any, str], T]) -> T:
        """Return the result of some work with the file system, which is tried again if it fails for the moment.

        Parameters
        ----------
        verb, name:
            What is done, and the name of the content; empty for the folder. For messages.
        work:
            Called with the file system and the path of the content in it.

        Raises
        ------
        OSError
            The content is missing, or permission is.
        _DamagedError
            Every attempt has read a damaged content.
        UnreachableError
            Every attempt failed.
        """
        begin, reason = time.monotonic(), Exception()
        for attempt, pause in enumerate((*PAUSES, None), 1):
            try:
                system = system_at(self.root)
                system.invalidate_cache()
                return work(system, system._strip_protocol(self.shown(name)))
            except (NotADirectoryError, AlkitError):
                raise
            except Exception as failure:  # each implementation has errors of its own
                reason = plain(failure)
            if isinstance(reason, FileNotFoundError | PermissionError):
                raise reason from None
            if pause is None or time.monotonic() - begin > LONG:
                break
            log.warning("cannot %s %s (%s): attempt %d", verb, self.shown(name), scrubbed(reason), attempt)
            time.sleep(pause)
            forget(self.root)  # a connection that was lost, as SFTP's, does not come back
        if isinstance(reason, _DamagedError):
            raise reason
        tried = f"; {attempt} attempts in {time.monotonic() - begin:.0f} s"
        raise self._unreachable(verb, name, reason, tried) from None

    def _unreachable(self, verb: str, name: str, reason: Exception, tried: str = "") -> UnreachableError:
        return UnreachableError(
            f"cannot {verb} {self.shown(name)} ({scrubbed(reason)}{tried})",
            hint="the same again when it can be reached: nothing committed is lost; check the address, and the "
            "credentials in the environment",
        )


def _kind(name: str) -> str:
    """Return the folder of a content: its suffix, if its name is a SHA-256 with one."""
    return name.partition(".")[2] if DIGEST.match(name) else ""


def _size(system: AbstractFileSystem, path: str) -> int:
    found = system.info(path)
    if found.get("type") == "directory":
        raise FileNotFoundError(path)
    return int(found["size"])


def _download(name: str, system: AbstractFileSystem, path: str) -> bytes:
    content = system.cat_file(path)
    if not isinstance(content, bytes) or len(content) > LONGEST:
        raise ConnectionError("it did not return bytes")
    if not is_whole(name, content):
        raise _DamagedError(content)
    return content


def _delete_unfinished(system: AbstractFileSystem, folder: str) -> None:
    for path in system.ls(folder, detail=False):
        if path.rpartition("/")[2].startswith(UNFINISHED):
            with suppress(FileNotFoundError, NotImplementedError):
                if time.time() - system.modified(path).timestamp() > ABANDONED:
                    system.rm_file(path)
