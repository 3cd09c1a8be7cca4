"""Digests of pools and of single images: SHA-256 values that change if the content changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from alkit.arguments.checked import checked
from alkit.pools.decoding import Pixels
from alkit.pools.scaling import Scale
from alkit.protocols import HasDigest, Pool


@checked
def digest(pool: Pool) -> str:
    """Return a SHA-256, in hexadecimal, of a pool's ids, pixels, image shape and scale.

    The order of the ids and the location of the images do not matter. If the pool has a method ``digest()``, its
    result is returned; the images of any other pool are read one by one.

    Examples
    --------
    >>> from alkit import ArrayPool
    >>> pool = ArrayPool(np.zeros((2, 8, 8), np.uint8), ids=["a", "b"])
    >>> digest(pool) == digest(pool.subset(["b", "a"]))
    True
    """
    if isinstance(pool, HasDigest):
        return str(pool.digest())
    images = {id: pixel_digest(pool.read([id])[0]) for id in pool.ids}
    return combined_digest(pool.read(list(pool.ids)[:1]).shape[1:], "full", images)


def combined_digest(shape: Sequence[int], scale: Scale, images: Mapping[str, str]) -> str:
    """Return the digest of a pool from the shape of its images, its scale and the digest of each image by id."""
    return hashlib.sha256(json.dumps([shape, scale, sorted(images.items())]).encode()).hexdigest()


def pixel_digest(pixels: Pixels) -> str:
    """Return a SHA-256, in hexadecimal, of an array's type and values; floats are converted to float32 first."""
    pixels = np.asarray(pixels, np.float32) if pixels.dtype.kind == "f" else pixels
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    found = hashlib.sha256(pixels.dtype.str.encode())
    found.update(pixels)  # type: ignore[arg-type]  # any buffer will do
    return found.hexdigest()
