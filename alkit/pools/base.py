"""What the pools of alkit have in common: reading images by id, subsets, and the split into a pool and a test set.

Every pool returns images as ``(n, c, h, w)`` float32 in [0, 1], in whatever form it stores them.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from alkit._logs import logger
from alkit.arguments.checked import checked, checked_except
from alkit.arguments.words import found
from alkit.errors import ConfigurationError, DataError
from alkit.pools.decoding import Pixels
from alkit.pools.digests import combined_digest, pixel_digest
from alkit.pools.groups import Grouping, GroupsLike, groups_of, read_groups
from alkit.pools.rows import InMemory, ReadsRows
from alkit.pools.scaling import Scale, scale_pixels
from alkit.pools.splitting import draw_groups
from alkit.pools.unusable import unusable_images
from alkit.rng import Stream
from alkit.values.frames import Frame
from alkit.values.ids import check_ids
from alkit.values.label_spec import Images, Size
from alkit.values.shown import count, html_table, short
from alkit.values.surroundings import Surroundings

log = logger(__name__)

Kind = TypeVar("Kind", bound="PoolBase")

TOLERANCE = 10
"""A test set may miss the size that is wanted by one part in so many without a warning."""


class PoolBase(ABC):
    """Base class of alkit's pools. A subclass sets the attributes below and returns stored images by row number."""

    ids: Sequence[str]
    shape: tuple[int, int, int]
    scale: Scale
    _rows: Mapping[str, int]
    _grouping: Grouping | None = None

    @abstractmethod
    def _pixels(self, rows: Sequence[int]) -> Pixels:
        """Return images as they are stored, ``(n, c, h, w)``."""

    def _stored_rows(self, rows: Sequence[int]) -> ReadsRows:
        """Return some stored images as they travel to another process."""
        return InMemory(self._pixels(rows))

    def _pixel_digest(self, row: int) -> str:
        return pixel_digest(self._pixels([row])[0])

    def _sizes(self, row: int) -> tuple[Size, ...]:
        return (self.shape[1:],)

    def _frame(self, row: int) -> Frame:
        return Frame(self._sizes(row)[0], self.shape[1:])

    def _file(self, row: int) -> Path | None:
        return None

    def _picture(self, row: int) -> Images | None:
        return None

    def _surroundings(self, row: int) -> Surroundings | None:
        return None

    def _parent(self, row: int) -> str | None:
        """Return what an image is part of; None if it is not part of anything."""
        return None

    def _group(self, groups: GroupsLike | None) -> None:
        """Take the groups that a pool was given. A subclass calls this at the end of its constructor."""
        if groups is not None:
            grouping = read_groups(groups, self.ids, self.parents_of(self.ids), unusable_images(self))
            vars(self).update(_grouping=grouping)

    def _rows_of(self, ids: Iterable[str]) -> list[int]:
        if isinstance(ids, str):
            raise DataError("ids must be a list of ids", got=f"the string {ids!r}", hint=f"[{ids!r}]")
        if isinstance(ids, bytes | Mapping) or not isinstance(ids, Iterable):
            raise DataError("ids must be a list of ids", got=found(ids))
        try:
            return [self._rows[id] for id in ids]
        except TypeError as reason:
            raise DataError(f"id must be a string in the list of ids ({reason})") from None
        except KeyError as error:
            raise DataError(
                "the pool has no image with this id",
                got=repr(error.args[0]),
                expected=f"one of {len(self)} ids such as {next(iter(self.ids), None)!r}",
            ) from None

    def _checked(self, ids: Iterable[str]) -> tuple[list[str], list[int]]:
        """Return ids, which may come from an iterator, and their rows."""
        listed = [*ids] if isinstance(ids, Iterable) and not isinstance(ids, str | bytes | Mapping) else ids
        return listed, self._rows_of(listed)  # type: ignore[return-value]  # the rows of others are an error

    def __len__(self) -> int:
        return len(self.ids)

    def _origin(self) -> str:
        """Return where the images come from, in a few words."""
        return ""

    def __repr__(self) -> str:
        """Return the kind, number and shape of the images, without reading one."""
        size = " x ".join(map(str, self.shape))
        origin = self._origin()
        return f"{type(self).__name__}({count(len(self), 'image')}, {size}{', ' if origin else ''}{origin})"

    def _repr_html_(self) -> str:
        left = getattr(self, "unusable", {})
        notes = [f"ids: {short(self.ids)}"]
        notes += [f"{len(left)} images cannot be used, such as {next(iter(left))}"] if left else []
        return html_table(repr(self), notes=notes)

    @checked_except("ids")
    def read(self, ids: Sequence[str]) -> Images:
        """Return images as ``(n, c, h, w)``, float32 in [0, 1], in the order of `ids`.

        Raises
        ------
        DataError
            An id is not in the pool.
        """
        return scale_pixels(self._pixels(self._rows_of(ids)), self.scale)

    @checked_except("ids")
    def stored(self, ids: Sequence[str]) -> tuple[Pixels, Scale] | None:
        """Return images as they are stored, ``(n, c, h, w)``, in the order of `ids`, and how :meth:`read` scales them.

        None if a subclass has a :meth:`read` of its own, which may do more.

        Raises
        ------
        DataError
            An id is not in the pool.
        """
        if type(self).read is not PoolBase.read:
            return None
        return self._pixels(self._rows_of(ids)), self.scale

    @checked_except("ids")
    def sizes(self, ids: Iterable[str]) -> list[tuple[Size, ...]]:
        """Return, for each image, the sizes that its mask may have: the original size and the working size."""
        return [self._sizes(row) for row in self._rows_of(ids)]

    @checked_except("ids")
    def frames(self, ids: Iterable[str]) -> list[Frame]:
        """Return, for each image, its place in the working size, see :class:`alkit.values.Frame`."""
        return [self._frame(row) for row in self._rows_of(ids)]

    @checked_except("id")
    def file(self, id: str) -> Path | None:
        """Return the file of an image, or None if it does not have one."""
        return self._file(self._rows_of([id])[0])

    @checked_except("id")
    def picture(self, id: str) -> Images | None:
        """Return an image for people, ``(c, h, w)`` at its original size, if it is known and no file holds it."""
        return self._picture(self._rows_of([id])[0])

    @checked_except("id")
    def surroundings(self, id: str) -> Surroundings | None:
        """Return what lies around an image that is a part of a larger one; None if it is not."""
        return self._surroundings(self._rows_of([id])[0])

    @checked_except("ids")
    def parents_of(self, ids: Iterable[str]) -> list[str]:
        """Return what each image is part of; an image that is not part of anything is its own parent, by its id."""
        ids, rows = self._checked(ids)
        return [self._parent(row) or id for id, row in zip(ids, rows, strict=True)]

    @checked_except("ids")
    def groups_of(self, ids: Iterable[str]) -> list[str]:
        """Return the group of each image, such as the patient. Without groups, the images of one parent are one.

        Examples
        --------
        >>> import numpy as np
        >>> from alkit import ArrayPool
        >>> pool = ArrayPool(np.zeros((3, 8, 8), np.uint8), ["p1_a", "p1_b", "p2_a"], groups="{group}_*")
        >>> pool.groups_of(["p2_a", "p1_b"])
        ['p2', 'p1']
        """
        ids, _ = self._checked(ids)
        groups = {} if self._grouping is None else self._grouping.groups
        return [groups.get(id, parent) for id, parent in zip(ids, self.parents_of(ids), strict=True)]

    @checked_except("ids")
    def metadata_of(self, ids: Iterable[str]) -> list[dict[str, str]]:
        """Return the columns of the groups' file for each image, such as ``{"patient": "p1", "site": "A"}``."""
        ids, _ = self._checked(ids)
        metadata = {} if self._grouping is None else self._grouping.metadata
        return [dict(metadata.get(id, {})) for id in ids]

    def _with_grouping(self, grouping: Grouping | None) -> Self:
        """Return the same pool with other groups; images are not read again."""
        pool = copy.copy(self)
        vars(pool).update(_grouping=grouping)
        return pool

    @checked_except("ids")
    def subset(self, ids: Iterable[str]) -> Subset:
        """Return a pool of the images with these ids, in this order. No pixel is copied."""
        return Subset(self, check_ids(ids))

    @checked
    def split(self, test: int | float, seed: int) -> tuple[Subset, Subset]:
        """Return the images to learn from and a test set, each sorted by id.

        Images of one group are on one side, so the test set has the size that is wanted, or the closest one that whole
        groups allow. The groups are drawn in the order of a seeded permutation. The result depends on the ids, the
        groups and `seed`, not on the order of the pool.

        Parameters
        ----------
        test:
            Size of the test set: a number of images, or a fraction in (0, 1), which is rounded to a number.
        seed:
            Seed of the permutation.

        Raises
        ------
        ConfigurationError
            One of the two parts would be empty.

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
                f"test must be a number of images from 1 to {len(self) - 1}, or a fraction of this size",
                got=f"{test} of {len(self)} images",
                hint="test=0.2",
            )
        groups = groups_of(self, self.ids)
        if len(set(groups)) == 1:
            raise ConfigurationError(
                "the pool cannot be split, because a group stays whole", got=f"one group, {groups[0]!r}, of all images"
            )
        drawn = frozenset(draw_groups(self.ids, groups, n, Stream(seed).child("split")))
        if abs(len(drawn) - n) > n / TOLERANCE:
            log.warning("the test set has %d images in place of %d, because groups stay whole", len(drawn), n)
        return self.subset(sorted(set(self.ids) - drawn)), self.subset(sorted(drawn))

    def digests(self) -> dict[str, str]:
        """Return, by id, a SHA-256, in hexadecimal, of each image's pixels as they are stored."""
        return {id: self._pixel_digest(row) for id, row in self._rows.items()}

    def digest(self) -> str:
        """Return the digest of the pool, see :func:`alkit.pools.digest`."""
        return combined_digest(self.shape, self.scale, self.digests())


