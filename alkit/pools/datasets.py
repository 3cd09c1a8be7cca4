"""A pool of the images of a torch dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alkit.arguments.checked import checked_except
from alkit.arguments.words import found
from alkit.configuration.forms import runtime
from alkit.configuration.parameter_changes import changes
from alkit.errors import DataError
from alkit.pools.base import PoolBase
from alkit.pools.channels import Channels, check_channels
from alkit.pools.checks import Items, as_planes, check_alike, check_count, check_range, shape_of
from alkit.pools.decoding import Pixels
from alkit.pools.groups import GroupsLike
from alkit.pools.scaling import Scale, check_scale
from alkit.values.ids import check_ids


@checked_except("scale", "channels", "ids", "groups")
@changes(added={"channels": None})
@dataclass(frozen=True, eq=False, repr=False)
class DatasetPool(PoolBase):
    """The images of a torch map-style dataset. An image is loaded each time it is read.

    Parameters
    ----------
    dataset:
        Dataset whose items are images, or tuples that begin with an image. An image is a tensor or array ``(h, w)``,
        ``(c, h, w)`` or ``(h, w, c)``; all have one shape and type: uint8, uint16, or floats in [0, 1]. An item must be
        the same each time it is loaded, so there must be no random augmentation.
    ids:
        Ids of the items, distinct strings, in the order of the dataset.
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
        Ids are not distinct strings or not as many as the items. When an image is read: it has another shape or type
        than the first image, or values out of range. The channel axis is not clear, or groups cannot be used.
    ConfigurationError
        `scale` or `channels` is unknown.

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
    channels: Channels | None = None
    groups: GroupsLike | None = runtime(None)
    _first: Pixels = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_channels(self.channels)
        if isinstance(self.dataset, str | bytes | Mapping):
            raise DataError("dataset must be a torch dataset or a list of images", got=found(self.dataset))
        ids = check_ids(self.ids)
        check_count(ids, self.dataset)
        vars(self).update(ids=ids, _rows={id: row for row, id in enumerate(ids)})
        vars(self).update(_first=self._image(0))
        vars(self).update(shape=shape_of(self._first))
        self._group(self.groups)

    def _origin(self) -> str:
        return f"of {type(self.dataset).__name__}"

    def _image(self, row: int) -> Pixels:
        item = self.dataset[row]
        image = as_planes(item[0] if isinstance(item, tuple | list) else item, self.ids[row], self.channels)
        check_range(image, self.ids[row])
        return image

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        images = np.empty((len(rows), *self.shape), self._first.dtype)
        for place, row in enumerate(rows):
            image = self._image(row)
            check_alike(image, self._first, self.ids[row], self.ids[0])
            images[place] = image
        return images
