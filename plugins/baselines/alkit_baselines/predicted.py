"""What strategies that read predictions share: which images are identical, and for how many a pick stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from alkit import View
from alkit.protocols import HasDigests

DIGEST = 8
"""Bytes of a digest. In a pool of a million images, two different images share one with probability 3e-8."""


def image_digests(view: View) -> dict[str, bytes]:
    """Return a digest of each image's content, labelled images included; empty if the view has none.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> found = image_digests(SimpleNamespace(digests=lambda: {"a": "0" * 16, "b": "1" * 16, "c": "0" * 16}))
    >>> found["a"] == found["c"], found["a"] == found["b"]
    (True, False)
    """
    texts = view.digests() if isinstance(view, HasDigests) else {}
    return {id: _digest(text.encode()) for id, text in texts.items()}


def prediction_digests(probabilities: npt.NDArray[np.float32]) -> list[bytes]:
    """Return a digest of each image's prediction; identical images have identical predictions."""
    return [_digest(one.tobytes()) for one in probabilities]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


def as_rows(ids: Sequence[str], found: Mapping[str, bytes]) -> npt.NDArray[np.float32]:
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


def count_identical(view: View, found: Mapping[str, bytes], picks: Sequence[str]) -> list[int]:
    """Return for how many images each pick stands: itself and the images that are identical to it.

    Images that are identical to a labelled image belong to that one, and of identical picks, to the first.

    Parameters
    ----------
    view:
        View of the experiment.
    found:
        Digests by id. An image without a digest is like no other.
    picks:
        Ids of the picks.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(ids=["a", "b", "c", "d"], labelled=["d"])
    >>> count_identical(view, {"a": b"1", "b": b"1", "c": b"2", "d": b"2"}, ["a", "c"])
    [2, 1]
    """
    own = set(picks)
    others: dict[bytes, int] = {}  # images that are not picked
    for id in view.ids:
        if id in found and id not in own:
            others[found[id]] = others.get(found[id], 0) + 1
    for id in view.labelled:
        others.pop(found.get(id, b""), None)
    return [1 + (others.pop(found[id], 0) if id in found else 0) for id in picks]
