"""Where the files of a record are kept: a folder beside its database, or another place.

A place keeps contents by name. :class:`Place` has everything that alkit asks of one. A name belongs to one content,
because it contains a digest. So an upload that is repeated or arrives late changes nothing.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alkit._files import abandoned_files, write_atomically
from alkit._logs import logger
from alkit._reading.inside import read_inside
from alkit.errors import StoreError
from alkit.record.guard import check_gap

log = logger(__name__)

NAME = re.compile(r"[0-9a-z][.\w-]*", re.ASCII)
"""Names in a place: no folders, and neither hidden files nor temporary ones."""

AT_ONCE = 8
"""Number of contents that are read at the same time."""

LONGEST = 2**40
"""Greatest number of bytes of a file."""


class UnreachableError(StoreError):
    """A place does not answer, or refuses the credentials, so nobody knows whether a content is there."""


def not_permitted(path: object, reason: OSError) -> UnreachableError:
    """Return the error about a file that this user may not read, and that may be intact."""
    return UnreachableError(
        f"cannot read {path} ({reason.strerror or reason})", hint="check its permissions and those of its folder"
    )


class Place(Protocol):
    """Keeps contents by name.

    Every method but :meth:`shown` and :meth:`inside` raises an :class:`UnreachableError` if the place does not answer.
    """

    def put(self, name: str, content: bytes) -> None:
        """Keep a content. It is durable on return, and nobody ever reads a part of it. Doing so again is allowed.

        Raises
        ------
        StoreError
            It cannot be written.
        """

    def get(self, name: str, *, cached: bool = True) -> bytes:
        """Return a content.

        Parameters
        ----------
        cached:
            Whether a checked copy on this computer will do.

        Raises
        ------
        OSError
            It cannot be read, or has another name than alkit gives.
        """

    def fetch(self, names: Collection[str]) -> None:
        """Prepare to return many contents: a distant place copies those that it has to this computer."""

    def exists(self, name: str) -> bool:
        """Whether there is a content of this name."""

    def names(self, ending: str = "", start: str = "") -> list[str]:
        """Return the sorted names that have an ending and a start."""

    def folders(self) -> list[str]:
        """Return the sorted names of the folders in the place."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete contents that are not needed any more, and what killed processes left; failures are only logged."""

    def local(self, name: str) -> Path:
        """Return the path of a file of this computer with the content, which must not be changed.

        Raises
        ------
        OSError
            It cannot be read.
        """

    def shown(self, name: str = "") -> str:
        """Return where the place is, or a content in it, for messages."""

    def inside(self, folder: str) -> Place:
        """Return a place in a folder of this one, with names of its own."""


@dataclass(frozen=True)
class LocalPlace:
    """A folder of this computer, or of one that it has mounted."""

    folder: Path

    def put(self, name: str, content: bytes) -> None:
        """Write a file unless it is there, synchronise it, and give it its name after that."""
        with suppress(OSError):
            if self.get(name) == content:
                return
        write_atomically(self.folder / name, content)  # which replaces a damaged file

    def get(self, name: str, *, cached: bool = True) -> bytes:
        """Return the content of a file in the folder."""
        check_name(name)
        check_gap(self.folder / name)
        return read_inside(self.folder / name, self.folder, LONGEST)

    def fetch(self, names: Collection[str]) -> None:
        """Do nothing."""

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return NAME.fullmatch(name) is not None and (self.folder / name).is_file()

    def names(self, ending: str = "", start: str = "") -> list[str]:
        """Return the sorted names of the files that have an ending and a start."""
        return sorted(path.name for path in self.folder.glob(f"{start}*{ending}") if NAME.fullmatch(path.name))

    def folders(self) -> list[str]:
        """Return the sorted names of the folders in this one."""
        return sorted(path.name for path in self.folder.glob("*") if path.is_dir() and NAME.fullmatch(path.name))

    def delete(self, names: Iterable[str]) -> None:
        """Delete files."""
        remove(self.folder, [self.folder / name for name in names if NAME.fullmatch(name)])

    def local(self, name: str) -> Path:
        """Return the path of a file."""
        check_name(name)
        return self.folder / name

    def shown(self, name: str = "") -> str:
        """Return the path of the folder or of a file."""
        return str(self.folder / name)

    def inside(self, folder: str) -> LocalPlace:
        """Return a folder of this one."""
        return LocalPlace(self.folder / folder)


def remove(folder: Path, old: Iterable[Path]) -> None:
    """Delete old files, and the unfinished files of killed processes."""
    for file in [*old, *abandoned_files(folder)]:
        try:
            file.unlink(missing_ok=True)
        except OSError as reason:  # whatever replaced them is written
            log.warning("cannot delete %s, which is not needed any more (%s)", file, reason.strerror)


def check_name(name: str) -> None:
    """Raise an :class:`OSError` if this is not a name that alkit gives."""
    if not NAME.fullmatch(name):
        raise OSError(errno.EINVAL, "it is not the name of a file of a record", name)
