"""Images of a pool that cannot be used: they are left out and listed, and the others are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from alkit.errors import one_line
from alkit.protocols import ListsUnusable, Pool

FEW = 5
"""Most images that a text lists."""

LONGEST = 300
"""Greatest number of characters of a reason in a text."""


def unusable_images(pool: Pool) -> Mapping[str, str]:
    """Return the reason for each image that a pool has left out, by its id."""
    return pool.unusable if isinstance(pool, ListsUnusable) else {}


def unusable_text(unusable: Mapping[str, str], noun: str = "image") -> str:
    """Return a sentence about images that cannot be used, or about other things with the name `noun`.

    >>> unusable_text({"a": "its file is missing"})
    "1 image cannot be used and is left out: 'a' (its file is missing)"
    """
    one = len(unusable) == 1
    what = f"1 {noun} cannot be used and is" if one else f"{len(unusable)} {noun}s cannot be used and are"
    listed = "; ".join(f"{id!r} ({one_line(reason, LONGEST)})" for id, reason in list(unusable.items())[:FEW])
    return f"{what} left out: {listed}" + (f"; and {len(unusable) - FEW} more" if len(unusable) > FEW else "")


def reason_for(id: str, unusable: Mapping[str, str], default: str) -> str:
    """Return why an image is left out: its own reason, or that of what it is part of, such as its volume.

    >>> reason_for("case7/axial-0003", {"case7": "it is damaged"}, "it is missing")
    'it is damaged'
    """
    part = id
    while part not in unusable and "/" in part:
        part = part.rpartition("/")[0]
    return unusable.get(part, default)


def repaired_in(unusable: Iterable[str], offered: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return those of some unusable images that a pool offers now, and that are not known to a record.

    An image may be what others are part of, such as a volume: then its parts are offered.

    >>> repaired_in(["a", "case7", "b"], ["a", "c", "case7/axial-0000"], ["c"])
    ['a', 'case7']
    """
    waiting, there, found = dict.fromkeys(unusable), set(known), set()
    for id in offered:
        part = id
        while part not in waiting and "/" in part:
            part = part.rpartition("/")[0]
        if part in waiting and id not in there:
            found.add(part)
    return [id for id in waiting if id in found]
