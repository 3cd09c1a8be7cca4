"""Files of a record: labels, models and clusters, each named by its SHA-256."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from alkit.errors import StoreError
from alkit.record.places import AT_ONCE, LocalPlace, Place, not_permitted

NAME = re.compile(r"[0-9a-f]{64}[.\w-]*", re.ASCII)
"""Names of the files: a SHA-256 and a suffix."""

LABELS = (".png", ".json", ".txt")
"""Suffixes of labels: masks, several classes, and one class."""


@dataclass(frozen=True)
class Files:
    """The files of a record, in a place."""

    place: Place

    def write(self, content: bytes, suffix: str) -> str:
        """Store `content` and return the name of its file: its SHA-256 with `suffix`. Equal contents share a file."""
        name = hashlib.sha256(content).hexdigest() + suffix
        self.place.put(name, content)
        return name

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        StoreError
            The file is missing, or its content has changed.
        """
        shown = self.place.shown(name)
        try:
            content = self._content(name)
        except PermissionError as reason:
            raise not_permitted(shown, reason) from reason
        except OSError as reason:
            raise StoreError(
                f"{shown} is missing, and the record refers to it", hint="restore it from a backup"
            ) from reason
        if not _is_whole(name, content):
            raise StoreError(
                f"{shown} is damaged",
                got="content with another SHA-256",
                hint="restore it from a backup",
            )
        return content

    def local(self, name: str) -> Path:
        """Return the path of a file of this computer with the content of a file, which was checked.

        Raises
        ------
        StoreError
            The file is missing, or its content has changed.
        """
        self.read(name)
        return self.place.local(name)

    def damage(self, name: str) -> str | None:
        """Return a sentence about a file that is damaged or missing; None if it is whole."""
        try:
            content = self._content(name, cached=False)
        except OSError as reason:
            return f"{self.place.shown(name)} cannot be read: {reason.strerror or reason}"
        return None if _is_whole(name, content) else f"{self.place.shown(name)} has another content than alkit wrote"

    def all_damage(self, names: Iterable[str]) -> list[str | None]:
        """Return for each of these files what :meth:`damage` returns; several are read at once."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(self.damage, names))

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name, whatever its content is."""
        return bool(NAME.fullmatch(name)) and self.place.exists(name)

    def names(self, ending: str = "") -> list[str]:
        """Return the sorted names of the files that have an ending."""
        return [name for name in self.place.names(ending) if NAME.fullmatch(name)]

    def check_owned(self) -> None:
        """Check that this record may write and delete its files.

        Raises
        ------
        StoreError
            They are elsewhere, and belong to another copy of the record.
        """
        self.place.delete(())

    def delete(self, names: Collection[str]) -> None:
        """Delete files, and what killed processes left; failures are only logged."""
        self.place.delete(names)

    def fetch(self, names: Collection[str]) -> None:
        """Prepare to read many files: copies of those in a distant place are made, several at once."""
        self.place.fetch([name for name in names if NAME.fullmatch(name)])

    def _content(self, name: str, *, cached: bool = True) -> bytes:
        if not NAME.fullmatch(name):
            raise OSError(errno.EINVAL, "it is not the name of a file of a record", name)
        return self.place.get(name, cached=cached)


def files_in(folder: Path) -> Files:
    """Return the files in a folder."""
    return Files(LocalPlace(folder))


def _is_whole(name: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == name.partition(".")[0]
