"""Images that two pools share, found by their content."""

from __future__ import annotations

from alkit.errors import DataError
from alkit.pools.groups import parents_of
from alkit.protocols import HasDigests, Pool

FEW = 3
"""Most images that a message names."""


def check_contents(pool: Pool, test: Pool) -> None:
    """Raise a :class:`DataError` if an image of `test` is identical to one of `pool`, whatever their ids are.

    Images are compared at the working size. Nothing is compared if a pool has no digests. Parts of larger images that
    have one value, such as empty slices and tiles, do not count: they tell a model nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> images = np.zeros((2, 8, 8), np.uint8), np.ones((1, 8, 8), np.uint8)
    >>> check_contents(ArrayPool(images[0]), ArrayPool(images[1]))
    >>> check_contents(ArrayPool(images[0]), ArrayPool(images[0][:1], ids=["x"]))
    Traceback (most recent call last):
    alkit.errors.DataError: test contains 1 image of the pool: got 'x', which is identical to '0000'. ...
    """
    if not isinstance(pool, HasDigests) or not isinstance(test, HasDigests):
        return
    own = {digest: id for id, digest in sorted(pool.digests().items(), reverse=True)}
    shared = [(id, own[digest]) for id, digest in sorted(test.digests().items()) if digest in own]
    shared = [(id, other) for id, other in shared if not _is_empty_part(test, id)]
    if shared:
        which = ", ".join(f"{a!r}, which is identical to {b!r}" for a, b in shared[:FEW])
        more = f", and {len(shared) - FEW} more" if len(shared) > FEW else ""
        raise DataError(
            f"test contains {len(shared)} image{'' if len(shared) == 1 else 's'} of the pool",
            got=which + more,
            hint="take them out of one of the two: a model must not be measured on images that it can be trained on",
        )


def _is_empty_part(pool: Pool, id: str) -> bool:
    """Return whether an image is part of a larger one and has the same value everywhere."""
    if parents_of(pool, [id]) == [id]:
        return False
    pixels = pool.read([id])
    return bool((pixels == pixels[..., :1, :1]).all())
