"""A torch dataset as a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from alkit.pools.base import PoolBase
from alkit.pools.checks import Items, check_alike, check_count, check_range, planes_of, shape_of, unique_ids
from alkit.pools.decoding import Pixels
from alkit.pools.scaling import Scale, check_scale


@dataclass(frozen=True, eq=False)
class DatasetPool(PoolBase):
    """The images of a torch map-style dataset, read when they are asked for.

    Parameters
    ----------
    dataset:
        Its items are images, or tuples that begin with one: a tensor or array, ``(h, w)`` or ``(c, h, w)``,
        all of one shape and type: uint8, uint16, or floats in [0, 1]. An item must be the same each time: no
        augmentation.
    ids:
        One for each item, in the order of the dataset.
    scale:
        How values become [0, 1] when they are read: ``"full"`` range of the type, or ``"minmax"`` of each
        image.

    Raises
    ------
    DataError
        Ids that are no different strings or not as many as items; and, when it is read, an image of another
        shape or type than the first, or out of range.

    Examples
    --------
    >>> import torch
    >>> dataset = torch.utils.data.TensorDataset(torch.rand(3, 1, 8, 8), torch.zeros(3))
    >>> DatasetPool(dataset, ids=["a", "b", "c"]).read(["c", "a"]).shape
    (2, 1, 8, 8)
    """

    dataset: Items
    ids: Sequence[str]
    scale: Scale = "full"
    _first: Pixels = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_scale(self.scale)
        ids = unique_ids(self.ids)
        check_count(ids, self.dataset)
        vars(self).update(ids=ids, _rows={id: row for row, id in enumerate(ids)})
        vars(self).update(_first=self._image(0))
        vars(self).update(shape=shape_of(self._first))

    def _image(self, row: int) -> Pixels:
        item = self.dataset[row]
        image = planes_of(item[0] if isinstance(item, tuple | list) else item, self.ids[row])
        check_range(image, self.ids[row])
        return image

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        images = np.empty((len(rows), *self.shape), self._first.dtype)
        for place, row in enumerate(rows):
            image = self._image(row)
            check_alike(image, self._first, self.ids[row], self.ids[0])
            images[place] = image
        return images
