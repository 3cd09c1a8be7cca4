"""Images and labels in a file that workers map into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.pools.scaling import Scale, scale_pixels

AT_ONCE = 64
"""Images that are read at once."""

Read = Callable[[Sequence[str]], tuple[npt.NDArray[Any], Scale | None]]
"""Reads images by id, and says how they are scaled; None if they need not be."""


@dataclass(frozen=True)
class PackedImages:
    """Arrays by id, in a file of numpy, and how they are scaled to images."""

    ids: tuple[str, ...]
    path: Path
    scale: Scale | None

    def rows(self, ids: Sequence[str]) -> npt.NDArray[Any]:
        """Return the arrays of some ids as they are stored."""
        place = {id: row for row, id in enumerate(self.ids)}
        kept = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return np.array(kept[[place[id] for id in ids]])

    def read(self, ids: Sequence[str]) -> npt.NDArray[Any]:
        """Return some images, float32 in [0, 1]."""
        return self.rows(ids) if self.scale is None else scale_pixels(self.rows(ids), self.scale)

    def stored(self, ids: Sequence[str]) -> tuple[npt.NDArray[Any], Scale] | None:
        """Return some images as they are stored, and how they are scaled; None if they are not scaled."""
        return None if self.scale is None else (self.rows(ids), self.scale)


def pack_images(ids: Sequence[str], read: Read, path: Path) -> PackedImages:
    """Write arrays by id to a file."""
    first, scale = read(ids[:1])
    kept = np.lib.format.open_memmap(path, "w+", dtype=first.dtype, shape=(len(ids), *first.shape[1:]))
    for start in range(0, len(ids), AT_ONCE):
        kept[start : start + AT_ONCE] = read(ids[start : start + AT_ONCE])[0]
    kept.flush()
    return PackedImages(tuple(ids), path, scale)


def images_digest(ids: Sequence[str], read: Read) -> str:
    """Return a SHA-256 of arrays, their shape and type, and how they are scaled."""
    sha = hashlib.sha256()
    for start in range(0, len(ids), AT_ONCE):
        found, scale = read(ids[start : start + AT_ONCE])
        sha.update(f"{found.dtype} {found.shape[1:]} {scale} ".encode())
        sha.update(np.ascontiguousarray(found).tobytes())
    return sha.hexdigest()
