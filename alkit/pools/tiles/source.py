"""The tiles of large images as pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alkit.errors import ImageError
from alkit.pools.decoding import File, Pixels
from alkit.pools.sources import BETWEEN, file_name, item_name
from alkit.pools.tiles.grid import boxes, corner, tile_name, with_surroundings
from alkit.pools.tiles.large import LargeImage, open_large
from alkit.pools.tiles.overview import Foreground, foreground_of, overview_of
from alkit.values.frames import Box
from alkit.values.label_spec import Size

LAYOUT = 3
"""Version of the way in which tiles become pixels. It is part of the name of the folder of a cache."""

CLOSE = 0.25
"""Greatest relative difference between the size of a level's pixels and the one asked for."""


@dataclass(frozen=True)
class Tiles:
    """Source of the tiles of large images, see :mod:`alkit.pools.sources`; the fields are those of `TilePool`."""

    folder: Path
    pattern: str
    tile: Size
    stride: Size
    margin: int
    level: int
    mpp: float | None
    grayscale: bool
    foreground: Foreground
    least: float
    exclude: tuple[str, ...] = ()

    is_parallel = False

    @property
    def key(self) -> str:
        """The layout and all fields; `exclude` only if it is given, because earlier caches have none."""
        place = os.fspath(self.folder.resolve())
        cut = self.tile, self.stride, self.margin, self.level, self.mpp
        kept = self.grayscale, self.foreground, self.least
        return repr(("tiles", LAYOUT, place, self.pattern, cut, *kept, *self.exclude))

    def items(self, file: File) -> Iterator[tuple[str, Pixels, Size]]:
        """Yield the tiles of an image with enough foreground, row by row."""
        path = self.folder / file.name
        with open_large(path, self.grayscale) as large:
            level = self.level_of(large, path)
            for box in self.kept(large, level, path):
                yield item_name(file.name, tile_name(box)), self._pixels(large, level, box), box.size

    def item(self, name: str) -> tuple[Pixels, Size]:
        """Return one tile."""
        with open_large(self.path(name), self.grayscale) as large:
            level = self.level_of(large, self.path(name))
            box = self.box(name, large.levels[level])
            return self._pixels(large, level, box), box.size

    def path(self, name: str) -> Path:
        """Return the path of the image of a tile."""
        return self.folder / file_name(name)

    def check(self, name: str, pixels: Pixels) -> None:
        """Refuse nothing: other pixels are refused when an image is opened."""

    def box(self, name: str, image: Size) -> Box:
        """Return the place of a tile in an image of some size."""
        return Box(*corner(name.partition(BETWEEN)[2]), min(image[0], self.tile[0]), min(image[1], self.tile[1]))

    def level_of(self, large: LargeImage, path: Path) -> int:
        """Return the level that tiles are cut from.

        Raises
        ------
        ImageError
            The image does not have it.
        """
        if self.mpp is None:
            if self.level >= len(large.levels):
                raise ImageError(f"{path} has no level {self.level}", got=f"{len(large.levels)} levels")
            return self.level
        if large.mpp is None:
            raise ImageError(f"{path} does not say how large its pixels are", hint="level=0 in place of mpp")
        known = [large.mpp * large.levels[0][1] / width for _, width in large.levels]
        best = min(range(len(known)), key=lambda number: abs(known[number] - float(self.mpp or 0)))
        if abs(known[best] - self.mpp) > CLOSE * self.mpp:
            shown = ", ".join(f"{one:.3g}" for one in known)
            raise ImageError(f"{path} has no level of {self.mpp:g} micrometres per pixel", got=shown)
        return best

    def kept(self, large: LargeImage, level: int, path: Path) -> list[Box]:
        """Return the tiles with enough foreground.

        Raises
        ------
        ImageError
            There is none.
        """
        every = boxes(large.levels[level], self.tile, self.stride)
        if self.foreground == "all":
            return list(every)
        overview = overview_of(large, level)
        shown = foreground_of(overview, self.foreground)
        kept = [box for box in every if shown[overview.place(box).slices].mean() >= self.least]
        if not kept:
            raise ImageError(f"{path} has no tile with enough foreground", hint="foreground='all', or a smaller least=")
        return kept

    def _pixels(self, large: LargeImage, level: int, box: Box) -> Pixels:
        return large.region(level, with_surroundings(box, self.tile, self.margin))
