"""A pool of images that are arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.arguments.arrays import array_of
from alkit.arguments.checked import checked_except
from alkit.errors import DataError
from alkit.pools.base import PoolBase
from alkit.pools.channels import Channels, check_channels, find_channels
from alkit.pools.checks import as_planes, check_alike, check_count, check_range, check_ranges, shape_of
from alkit.pools.decoding import Pixels
from alkit.pools.groups import GroupsLike
from alkit.pools.scaling import Scale, check_scale
from alkit.values.ids import check_ids


@checked_except("scale", "channels", "ids", "groups")
class ArrayPool(PoolBase):
    """Images given as arrays. The arrays are not copied, so memory-mapped arrays stay on disk.

    Their values must not change while the pool is used: digests, features and scores of the images are computed once.

    Parameters
    ----------
    images:
        One array ``(n, h, w)``, ``(n, c, h, w)`` or ``(n, h, w, c)``; or a mapping from id to an array ``(h, w)``,
        ``(c, h, w)`` or ``(h, w, c)``, all of one shape and type. Types are uint8, uint16, and floats in [0, 1].
    ids:
        Ids of the images, distinct strings. Default: the positions, ``"0000"`` and so on, or the keys of the mapping.
    scale:
        How stored values are mapped to [0, 1], see :data:`alkit.pools.Scale`. Default: ``"full"``.
    channels:
        Place of the channel axis, ``"first"`` or ``"last"``. Default: it is found if the shape leaves no doubt.
    groups:
        Which images belong together, such as those of one patient: a CSV file with the columns ``id`` and the group,
        and any others, which are metadata; a pattern of ids such as ``"{group}/*"``; or a mapping from ids to groups.
        Default: each image is its own group.

    Raises
    ------
    DataError
        Ids are not distinct strings or not as many as the images; images differ in shape or type, or have values out
        of range; their channel axis is not clear; or groups cannot be used.
    ConfigurationError
        `scale` or `channels` is unknown.

    Examples
    --------
    >>> pool = ArrayPool(np.full((3, 8, 8), 51, np.uint8))
    >>> images = pool.read(["0002"])
    >>> images.shape, round(float(images.max()), 3)
    ((1, 1, 8, 8), 0.2)
    """

    def __init__(
        self,
        images: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
        ids: Iterable[str] | None = None,
        scale: Scale = "full",
        channels: Channels | None = None,
        groups: GroupsLike | None = None,
    ) -> None:
        check_scale(scale)
        check_channels(channels)
        self.scale = scale
        self._kept: Pixels | list[Pixels]
        if isinstance(images, Mapping):
            self.ids = check_ids(images if ids is None else ids)
            if missing := [id for id in self.ids if id not in images]:
                raise DataError("ids must be keys of the mapping images", got=missing[:8])
            self._kept = [as_planes(images[id], id, channels) for id in self.ids]
        else:
            images = array_of(images, "images", DataError)
            if images.ndim not in (3, 4):
                raise DataError("images must have the shape (n, h, w), (n, c, h, w) or (n, h, w, c)", got=images.shape)
            width = max(4, len(str(len(images) - 1)))
            self.ids = tuple(f"{n:0{width}}" for n in range(len(images))) if ids is None else check_ids(ids)
            check_count(self.ids, images)
            is_last = images.ndim == 4 and images.size and find_channels(images.shape[1:], channels) == "last"
            self._kept = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1) if is_last else images
        check_count(self.ids, self._kept)
        self._first = as_planes(self._kept[0], self.ids[0], "first")
        self.shape = shape_of(self._first)
        if isinstance(self._kept, list):
            for id, image in zip(self.ids, self._kept, strict=True):
                check_alike(image, self._first, id, self.ids[0])
                check_range(image, id)
        else:
            check_ranges(self._kept, self.ids)
        self._group(groups)

    @cached_property
    def _rows(self) -> Mapping[str, int]:  # type: ignore[override]
        return {id: row for row, id in enumerate(self.ids)}

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        if not isinstance(self._kept, list):
            return self._kept[np.asarray(rows, np.intp)]
        return np.array([self._kept[row] for row in rows], self._first.dtype).reshape(-1, *self.shape)
