"""The record that a command works on, as it is typed: a path, or the URL of a campaign in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from alkit.record.address import FORM, Address, Server, locate

FILES = typer.Option(
    help="Where the labels and models are kept: a folder or an address such as s3://bucket/prefix. Default: beside the "
    "record's file; if they are elsewhere, ALKIT_FILES.",
    metavar="FOLDER|URL",
)


@dataclass(frozen=True)
class Typed:
    """A record as it was typed."""

    store: str
    files: str | None = None

    @property
    def address(self) -> Address:
        """The address of the record."""
        return locate(self.store, self.files)

    def __fspath__(self) -> str:
        return self.store if self.files is None else self.address.__fspath__()

    def __str__(self) -> str:
        """Return the record as it is typed in other commands, with its files if they were given."""
        found = self.address
        if self.files is None and not isinstance(found.database, Server):
            return str(Path(self.store))
        return found.__fspath__()

    @property
    def stem(self) -> str:
        """The name of the record without its ending."""
        return self.address.database.stem

    def is_file(self) -> bool:
        """Whether the record is there."""
        from alkit.record.existing import is_there

        return is_there(self.address)

    def exists(self) -> bool:
        """Whether anything is there."""
        found = self.address.database
        return found.exists() if isinstance(found, Path) else self.is_file()


@dataclass(frozen=True)
class Record(Typed):
    """The argument of a command that works on a record."""

    store: Annotated[str, typer.Argument(help=f"The record: its file, or {FORM}.")]
    files: Annotated[str | None, FILES] = None


@dataclass(frozen=True)
class NewRecord(Typed):
    """The argument of a command that creates a record."""

    store: Annotated[str, typer.Argument(help=f"Record to create: a file, or {FORM}.")]
    files: Annotated[str | None, FILES] = None


@dataclass(frozen=True)
class RecordOption(Typed):
    """The option of a command that creates or resumes a record."""

    store: Annotated[str, typer.Option(help=f"Record to create, or to resume: a file, or {FORM}.")]
    files: Annotated[str | None, FILES] = None
