"""Identical rows of a table of features, found with little memory in tables that are larger than it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BLOCK = 2**21
"""Number of values that are read at once: 8 MiB of float32."""


def first_identical(features: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return, for each row, the place of the first row that is identical to it, ``(N,)``; 0.0 and -0.0 are equal.

    Rows are compared by a hash of 64 bits, and then by value, so the result is exact. The table is read in blocks, and
    may be a memory map.

    Parameters
    ----------
    features:
        Table, ``(N, d)``, float32.

    Examples
    --------
    >>> first_identical(np.array([[1, 2], [3, 4], [1, 2], [0, 0], [-0.0, 0]], np.float32))
    array([0, 1, 0, 3, 3])
    """
    hashes = _hashes(features)
    order = np.argsort(hashes, kind="stable")  # so the first row of a run of equal hashes is the first in the table
    begins = np.ones(len(order), bool)
    begins[1:] = hashes[order[1:]] != hashes[order[:-1]]
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(order))
    first = np.arange(len(features))
    for start, end in zip(starts[ends - starts > 1].tolist(), ends[ends - starts > 1].tolist(), strict=True):
        _separate(features, order[start:end], first)
    return first


def _hashes(features: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """Return a sum of the values' bits for each row, each multiplied by an odd number of its column."""
    factors = np.random.default_rng(0).integers(2**63, size=features.shape[1], dtype=np.uint64) * 2 + 1
    hashes = np.zeros(len(features), np.uint64)
    step = max(1, BLOCK // max(1, features.shape[1]))
    for start in range(0, len(features), step):
        block = features[start : start + step].astype(np.float32, copy=False) + np.float32(
            0
        )  # the sum turns -0.0 into 0.0
        hashes[start : start + step] = np.ascontiguousarray(block).view(np.uint32) @ factors
    return hashes


def _separate(features: npt.NDArray[np.float32], members: npt.NDArray[np.int64], first: npt.NDArray[np.int64]) -> None:
    """Write the first identical row of each of `members`, which are sorted and have one hash, into `first`."""
    while len(members) > 1:
        same = np.empty(len(members), bool)
        step = max(1, BLOCK // max(1, features.shape[1]))
        for start in range(0, len(members), step):
            block = features[members[start : start + step]]
            same[start : start + step] = (block == features[members[0]]).all(axis=1)
        same[0] = True  # a row with NaN is not equal to itself
        first[members[same]] = members[0]
        members = members[~same]
