"""What pools of files have in common: their images are rows of a cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alkit.pools.base import PoolBase
from alkit.pools.decoding import Pixels
from alkit.pools.rows import ReadsRows, Rows
from alkit.values.label_spec import Size


class KeptPool(PoolBase):
    """Base class of pools of the files in a folder, which are decoded into a cache once."""

    path: str | Path
    _kept: Rows

    def _origin(self) -> str:
        return repr(self.path)

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        return self._kept.read(rows)

    def _expect(self, rows: Sequence[int]) -> None:
        """Let the system load images, which will be read soon."""
        self._kept.expect(rows)

    def _stored_rows(self, rows: Sequence[int]) -> ReadsRows:
        return self._kept.some(rows)

    def _pixel_digest(self, row: int) -> str:
        return self._kept.entries[row].digest

    def _sizes(self, row: int) -> tuple[Size, ...]:
        entry = self._kept.entries[row]
        return tuple(dict.fromkeys([(entry.height, entry.width), self.shape[1:]]))
