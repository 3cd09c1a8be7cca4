"""Hold out an exact share of the labels, by largest remainder, with groups and near-duplicates on one side."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from alkit.experiment.parts import Parts, next_round
from alkit.pools.batches import batches
from alkit.protocols import Pool
from alkit.record.changing import SIDES
from alkit.rng import Stream

ALIKE = 0.999
"""Least correlation of the pixels of near-duplicates."""

SIDE = 64
"""Images are compared at this height and width, or less."""


def hold_out(parts: Parts, ids: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Return those of the labelled images that are held out; draw sides for the new ones, and record them.

    The caller holds the record's lock.

    Parameters
    ----------
    ids:
        The labelled images.
    notes:
        Gets a sentence if near-duplicates are on both sides.
    """
    sides = parts.store.fact(SIDES)
    if parts.terms.hold_out and sides is not None:
        held, trained = set(sides["held_out"]), set(sides["trained"])
        if new := [id for id in ids if id not in held and id not in trained]:
            known = {id: id in held for id in ids if id in held or id in trained}
            target = parts.terms.count_held_out(len(ids))
            groups, decided = _groups(parts, new, held, trained)
            drawn = draw_sides(parts.pool, known, new, target, parts.stream, groups, decided, notes)
            held |= drawn
            trained |= set(new) - drawn
            now = {"held_out": sorted(held), "trained": sorted(trained)}
            parts.store.revise(SIDES, lambda before: now)
    held_out = parts.settings.held_out(ids)
    return tuple(id for id in ids if held_out(id))


def beside_held_out(parts: Parts, ids: Sequence[str]) -> set[str]:
    """Return those images, which were not drawn, that may not be trained on: a group or a duplicate is held out."""
    sides = parts.store.fact(SIDES)
    if not ids or sides is None or not sides["held_out"]:
        return set()
    held = [id for id in sides["held_out"] if id in parts.representations.known_ids]
    of_held = set(parts.groups_of(sides["held_out"]))
    units, like = group_duplicates(parts.pool, held, ids)
    alike = {id for unit, known in zip(units, like, strict=True) if known is not None for id in unit}
    return alike | {id for id, group in zip(ids, parts.groups_of(ids), strict=True) if group in of_held}


def _groups(
    parts: Parts, new: Sequence[str], held: Collection[str], trained: Collection[str]
) -> tuple[dict[str, str], dict[str, bool]]:
    """Return the groups of new images, and by group whether it is held out, of those that have a side already.

    A group of which a model was trained on a pseudo-label is one that is trained on.
    """
    if not parts.has_groups():
        return {}, {}
    before = range(next_round(parts.store.rounds()))
    pseudo = [id for number in before for id in parts.store.pseudo_labels(number)]
    decided = dict.fromkeys(parts.groups_of(sorted(held)), True)
    for group in parts.groups_of([*sorted(trained), *pseudo]):
        decided.setdefault(group, False)
    return dict(zip(new, parts.groups_of(new), strict=True)), decided


def draw_sides(
    pool: Pool,
    known: Mapping[str, bool],
    new: Sequence[str],
    target: int,
    stream: Stream,
    groups: Mapping[str, str] | None = None,
    decided: Mapping[str, bool] | None = None,
    notes: list[str] | None = None,
) -> set[str]:
    """Return those of some new images that are held out.

    An image has the side of its group, if that has one. Otherwise a near-duplicate of a known image has its side.
    Images of one group, and near-duplicates, have one side. The others are drawn.

    Parameters
    ----------
    known:
        By id whether an image is held out, of the images that have a side already.
    new:
        Ids of the images that have none.
    target:
        Number of held-out images among all. Only images that stay together can make it another one.
    stream:
        The experiment's root stream.
    groups:
        Groups of the new images; an image without one is its own group.
    decided:
        By group whether it is held out, of the groups that have a side already.
    notes:
        Gets a sentence if near-duplicates are on both sides, because their groups are.
    """
    groups, decided = groups or {}, decided or {}
    duplicates, nearest = group_duplicates(pool, list(known), sorted(new))
    sides = {id: decided[group] for id in new if (group := groups.get(id, id)) in decided}
    alike: dict[str, bool] = {}  # sides of near-duplicates
    for some, like in zip(duplicates, nearest, strict=True):
        if (side := next((sides[id] for id in some if id in sides), None) if like is None else known[like]) is not None:
            alike.update(dict.fromkeys(some, side))
    free: list[tuple[str, ...]] = []
    for unit in together(duplicates, groups, frozenset(sides)):
        if (like := next((id for id in unit if id in alike), None)) is None:
            free.append(unit)
        else:
            sides.update(dict.fromkeys(unit, alike[like]))
    room = target - sum(known.values()) - sum(sides.values())
    for unit in sorted(free, key=lambda unit: float(stream.child("hold-out", unit[0]).numpy().random())):
        sides.update(dict.fromkeys(unit, len(unit) <= room))
        room -= len(unit) if sides[unit[0]] else 0
    if notes is not None:
        notes += _straddling(duplicates, nearest, {**known, **sides})
    return {id for id, held in sides.items() if held}


