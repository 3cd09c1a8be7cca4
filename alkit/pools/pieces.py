"""Shards of a pool, and the piece of a pool that a worker needs to compute one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from alkit.pools.base import PoolBase, whole_pool
from alkit.pools.batches import batch_size, map_fitting
from alkit.pools.decoding import Pixels
from alkit.pools.frames import frames_of
from alkit.pools.kept import KeptPool
from alkit.pools.read_ahead import ReadAhead, read_ahead
from alkit.pools.rows import ReadsRows
from alkit.pools.scaling import Scale
from alkit.protocols import HasFrames, Pool
from alkit.values.frames import Frame
from alkit.values.label_spec import Images

R = TypeVar("R")


@dataclass(frozen=True)
class Shard:
    """Some images of a pool."""

    pool: Pool
    ids: Sequence[str]

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self.ids)

    def ahead(self, thread: Executor) -> Shard:
        """Return the shard with a pool whose images a thread reads, while this one does something else."""
        return Shard(read_ahead(self.pool, self.ids, thread), self.ids)

    def arrived(self) -> bool:
        """Wait until the thread has ended, and return whether it could read the images."""
        return not isinstance(self.pool, ReadAhead) or self.pool.arrived()

    def expect(self) -> None:
        """Let the system load the images that are on disk, because they will be read soon."""
        pool: object = whole_pool(self.pool)
        if isinstance(pool, KeptPool):
            pool._expect(cast(PoolBase, self.pool)._rows_of(self.ids))

    def packed(self, folder: Path) -> Shard:
        """Return the shard with its piece of the pool, which is all that travels."""
        return Shard(piece_of(self.pool, self.ids), tuple(self.ids))


def map_shard(
    work: Callable[[Sequence[str]], R], shard: Shard, sufficed: list[int]
) -> Iterator[tuple[Sequence[str], R]]:
    """Yield the images of a shard, in one batch if the memory suffices, with the results of `work`."""
    return map_fitting(work, shard.ids, shard.size, sufficed, lambda: shard.pool.read(shard.ids[:1]).shape[-2:])


def shards_of(pool: Pool, ids: Sequence[str], at_once: int | None = None) -> list[Shard]:
    """Divide images into shards of one batch each, see :func:`alkit.pools.batches.map_batches`."""
    size = batch_size(ids, pool, at_once)
    return [Shard(pool, ids[start : start + size]) for start in range(0, len(ids), size)]


class Piece(PoolBase):
    """Some images of one of alkit's pools, with no more of the pool than these images need."""

    def __init__(
        self, ids: Sequence[str], shape: tuple[int, int, int], scale: Scale, rows: ReadsRows, frames: list[Frame]
    ) -> None:
        self.ids, self.shape, self.scale, self._kept, self._frames = ids, shape, scale, rows, frames
        self._rows = {id: row for row, id in enumerate(ids)}

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        return self._kept.read(rows)

    def _frame(self, row: int) -> Frame:
        return self._frames[row]


@dataclass(frozen=True)
class ReadPiece:
    """Some images of any other pool, as it returns them."""

    ids: Sequence[str]
    read_images: Images

    def read(self, ids: Sequence[str]) -> Images:
        """Return these images."""
        rows = {id: row for row, id in enumerate(self.ids)}
        return self.read_images[[rows[id] for id in ids]]


@dataclass(frozen=True)
class FramedPiece(ReadPiece):
    """Some images of a pool that knows how they lie in the working size."""

    own_frames: Sequence[Frame]

    def frames(self, ids: Sequence[str]) -> list[Frame]:
        """Return the frames of these images."""
        rows = {id: row for row, id in enumerate(self.ids)}
        return [self.own_frames[rows[id]] for id in ids]


def piece_of(pool: Pool, ids: Sequence[str]) -> Pool:
    """Return a pool of some images that is small enough to be sent to a worker.

    Images of a cache stay in its file, which the worker reads. Those of other pools are read here. Both read the same
    numbers as the whole pool.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> pool = ArrayPool(np.arange(4, dtype=np.uint8).reshape(4, 1, 1))
    >>> piece_of(pool, ["0002", "0001"]).read(["0002"]).item() == pool.read(["0002"]).item()
    True
    """
    ids = tuple(ids)
    if isinstance(pool, PoolBase) and type(pool).read is PoolBase.read:
        return Piece(ids, pool.shape, pool.scale, pool._stored_rows(pool._rows_of(ids)), frames_of(pool, ids))
    images = pool.read(ids)
    return FramedPiece(ids, images, frames_of(pool, ids)) if isinstance(pool, HasFrames) else ReadPiece(ids, images)
