"""Files of a record: labels, models and clusters, each named by its SHA-256."""

from __future__ import annotations

import errno
import hashlib
import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alkit._files import abandoned_files, write_atomically
from alkit._reading.inside import read_inside
from alkit.errors import StoreError

log = logging.getLogger(__name__)

NAME = re.compile(r"[0-9a-f]{64}[.\w-]*", re.ASCII)
"""Names of the files: a SHA-256 and a suffix."""

LONGEST = 2**40
"""Greatest number of bytes of a file."""


@dataclass(frozen=True)
class Files:
    """The folder of a record's files."""

    folder: Path

    def write(self, content: bytes, suffix: str) -> str:
        """Store `content` and return the name of its file: its SHA-256 with `suffix`. Equal contents share a file."""
        name = hashlib.sha256(content).hexdigest() + suffix
        with suppress(OSError):
            if read_content(self.folder, name) == content:
                return name
        write_atomically(self.folder / name, content)  # which replaces a damaged file
        return name

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        StoreError
            The file is missing, or its content has changed.
        """
        try:
            content = read_content(self.folder, name)
        except PermissionError as reason:
            raise StoreError(
                f"cannot read {self.folder / name} ({reason.strerror})", hint="check the permissions of its folder"
            ) from reason
        except OSError as reason:
            raise StoreError(
                f"{self.folder / name} is missing, and the record refers to it", hint="restore it from a backup"
            ) from reason
        if hashlib.sha256(content).hexdigest() != name.partition(".")[0]:
            raise StoreError(
                f"{self.folder / name} is damaged",
                got="content with another SHA-256",
                hint="restore it from a backup",
            )
        return content


def read_content(folder: Path, name: str) -> bytes:
    """Return the content of a file of a record; an :class:`OSError` if it cannot be read, or has another name."""
    if not NAME.fullmatch(name):
        raise OSError(errno.EINVAL, "it is not the name of a file of a record", name)
    return read_inside(folder / name, folder, LONGEST)


def remove(folder: Path, old: Iterable[Path]) -> None:
    """Delete old files, and the unfinished files of killed processes."""
    for file in [*old, *abandoned_files(folder)]:
        try:
            file.unlink(missing_ok=True)
        except OSError as reason:  # whatever replaced them is written
            log.warning("cannot delete %s, which is not needed any more (%s)", file, reason.strerror)