def together(
    duplicates: Sequence[Sequence[str]], groups: Mapping[str, str], decided: Collection[str]
) -> list[tuple[str, ...]]:
    """Return the images without a side in units of groups and near-duplicates, each sorted.

    >>> together([("a", "b"), ("c",), ("d",)], {"b": "p", "d": "p"}, [])
    [('a', 'b', 'd'), ('c',)]
    """
    units: dict[str, list[str]] = {}  # the unit of each image, one list for all of its images
    latest: dict[str, str] = {}  # an image of each group
    for alike in duplicates:
        left = [id for id in alike if id not in decided]
        for id in left:
            units[id] = [id]
            for other in (left[0], latest.setdefault(groups.get(id, id), id)):
                if units[other] is not units[id]:
                    joined = [*units[other], *units[id]]
                    units.update(dict.fromkeys(joined, joined))
    return list(dict.fromkeys(tuple(sorted(unit)) for unit in units.values()))


def _straddling(
    duplicates: Sequence[Sequence[str]], nearest: Sequence[str | None], sides: Mapping[str, bool]
) -> Iterator[str]:
    """Yield a sentence if near-duplicates are on both sides."""
    found = []
    for alike, like in zip(duplicates, nearest, strict=True):
        everything = [*alike, *([] if like is None else [like])]
        held = [id for id in everything if sides[id]]
        trained = [id for id in everything if not sides[id]]
        if held and trained:
            found.append((held[0], trained[0]))
    if found:
        held_out, other = found[0]
        yield (
            f"{len(found)} of the images that are held out are nearly identical to images of other groups that are "
            f"trained on, such as {held_out!r} and {other!r}: the groups may be wrong."
        )


def group_duplicates(
    pool: Pool, known: Sequence[str], new: Sequence[str]
) -> tuple[list[tuple[str, ...]], list[str | None]]:
    """Return the new images in groups of near-duplicates, and for each group the known image that is most like it.

    Two images are near-duplicates if the correlation of their pixels is at least :data:`ALIKE`, at most :data:`SIDE`
    pixels high and wide.
    """
    rows = np.concatenate([part for _, part in _rows(pool, new)])
    group = np.arange(len(new))
    for row, own in enumerate(rows):
        for other in np.flatnonzero(rows[:row] @ own >= ALIKE).tolist():
            group[group == group[other]] = group[row]
    like: list[str | None] = [None] * len(new)
    best = np.full(len(new), ALIKE, np.float32)
    for ids, part in _rows(pool, known):
        alike = rows @ part.T
        nearest, most = alike.argmax(axis=1), alike.max(axis=1)
        for row in np.flatnonzero(most >= best).tolist():
            best[row], like[row] = most[row], ids[nearest[row]]
    found: list[tuple[str, ...]] = []
    sides: list[str | None] = []
    for number in dict.fromkeys(group.tolist()):
        members = [row for row in range(len(new)) if group[row] == number]
        found.append(tuple(new[row] for row in members))
        nearest_known = max((row for row in members if like[row]), key=lambda row: float(best[row]), default=members[0])
        sides.append(like[nearest_known])
    return found, sides


def near_duplicates(pool: Pool, ids: Sequence[str], other: Pool, others: Sequence[str]) -> list[tuple[str, str]]:
    """Return the images of a pool that are near-duplicates of images of another pool, each with the most similar one.

    Images of different sizes are not compared.
    """
    rows = np.concatenate([part for _, part in _rows(pool, ids)])
    best, like = np.full(len(ids), ALIKE, np.float32), dict[int, str]()
    for some, part in _rows(other, others):
        if part.shape[1] != rows.shape[1]:
            return []
        found = rows @ part.T
        nearest, most = found.argmax(axis=1), found.max(axis=1)
        for row in np.flatnonzero(most >= best).tolist():
            best[row], like[row] = most[row], some[nearest[row]]
    return [(ids[row], like[row]) for row in sorted(like)]


def _rows(pool: Pool, ids: Sequence[str]) -> Iterator[tuple[Sequence[str], npt.NDArray[np.float32]]]:
    """Yield rows whose products are correlations; an image of one colour has none, and a row of zeros."""
    for some in batches(list(ids), pool) if ids else ():
        small = _reduced(pool.read(some)).reshape(len(some), -1)
        centred = small - small.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        flat = lengths < 1e-6 * np.sqrt(small.shape[1])
        yield some, np.where(flat, 0, centred / np.where(flat, 1, lengths)).astype(np.float32)


def _reduced(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return images of at most :data:`SIDE` pixels on each side, by means over blocks of pixels."""
    for axis in (2, 3):
        length = images.shape[axis]
        if length > SIDE:
            starts = (np.arange(SIDE) * length) // SIDE
            counts = np.diff([*starts, length]).astype(np.float32)
            counts = counts[:, None] if axis == 2 else counts
            images = (np.add.reduceat(images, starts, axis=axis) / counts).astype(np.float32)
    return images
