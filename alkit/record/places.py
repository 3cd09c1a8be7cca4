"""Where the files of a record are kept: a folder beside its database, or another place.

A place keeps contents by name. :class:`Place` has everything that alkit asks of one. A name belongs to one content,
because it contains a digest. So an upload that is repeated or arrives late changes nothing.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alkit._files import abandoned_files, write_atomically
from alkit._reading.inside import read_inside

log = logging.getLogger(__name__)

NAME = re.compile(r"[0-9a-f][.\w-]*", re.ASCII)
"""Names in a place: no folders, and neither hidden files nor temporary ones."""

LONGEST = 2**40
"""Greatest number of bytes of a file."""


class Place(Protocol):
    """Keeps contents by name."""

    def put(self, name: str, content: bytes) -> None:
        """Keep a content. It is durable on return, and nobody ever reads a part of it. Doing so again is allowed.

        Raises
        ------
        StoreError
            It cannot be written.
        """

    def get(self, name: str) -> bytes:
        """Return a content.

        Raises
        ------
        OSError
            It cannot be read, or has another name than alkit gives.
        """

    def exists(self, name: str) -> bool:
        """Whether there is a content of this name."""

    def names(self, ending: str = "") -> list[str]:
        """Return the sorted names that have an ending."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete contents that are not needed any more, and what killed processes left; failures are only logged."""

    def local(self, name: str) -> Path:
        """Return the path of a file of this computer with the content, which must not be changed.

        Raises
        ------
        OSError
            It cannot be read.
        """

    def shown(self, name: str) -> str:
        """Return where a content is, for messages."""


@dataclass(frozen=True)
class LocalPlace:
    """A folder of this computer, or of one that it has mounted."""

    folder: Path

    def put(self, name: str, content: bytes) -> None:
        """Write a file, synchronise it, and give it its name after that."""
        write_atomically(self.folder / name, content)

    def get(self, name: str) -> bytes:
        """Return the content of a file in the folder."""
        _check_name(name)
        return read_inside(self.folder / name, self.folder, LONGEST)

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return NAME.fullmatch(name) is not None and (self.folder / name).is_file()

    def names(self, ending: str = "") -> list[str]:
        """Return the sorted names of the files that have an ending."""
        return sorted(path.name for path in self.folder.glob(f"*{ending}") if NAME.fullmatch(path.name))

    def delete(self, names: Iterable[str]) -> None:
        """Delete files."""
        remove(self.folder, [self.folder / name for name in names if NAME.fullmatch(name)])

    def local(self, name: str) -> Path:
        """Return the path of a file."""
        _check_name(name)
        return self.folder / name

    def shown(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.folder / name)


def remove(folder: Path, old: Iterable[Path]) -> None:
    """Delete old files, and the unfinished files of killed processes."""
    for file in [*old, *abandoned_files(folder)]:
        try:
            file.unlink(missing_ok=True)
        except OSError as reason:  # whatever replaced them is written
            log.warning("cannot delete %s, which is not needed any more (%s)", file, reason.strerror)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise OSError(errno.EINVAL, "it is not the name of a file of a record", name)
