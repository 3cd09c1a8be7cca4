"""Hold out an exact share of the labels, by largest remainder, with near-duplicates on one side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from alkit.experiment.parts import Parts
from alkit.pools.batches import batches
from alkit.protocols import Pool
from alkit.record.changing import SIDES
from alkit.rng import Stream

ALIKE = 0.999
"""Least correlation of the pixels of near-duplicates."""

SIDE = 64
"""Images are compared at this height and width, or less."""


def hold_out(parts: Parts, ids: Sequence[str]) -> tuple[str, ...]:
    """Return those of the labelled images that are held out; draw sides for the new ones, and record them.

    The caller holds the record's lock.
    """
    sides = parts.store.fact(SIDES)
    if parts.terms.hold_out and sides is not None:
        held, trained = set(sides["held_out"]), set(sides["trained"])
        if new := [id for id in ids if id not in held and id not in trained]:
            known = {id: id in held for id in ids if id in held or id in trained}
            target = parts.terms.count_held_out(len(ids))
            drawn = draw_sides(parts.pool, known, new, target, parts.stream)
            held |= drawn
            trained |= set(new) - drawn
            now = {"held_out": sorted(held), "trained": sorted(trained)}
            parts.store.revise(SIDES, lambda before: now)
    held_out = parts.settings.held_out(ids)
    return tuple(id for id in ids if held_out(id))


def draw_sides(pool: Pool, known: Mapping[str, bool], new: Sequence[str], target: int, stream: Stream) -> set[str]:
    """Return those of some new images that are held out.

    A near-duplicate of a known image has its side, and near-duplicates among the new ones have one side. Others are
    drawn.

    Parameters
    ----------
    known:
        By id whether an image is held out, of the images that have a side already.
    new:
        Ids of the images that have none.
    target:
        Number of held-out images among all. Only near-duplicates, which stay together, can make it another one.
    stream:
        The experiment's root stream.
    """
    groups, sides = group_duplicates(pool, list(known), sorted(new))
    held: set[str] = set()
    for group, like in zip(groups, sides, strict=True):
        if like is not None and known[like]:
            held |= set(group)
    room = target - sum(known.values()) - len(held)
    free = [group for group, like in zip(groups, sides, strict=True) if like is None]
    for group in sorted(free, key=lambda group: float(stream.child("hold-out", group[0]).numpy().random())):
        if len(group) <= room:
            held |= set(group)
            room -= len(group)
    return held


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
