"""Which side of the hold-out labelled images are on, or will be, as far as a record knows it without the images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def forecast(
    sides: Mapping[str, Collection[str]],
    groups: Mapping[str, Any] | None,
    labelled: Collection[str],
    target: int,
) -> tuple[frozenset[str], int]:
    """Return the images that are, or will be, held out, and how many of the others may be, too.

    An image without a side gets that of its group if the group has one. The others are drawn when the next model is
    trained: at most as many as the target leaves room for, or all of them if there is room for all.

    Parameters
    ----------
    sides:
        Ids of images by side, ``held_out`` and ``trained``.
    groups:
        The recorded group and metadata of each image; None without groups.
    labelled:
        The labelled images.
    target:
        Number of them to hold out.

    Examples
    --------
    >>> groups = {"a": ["p", {}], "b": ["p", {}], "c": ["q", {}], "d": ["q", {}], "e": ["r", {}]}
    >>> held, most = forecast({"held_out": ["a"], "trained": ["c"]}, groups, list("abcde"), 3)
    >>> sorted(held), most
    (['a', 'b', 'e'], 0)
    >>> forecast({"held_out": [], "trained": ["c"]}, None, list("abcde"), 2)
    (frozenset(), 2)
    """
    held, trained = frozenset(sides["held_out"]), frozenset(sides["trained"])
    of = {id: entry[0] for id, entry in (groups or {}).items()}
    of_held = {of.get(id, id) for id in held}
    of_trained = {of.get(id, id) for id in trained} - of_held
    new = [id for id in labelled if id not in held and id not in trained]
    sure = {id for id in new if of.get(id, id) in of_held}
    free = [id for id in new if of.get(id, id) not in of_held | of_trained]
    room = max(0, target - len(sure) - sum(id in held for id in labelled))
    if room >= len(free):
        return held | sure | frozenset(free), 0
    return held | sure, room
