"""Draw a test set of whole groups, as close to the wanted size as groups allow."""

from __future__ import annotations

from collections.abc import Sequence

from alkit.rng import Stream


def draw_groups(ids: Sequence[str], groups: Sequence[str], wanted: int, stream: Stream) -> list[str]:
    """Return the images of some groups, drawn at random, of which there are `wanted` or as close to it as possible.

    Groups come in the order of a permutation, and each is drawn if the rest can still be filled. If two numbers are
    equally close, it is the smaller. The result depends on the ids, on which of them are in one group, and on the
    stream. At least one group is drawn and one is left; there must be two.

    >>> draw_groups(["a", "b", "c", "d", "e"], ["p", "q", "p", "q", "r"], 2, Stream(0))
    ['b', 'd']
    """
    members: dict[str, list[str]] = {}
    for id, group in sorted(zip(ids, groups, strict=True)):
        members.setdefault(group, []).append(id)
    units = list(members.values())  # in the order of their first ids
    units = [units[place] for place in stream.numpy().permutation(len(units))]
    # Bit s of reachable[i] says whether s images can be filled by units i and later.
    within = (1 << min(len(ids), wanted + max(map(len, units)) + 1)) - 1
    reachable = [1]
    for unit in reversed(units):
        reachable.append((reachable[-1] | reachable[-1] << len(unit)) & within)
    reachable.reverse()
    room = min(
        (size for size in range(1, len(ids)) if reachable[0] >> size & 1), key=lambda size: (abs(size - wanted), size)
    )
    drawn: list[str] = []
    for unit, rest in zip(units, reachable[1:], strict=True):
        if len(unit) <= room and rest >> (room - len(unit)) & 1:
            drawn += unit
            room -= len(unit)
    return drawn
