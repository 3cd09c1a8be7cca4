"""Images of a pool that cannot be used: they are left out and listed, and the others are used."""

from __future__ import annotations

from collections.abc import Mapping

from alkit.errors import one_line
from alkit.protocols import ListsUnusable, Pool

FEW = 5
"""Most images that a text lists."""

LONGEST = 300
"""Greatest number of characters of a reason in a text."""


def unusable_images(pool: Pool) -> Mapping[str, str]:
    """Return the reason for each image that a pool has left out, by its id."""
    return pool.unusable if isinstance(pool, ListsUnusable) else {}


def unusable_text(unusable: Mapping[str, str]) -> str:
    """Return a sentence about images that cannot be used.

    >>> unusable_text({"a": "its file is missing"})
    "1 image cannot be used and is left out: 'a' (its file is missing)"
    """
    what = "1 image cannot be used and is" if len(unusable) == 1 else f"{len(unusable)} images cannot be used and are"
    listed = "; ".join(f"{id!r} ({one_line(reason, LONGEST)})" for id, reason in list(unusable.items())[:FEW])
    return f"{what} left out: {listed}" + (f"; and {len(unusable) - FEW} more" if len(unusable) > FEW else "")
