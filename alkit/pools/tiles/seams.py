"""Seams: where neighbouring tiles overlap, their labels should agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from alkit.arguments.checked import checked
from alkit.pools.base import Subset
from alkit.pools.tiles.pool import TilePool, tiles_of
from alkit.values.frames import Box
from alkit.values.label_spec import LabelSpec, Mask


class Disagreement(NamedTuple):
    """Two tiles whose labels differ where they overlap: how many pixels, and of how many that both tiles label."""

    one: str
    other: str
    pixels: int
    shared: int


@checked
def seam_disagreements(pool: TilePool | Subset, masks: Mapping[str, Mask], spec: LabelSpec) -> list[Disagreement]:
    """Return the pairs of tiles whose labels differ where they overlap, the largest share of pixels first.

    Ignored pixels do not count.

    Parameters
    ----------
    pool:
        The tiles.
    masks:
        Masks by id, ``(h, w)``, at the size of the tiles without their margin.
    spec:
        The classes.

    Raises
    ------
    DataError
        `pool` does not consist of tiles, or lacks an id.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> import alkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (12, 8)).save(f"{folder}/a.png")
    ...     pool = alkit.TilePool(folder, tile=8, cache=f"{folder}/cache")
    >>> masks = {"a/y0-x0": np.zeros((8, 8), np.uint8), "a/y0-x4": np.eye(8, dtype=np.uint8)}
    >>> seam_disagreements(pool, masks, alkit.LabelSpec(("skin", "lesion")))
    [Disagreement(one='a/y0-x0', other='a/y0-x4', pixels=4, shared=32)]
    """
    tiles = tiles_of(pool)
    ids = list(masks)
    found = []
    places = dict(zip(ids, tiles.places_of(ids), strict=True))
    for one, other in _neighbours(dict(zip(ids, tiles.parents_of(ids), strict=True)), places):
        (first, second), shared = (places[one], places[other]), _overlap(places[one], places[other])
        a, b = masks[one][_within(shared, first).slices], masks[other][_within(shared, second).slices]
        counts = np.ones(a.shape, bool) if spec.ignore is None else (a != spec.ignore) & (b != spec.ignore)
        if different := int((counts & (a != b)).sum()):
            found.append(Disagreement(one, other, different, int(counts.sum())))
    return sorted(found, key=lambda pair: (-pair.pixels / pair.shared, pair.one, pair.other))


def _neighbours(parents: Mapping[str, str], places: Mapping[str, Box]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of tiles that overlap."""
    of_parent: dict[str, list[str]] = {}
    for id, parent in parents.items():
        of_parent.setdefault(parent, []).append(id)
    for own in of_parent.values():
        own.sort(key=lambda id: places[id])
        for number, one in enumerate(own):
            bottom = places[one].top + places[one].height
            for other in own[number + 1 :]:
                if places[other].top >= bottom:
                    break
                if min(_overlap(places[one], places[other]).size) > 0:
                    yield one, other


def _overlap(one: Box, other: Box) -> Box:
    """Return the rectangle that two rectangles share; a side is 0 or less if they share none."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(one.top + one.height, other.top + other.height)
    right = min(one.left + one.width, other.left + other.width)
    return Box(top, left, bottom - top, right - left)


def _within(box: Box, outer: Box) -> Box:
    """Return a rectangle relative to the corner of another one."""
    return Box(box.top - outer.top, box.left - outer.left, box.height, box.width)
