"""Sizes of images and of their masks, (height, width) in pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.protocols import HasSizes, Pool
from alkit.values.label_spec import Size


@checked
def mask_sizes(pool: Pool, ids: Sequence[str]) -> list[tuple[Size, ...]]:
    """Return, for each of `ids`, the sizes that its mask may have.

    If the pool has a method ``sizes(ids)``, its result is returned. In any other pool, masks have the size of the
    images.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> mask_sizes(ArrayPool(np.zeros((2, 8, 9), np.uint8)), ["0001"])
    [((8, 9),)]
    """
    if isinstance(pool, HasSizes):
        return list(pool.sizes(ids))
    height, width = pool.read(list(pool.ids)[:1]).shape[-2:]
    return [((height, width),)] * len(ids)


MOST_SIDE = 2**15
"""Greatest height and width in pixels at which a pool reads its images."""


def check_size(size: int | Sequence[int] | None, name: str = "size") -> Size | None:
    """Return `size` as (height, width), or None if it is None. `name` is the parameter's name in messages.

    Raises
    ------
    ConfigurationError
        `size` is neither a positive integer nor a pair of them, or a side is larger than :data:`MOST_SIDE`.

    Examples
    --------
    >>> check_size(256), check_size((480, 640))
    ((256, 256), (480, 640))
    """
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, Sequence | np.ndarray) else (size, size)
    whole = all(isinstance(side, int | np.integer) and not isinstance(side, bool) and side > 0 for side in pair)
    if len(pair) != 2 or not whole:
        raise ConfigurationError(
            f"{name} must be an integer >= 1, or (height, width) with such integers", got=repr(size)
        )
    if max(pair) > MOST_SIDE:
        raise ConfigurationError(f"{name} must be at most {MOST_SIDE} pixels on each side", got=repr(size))
    return int(pair[0]), int(pair[1])
