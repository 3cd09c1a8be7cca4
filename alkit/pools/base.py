"""Pools: images that can be asked for by id, from a folder, from arrays, or from a torch dataset.

Every pool reads ``(n, c, h, w)`` float32 in [0, 1], whatever it keeps, and is cut in the same way: by
``subset(ids)`` and ``split(test, seed)``.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alkit.errors import ConfigurationError, DataError
from alkit.pools.checks import unique_ids
from alkit.pools.decoding import Pixels, pixel_digest
from alkit.pools.scaling import Scale, scaled
from alkit.protocols import HasDigest, HasSizes, Pool
from alkit.rng import Stream
from alkit.values.label_spec import Images, Size


class PoolBase(ABC):
    """What all pools do, given where each image is kept and how to get it from there."""

    ids: Sequence[str]
    shape: tuple[int, int, int]
    scale: Scale
    _rows: Mapping[str, int]

    @abstractmethod
    def _pixels(self, rows: Sequence[int]) -> Pixels:
        """Return images as they are kept, ``(n, c, h, w)``."""

    def _pixel_digest(self, row: int) -> str:
        return pixel_digest(self._pixels([row])[0])

    def _sizes(self, row: int) -> tuple[Size, ...]:
        return (self.shape[1:],)

    def _file(self, row: int) -> Path | None:
        return None

    def _where(self, ids: Iterable[str]) -> list[int]:
        try:
            return [self._rows[id] for id in ids]
        except KeyError as error:
            raise DataError(
                "there is no such image in the pool",
                got=repr(error.args[0]),
                expected=f"one of {len(self)} ids such as {next(iter(self.ids), None)!r}",
            ) from None

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1], in the order asked.

        Raises
        ------
        DataError
            An id that is not in the pool.
        """
        return scaled(self._pixels(self._where(ids)), self.scale)

    def sizes(self, ids: Iterable[str]) -> list[tuple[Size, ...]]:
        """Return for each image the sizes its mask may have: the original size and the working size."""
        return [self._sizes(row) for row in self._where(ids)]

    def file(self, id: str) -> Path | None:
        """Return the file an image was decoded from; None where it comes from none."""
        return self._file(self._where([id])[0])

    def subset(self, ids: Iterable[str]) -> Subset:
        """Return a pool of these images only, in this order; no pixel is copied."""
        return Subset(self, tuple(ids))

    def split(self, test: int | float, seed: int) -> tuple[Subset, Subset]:
        """Return the images to learn from and a test set, each in the order of its ids.

        The test set is the first part of a seeded permutation of the sorted ids: it depends on which images
        there are and on `seed`, and not on the order of the pool.

        Parameters
        ----------
        test:
            How many images to set aside: a number, or a fraction in (0, 1), rounded to a number.
        seed:
            Which split.

        Raises
        ------
        ConfigurationError
            One side would be empty.

        Examples
        --------
        >>> import numpy as np
        >>> from alkit import ArrayPool
        >>> pool, test = ArrayPool(np.zeros((10, 8, 8), np.uint8)).split(test=0.3, seed=0)
        >>> len(pool), len(test)
        (7, 3)
        """
        n = round(test * len(self)) if isinstance(test, float) and 0 < test < 1 else test
        if isinstance(n, float) or not 0 < n < len(self):
            raise ConfigurationError(
                "a split needs images on both sides",
                got=f"test={test} of {len(self)} images",
                expected=f"1 to {len(self) - 1}, or a fraction in (0, 1) that comes to as many",
            )
        ids = sorted(self.ids)
        shuffled = [ids[row] for row in Stream(seed).child("split").numpy().permutation(len(ids))]
        return self.subset(sorted(shuffled[n:])), self.subset(sorted(shuffled[:n]))

    def digests(self) -> dict[str, str]:
        """Return by id a SHA-256, in hexadecimal, of each image's pixels as they are kept."""
        return {id: self._pixel_digest(row) for id, row in self._rows.items()}

    def digest(self) -> str:
        """Return the pool's :func:`digest`; an :class:`ImagePool` knows it without reading its images."""
        return _digest(self.shape, self.scale, self.digests())


def digest(pool: Pool) -> str:
    """Return a SHA-256, in hexadecimal, of a pool's ids, their pixels, the shape and the scale.

    Neither the order of the ids counts nor where the images lie. A pool with a ``digest()`` of its own is
    asked for it; the images of any other are read one by one.

    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> pool = ArrayPool(np.zeros((2, 8, 8), np.uint8), ids=["a", "b"])
    >>> digest(pool) == digest(pool.subset(["b", "a"]))
    True
    """
    if isinstance(pool, HasDigest):
        return str(pool.digest())
    images = {id: pixel_digest(pool.read([id])[0]) for id in pool.ids}
    return _digest(pool.read(list(pool.ids)[:1]).shape[1:], "full", images)


def _digest(shape: Sequence[int], scale: Scale, images: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([shape, scale, sorted(images.items())]).encode()).hexdigest()


@dataclass(frozen=True)
class Some:
    """Some images of any pool, as a pool of their own."""

    pool: Pool
    ids: Sequence[str]

    def read(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1], in the order asked."""
        return self.pool.read(ids)


def mask_sizes(pool: Pool, ids: Sequence[str]) -> list[tuple[Size, ...]]:
    """Return for each image the heights and widths its mask may have.

    A pool with a method ``sizes(ids)`` is asked; for any other it is the size of its first image.

    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> mask_sizes(ArrayPool(np.zeros((2, 8, 9), np.uint8)), ["0001"])
    [((8, 9),)]
    """
    if isinstance(pool, HasSizes):
        return list(pool.sizes(ids))
    height, width = pool.read(list(pool.ids)[:1]).shape[-2:]
    return [((height, width),)] * len(ids)


@dataclass(frozen=True)
class Subset(PoolBase):
    """Some images of a pool, in an order of their own. A subset of a subset is one of the pool below.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> pool = ArrayPool(np.zeros((5, 8, 8), np.uint8))
    >>> pool.subset(["0003", "0001"]).ids
    ('0003', '0001')
    """

    pool: PoolBase
    ids: Sequence[str]

    def __post_init__(self) -> None:
        ids = unique_ids(self.ids)
        rows = dict(zip(ids, self.pool._where(ids), strict=True))
        pool = self.pool.pool if isinstance(self.pool, Subset) else self.pool
        vars(self).update(pool=pool, ids=ids, shape=pool.shape, scale=pool.scale, _rows=rows)

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        return self.pool._pixels(rows)

    def _pixel_digest(self, row: int) -> str:
        return self.pool._pixel_digest(row)

    def _sizes(self, row: int) -> tuple[Size, ...]:
        return self.pool._sizes(row)

    def _file(self, row: int) -> Path | None:
        return self.pool._file(row)
