"""How the images of a pool lie inside its working size."""

from __future__ import annotations

from collections.abc import Sequence

from alkit.arguments.checked import checked
from alkit.pools.checks import image_shape
from alkit.pools.sizes import mask_sizes
from alkit.protocols import HasFrames, Pool
from alkit.values.frames import Frame


@checked
def frames_of(pool: Pool, ids: Sequence[str]) -> list[Frame]:
    """Return, for each of `ids`, the place of its image in the working size.

    If the pool has a method ``frames(ids)``, its result is returned. The images of any other pool are taken as squashed
    from the first of :func:`mask_sizes` to the size of the images.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> frames_of(ArrayPool(np.zeros((2, 8, 9), np.uint8)), ["0001"])
    [Frame(original=(8, 9), working=(8, 9), fit='squash', box=None)]
    """
    if isinstance(pool, HasFrames):
        return list(pool.frames(ids))
    if not ids:
        return []
    _, height, width = image_shape(pool)
    return [Frame((own[0][0], own[0][1]), (height, width)) for own in mask_sizes(pool, ids)]
