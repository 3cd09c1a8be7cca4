"""Rows of features that are collected block by block: in memory if they are few, else in a temporary file."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from alkit._files import make_temporary_folder
from alkit.errors import StoreError

Rows = npt.NDArray[np.float32]
"""Features of some images, ``(n, d)``."""

IN_MEMORY = 64 * 2**20
"""Most bytes of rows that are kept in memory."""


class Gathered:
    """A table of rows that grows by blocks. Beyond :data:`IN_MEMORY` it is a file that the system maps into memory.

    The file has no name once it is mapped, so that nothing is left behind, whatever ends the process. Windows cannot
    delete an open file; there the next process deletes it.

    Examples
    --------
    >>> table = Gathered()
    >>> table.append(np.zeros((2, 3), np.float32))
    >>> table.append(np.ones((1, 3), np.float32))
    >>> table.array().sum(axis=1).tolist()
    [0.0, 0.0, 3.0]
    """

    def __init__(self) -> None:
        self._blocks: list[Rows] = []
        self._file: BinaryIO | None = None
        self._folder: Path | None = None
        self._shape = (0, 0)

    def append(self, rows: Rows) -> None:
        """Add rows, ``(n, d)``, with the number of columns of those before.

        Raises
        ------
        StoreError
            The folder for temporary files has no room.
        """
        self._shape = (self._shape[0] + len(rows), rows.shape[1])
        if self._file is not None:
            self._write(rows)
            return
        self._blocks.append(np.array(rows, np.float32))
        if 4 * self._shape[0] * self._shape[1] > IN_MEMORY:
            self._folder = make_temporary_folder()
            self._file = (self._folder / "features.bin").open("w+b")
            for block in self._blocks:
                self._write(block)
            self._blocks.clear()

    def array(self) -> Rows:
        """Return all rows, read-only. Nothing can be added afterwards."""
        if self._file is None or self._folder is None:
            table = np.concatenate(self._blocks) if self._blocks else np.empty(self._shape, np.float32)
            self._blocks.clear()
            table.flags.writeable = False
            return table
        try:
            self._file.flush()
            return map_rows(Path(self._file.name), self._shape)
        except OSError as reason:
            raise self._error(reason) from reason
        finally:
            self.close()

    def close(self) -> None:
        """Delete the temporary file; an array of it stays valid."""
        if self._file is not None and self._folder is not None:
            with suppress(OSError):
                self._file.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, rows: Rows) -> None:
        assert self._file is not None
        try:
            self._file.write(np.ascontiguousarray(rows, "<f4").data)
        except OSError as reason:
            self.close()
            raise self._error(reason) from reason

    def _error(self, reason: OSError) -> StoreError:
        return StoreError(
            f"the features do not fit into the folder for temporary files {self._folder} ({reason.strerror})",
            hint="set the environment variable TMPDIR to a folder with free space",
        )


def map_rows(path: Path, shape: tuple[int, int], first: int = 0) -> Rows:
    """Return rows of a file, mapped into memory and read-only: `shape` rows and columns from row `first` on."""
    if 0 in shape:
        return np.empty(shape, np.float32)
    mapped = np.memmap(path, "<f4", "r", offset=4 * first * shape[1], shape=shape)
    return np.asarray(mapped)
