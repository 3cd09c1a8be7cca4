"""Records whose files are elsewhere: in an object store, on a server, or in a shared folder.

The record keeps that they are elsewhere, and an id. It never keeps the address. That comes from the user: from an
argument, or from the environment. So a record of a stranger never makes alkit connect to anything. The files lie in a
folder of the address that has the id as its name. So one address can serve many records. A mark in this folder tells
whether an address is the right one, and whether a shared folder is there.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from alkit._files import without_tilde
from alkit.errors import ConfigurationError, StoreError, UnknownNameError, nearest
from alkit.record.address import VARIABLE
from alkit.record.connections import AZURE, GCS, OBJECT_STORES, S3
from alkit.record.files import Files
from alkit.record.owner import check_owner, claim
from alkit.record.places import LocalPlace, Place
from alkit.record.remote import RemotePlace

ELSEWHERE = "elsewhere"
"""Name of the fact that has the id of a record whose files are elsewhere."""

MARK = "record.json"
"""Name of the mark in the folder of a record's files."""

KEYS = {
    **dict.fromkeys(S3, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or ~/.aws"),
    **dict.fromkeys(GCS, "GOOGLE_APPLICATION_CREDENTIALS in the environment"),
    **dict.fromkeys(AZURE, "AZURE_STORAGE_CONNECTION_STRING in the environment"),
    **dict.fromkeys(("sftp", "ssh"), "a key that ssh-agent holds, or ~/.ssh"),
}
"""What has the credentials of a protocol."""

UNSUITABLE = frozenset({"http", "https", "data", "zip", "tar", "reference", "github", "generic", "jupyter", "dask"})
"""Protocols of fsspec in which nothing can be kept."""

_MEANT = re.compile(r"[A-Za-z][\w+.-]+:(?!.*[\\])")
"""What begins as an address does, but is none. One letter is a drive of Windows."""

_PASSWORD = re.compile(r"(?!\[)[^:/?#]*:(?!\d+/).*@", re.S)
"""A user and a password before a host. The password may have characters that end a host in a URL."""

_marked: set[str] = set()  # the folders of records that this process has seen with their mark
_owned: set[tuple[str, Path | str]] = set()  # these folders, and the records whose they are


@dataclass(frozen=True)
class _Elsewhere:
    """The place of a record's files, in which nothing is written or missed before its mark was seen.

    Nothing is written or deleted by a copy of the record whose place it is.
    """

    place: Place
    home: Place
    address: str
    record: Path | str | None

    def put(self, name: str, content: bytes) -> None:
        self._check_owner()
        self.place.put(name, content)

    def get(self, name: str, *, cached: bool = True) -> bytes:
        try:
            return self.place.get(name, cached=cached)
        except FileNotFoundError:
            self._check()
            raise

    def fetch(self, names: Collection[str]) -> None:
        self.place.fetch(names)

    def exists(self, name: str) -> bool:
        if self.place.exists(name):
            return True
        self._check()
        return False

    def names(self, ending: str = "", start: str = "") -> list[str]:
        self._check()
        return self.place.names(ending, start)

    def folders(self) -> list[str]:
        self._check()
        return self.place.folders()

    def delete(self, names: Iterable[str]) -> None:
        self._check_owner()
        self.place.delete(names)

    def local(self, name: str) -> Path:
        return self.place.local(name)

    def shown(self, name: str = "") -> str:
        return self.place.shown(name)

    def inside(self, folder: str) -> _Elsewhere:
        return _Elsewhere(self.place.inside(folder), self.home, self.address, self.record)

    def _check(self) -> None:
        """Raise a :class:`StoreError` if the mark is not there."""
        key = self.home.shown()
        if key not in _marked:
            if not self.home.exists(MARK):
                raise StoreError(
                    f"{self.address} does not have the files of this record",
                    expected=f"the folder {key.rpartition('/')[2]} that alkit has made there",
                    hint=f"files='s3://bucket/prefix', or {VARIABLE} in the environment, with the address that the "
                    "record was made with; or mount the shared folder",
                )
            _marked.add(key)

    def _check_owner(self) -> None:
        self._check()
        if self.record is not None and (key := (self.home.shown(), self.record)) not in _owned:
            check_owner(self.home, self.record)
            _owned.add(key)


def files_elsewhere(address: str, id: str, record: Path | str | None = None) -> Files:
    """Return the files of a record that has them elsewhere.

    Parameters
    ----------
    address:
        The address that the user gave.
    id:
        The id in the record.
    record:
        The record's file, or its name on a server: a copy of it neither writes nor deletes. None if nothing is written.

    Raises
    ------
    ConfigurationError
        The address has credentials, or cannot keep files.
    """
    return Files(place_elsewhere(address, id, record))


def place_elsewhere(address: str, id: str, record: Path | str | None = None) -> Place:
    """Return the place of everything that a record keeps elsewhere; as :func:`files_elsewhere`."""
    home = place_at(address).inside(id)
    return _Elsewhere(home, home, address, record)


def ids_at(address: str) -> list[str]:
    """Return the ids of the records that have their files at an address, as far as it can be read."""
    place = place_at(address)
    return [id for id in place.folders() if place.inside(id).exists(MARK)]


def begin_elsewhere(address: str, record: Path | str | None = None) -> str:
    """Make the folder of a new record's files at an address, and return its id; `record` as :func:`files_elsewhere`.

    Raises
    ------
    ConfigurationError
        The address has credentials, or cannot keep files.
    StoreError
        It cannot be reached or written.
    """
    id = secrets.token_hex(8)
    home = place_at(address).inside(id)
    home.put(MARK, json.dumps({"files of a record of alkit": id}).encode())
    if record is not None:
        claim(home, record)
    return id


def given_address(files: str | os.PathLike[str] | None) -> str | None:
    """Return the address that the user gave, by an argument or else by the environment; None if there is none."""
    return os.environ.get(VARIABLE) or None if files is None else os.fspath(files)


def _has_password(address: str) -> bool:
    """Whether an address has a password, also one that a URL could not have, such as a secret key with a slash.

    >>> [_has_password(f"sftp://{rest}") for rest in ("me:p/w@host/x", "me:p#w@host", "me@host/x", "host:22/a@b")]
    [True, True, False, False]
    """
    return _PASSWORD.match(address.partition("://")[2]) is not None


def place_at(address: str) -> Place:
    """Return the place that an address names: a folder, or what fsspec reaches.

    Raises
    ------
    ConfigurationError
        The address has credentials, or cannot keep files.
    """
    if "://" not in address:
        if not address or _MEANT.match(address):
            raise ConfigurationError(
                "files must be a folder or an address", got=repr(address), hint="s3://bucket/prefix"
            )
        return LocalPlace(without_tilde(address).absolute())
    protocol = address.partition("://")[0].lower()
    if "::" in address:
        raise ConfigurationError("files must be one address", got="a chain of addresses with ::")
    if _has_password(address):
        raise ConfigurationError(
            "files must be an address without credentials",
            got=f"{protocol}://***@{address.rpartition('@')[2].partition('?')[0]}",
            hint=KEYS.get(protocol, "the environment"),
        )
    parts = urlsplit(address)
    shown = f"{protocol}://***@{parts.netloc.rpartition('@')[2]}{parts.path}"
    container = protocol in AZURE and parts.password is None
    user = protocol not in OBJECT_STORES and parts.password is None
    if "@" in parts.netloc and not container and not user:
        raise ConfigurationError(
            "files must be an address without credentials", got=shown, hint=KEYS.get(protocol, "the environment")
        )
    if protocol in OBJECT_STORES and not parts.netloc:
        raise ConfigurationError("files must name a bucket", got=address, hint=f"{protocol}://bucket/prefix")
    if parts.query:
        raise ConfigurationError(
            "files must be an address without ?", got=f"{address.partition('?')[0]}?***", hint=KEYS.get(protocol)
        )
    if protocol in ("file", "local"):
        return LocalPlace(Path(parts.path))
    if protocol in UNSUITABLE:
        raise ConfigurationError(f"files cannot be kept at {protocol}://", hint="s3://bucket/prefix")
    from fsspec import available_protocols

    if protocol not in (known := available_protocols()):
        raise UnknownNameError(
            f"files has a protocol that fsspec does not know: {protocol}", hint=nearest(protocol, known)
        )
    return RemotePlace(address.rstrip("/"))
