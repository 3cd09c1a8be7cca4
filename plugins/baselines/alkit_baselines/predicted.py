"""What strategies that read predictions share: which images have the same prediction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DIGEST = 8
"""Bytes of a digest. In a pool of a million images, two different predictions share one with probability 3e-8."""


def digests(probabilities: npt.NDArray[np.float32]) -> list[bytes]:
    """Return a digest of each image's prediction; identical images have identical predictions."""
    return [hashlib.blake2b(one.tobytes(), digest_size=DIGEST).digest() for one in probabilities]


def as_rows(ids: Sequence[str], found: dict[str, bytes]) -> npt.NDArray[np.float32]:
    """Return a table for :class:`alkit.strategies.Picks` in which images have equal rows if their digests are equal.

    Parameters
    ----------
    ids:
        All N ids of the pool. An image without a digest is like no other.
    found:
        Digests by id.

    Examples
    --------
    >>> rows = as_rows(["a", "b", "c", "d"], {"a": b"12345678", "d": b"12345678"})
    >>> [bool((rows[0] == row).all()) for row in rows]
    [True, False, False, True]
    """
    rows = np.zeros((len(ids), DIGEST), np.float32)
    rows[:, 0] = -1 - np.arange(len(ids)) // 2**20
    rows[:, 1] = np.arange(len(ids)) % 2**20
    for row, id in enumerate(ids):
        if id in found:
            rows[row] = np.frombuffer(found[id], np.uint8)
    return rows