@checked_except("ids")
@dataclass(frozen=True, repr=False)
class Subset(PoolBase):
    """Some images of a pool, in an order of their own. A subset of a subset is a subset of the whole pool.

    :meth:`PoolBase.subset` makes it.

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
        if isinstance(self.ids, Mapping):
            raise DataError("ids must be a list of ids", got=found(self.ids))
        ids = check_ids(self.ids)
        rows = dict(zip(ids, self.pool._rows_of(ids), strict=True))
        grouping = self.pool._grouping
        pool = whole_pool(self.pool)
        vars(self).update(_grouping=grouping, pool=pool, ids=ids, shape=pool.shape, scale=pool.scale, _rows=rows)

    def _origin(self) -> str:
        return f"of {self.pool!r}"

    @property
    def unusable(self) -> Mapping[str, str]:
        """The reason for each image that the whole pool has left out, by its id."""
        return unusable_images(self.pool)

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        return self.pool._pixels(rows)

    def _stored_rows(self, rows: Sequence[int]) -> ReadsRows:
        return self.pool._stored_rows(rows)

    def _pixel_digest(self, row: int) -> str:
        return self.pool._pixel_digest(row)

    def _sizes(self, row: int) -> tuple[Size, ...]:
        return self.pool._sizes(row)

    def _frame(self, row: int) -> Frame:
        return self.pool._frame(row)

    def _file(self, row: int) -> Path | None:
        return self.pool._file(row)

    def _picture(self, row: int) -> Images | None:
        return self.pool._picture(row)

    def _surroundings(self, row: int) -> Surroundings | None:
        return self.pool._surroundings(row)

    def _parent(self, row: int) -> str | None:
        return self.pool._parent(row)


def whole_pool(pool: Any) -> Any:
    """Return the pool that a pool is a part of, or the pool itself."""
    return pool.pool if isinstance(pool, Subset) else pool


def whole_as(pool: Any, kind: type[Kind], what: str) -> Kind:
    """Return the pool of some kind that a pool is, or is a part of.

    Raises
    ------
    DataError
        It is another kind of pool; the message says that it must consist of `what`.
    """
    whole = whole_pool(pool)
    if not isinstance(whole, kind):
        raise DataError(f"the pool must consist of {what}", got=type(whole).__name__, hint=f"alkit.{kind.__name__}")
    return whole
