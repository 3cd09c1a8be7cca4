"""The slices of volumes as pixels: windowed, resized, and stored with 16 bits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from PIL import Image

from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError
from alkit.pools.decoding import File, Pixels
from alkit.pools.fitting import check_size_for_fit
from alkit.pools.sizes import check_size
from alkit.pools.sources import file_name, item_name
from alkit.pools.volumes.blocks import Block, blocks, cut, percentiles
from alkit.pools.volumes.geometry import Axis, Plane, check_axis, plane_of, slice_index, slice_name
from alkit.pools.volumes.scanning import Volume
from alkit.values.frames import Box, Fit, Frame
from alkit.values.label_spec import Size

LAYOUT = 1
"""Version of the way in which slices become pixels. It is part of the name of the folder of a cache."""

DEEPEST = 65535
"""Stored value of the upper end of the window."""

Range = tuple[float, float]


class Cutting(NamedTuple):
    """How volumes are cut and read: the parameters of :class:`alkit.VolumePool` with the same names."""

    axis: Axis | int
    window: Range | None
    percentiles: Range
    size: Size | None
    fit: Fit
    spacing: float | None
    context: int


def check_cutting(given: Mapping[str, Any]) -> Cutting:
    """Return how volumes are cut, from parameters of :class:`alkit.VolumePool`; a record may come from a stranger.

    Raises
    ------
    ConfigurationError
        A parameter is wrong.
    """
    check_axis(given["axis"])
    window = None if given["window"] is None else _ascending("window", given["window"])
    percentiles = _ascending("percentiles", given["percentiles"])
    if not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise ConfigurationError("percentiles must be in [0, 100]", got=percentiles)
    size, fit, spacing = check_size(given["size"]), given["fit"], given["spacing"]
    check_size_for_fit(size, fit)
    if spacing is not None:
        spacing = check_number("spacing", spacing, least=0, open_ends="(")
        if fit != "pad" or size is None:
            raise ConfigurationError("spacing needs fit='pad' and a size", got=f"fit={fit!r}, size={size}")
    context = check_integer("context", given["context"], least=0, most=100)
    return Cutting(given["axis"], window, percentiles, size, cast(Fit, fit), spacing, context)


def _ascending(name: str, pair: object) -> Range:
    wrong = ConfigurationError(f"{name} must be two finite numbers, the lower first", got=repr(pair))
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise wrong
    low, high = (check_number(name, value) for value in pair)
    if not low < high:
        raise wrong
    return low, high


@dataclass(frozen=True)
class Slices:
    """Source of the slices of volumes, see :mod:`alkit.pools.sources`; what it gives is what `VolumePool` reads.

    Parameters
    ----------
    folder:
        Folder of the volumes.
    choice:
        Pattern and templates of file names, which are a part of the key.
    cutting:
        How volumes are cut. The context is left to the pool.
    volumes:
        The volumes by id.
    """

    folder: Path
    choice: tuple[str, ...]
    cutting: Cutting
    volumes: Mapping[str, Volume] = field(repr=False)

    is_parallel = False

    @property
    def key(self) -> str:
        """The layout and all fields but the volumes."""
        place, own = os.fspath(self.folder.resolve()), self.cutting
        ends = own.percentiles if own.window is None else None
        return repr(("volumes", LAYOUT, place, self.choice, own.axis, own.window, ends, own.size, own.fit, own.spacing))

    def items(self, file: File) -> Iterator[tuple[str, Pixels, Size]]:
        """Yield the slices of a volume, in the order in which they lie in the file."""
        volume = self.volumes[file.name]
        plane, ranges = self.plane(volume), self._ranges(volume)
        frame = self.frame(volume)
        for start, block in blocks(volume, plane):
            for place, values in enumerate(block, start=start):
                name = slice_name(plane, plane.number(place, volume.geometry))
                yield item_name(volume.id, name), _pixels(values, ranges, frame), frame.original

    def item(self, name: str) -> tuple[Pixels, Size]:
        """Return one slice."""
        volume, frame = self.volumes[file_name(name)], self.frame(self.volumes[file_name(name)])
        return _pixels(self.values(name), self._ranges(volume), frame), frame.original

    def values(self, name: str) -> Block:
        """Return the values of one slice at its original size, ``(c, h, w)``."""
        volume = self.volumes[file_name(name)]
        plane = self.plane(volume)
        (values,) = cut(volume, plane, plane.number(slice_index(name), volume.geometry), 1)
        found: Block = values
        return found

    def picture(self, name: str) -> Pixels:
        """Return one slice at its original size, windowed, ``(c, h, w)``, float32 in [0, 1]."""
        return _windowed(self.values(name), self._ranges(self.volumes[file_name(name)]))

    def path(self, name: str) -> Path:
        """Return the path of the first file of a volume."""
        return self.volumes[file_name(name)].parts[0].paths[0]

    def check(self, name: str, pixels: Pixels) -> None:
        """Refuse nothing: all slices have 16 bits."""

    def plane(self, volume: Volume) -> Plane:
        """Return how the slices of a volume are cut."""
        return plane_of(volume.geometry, self.cutting.axis, str(volume.parts[0].paths[0]))

    def frame(self, volume: Volume) -> Frame:
        """Return how the slices of a volume lie in the working size; with padding, their proportions in millimetres."""
        plane = self.plane(volume)
        original = plane.size(volume.geometry)
        size = self.cutting.size
        if size is None:
            return Frame(original, original)
        if self.cutting.fit == "squash":
            return Frame(original, size)
        high, wide = plane.spacing(volume.geometry)
        if self.cutting.fit == "crop":
            return Frame(original, size, "crop", part=_middle(original, size, high / wide))
        unit = self.cutting.spacing or min(high, wide)
        real = max(1, round(original[0] * high / unit)), max(1, round(original[1] * wide / unit))
        return Frame(original, size, "pad", Frame(real, size, "pad").content)

    def _ranges(self, volume: Volume) -> Sequence[Range]:
        if self.cutting.window is not None:
            return [self.cutting.window] * volume.channels
        return [(low, high) for low, high in percentiles(volume, self.cutting.percentiles)]


def _middle(original: Size, working: Size, tall: float) -> Box:
    """Return the largest rectangle in the middle of a slice that has the proportions of a size, in millimetres.

    Parameters
    ----------
    original, working:
        The two sizes.
    tall:
        Height of a pixel divided by its width.

    Examples
    --------
    >>> _middle((20, 60), (32, 32), 3.0), _middle((20, 60), (32, 32), 1.0)
    (Box(top=0, left=0, height=20, width=60), Box(top=0, left=20, height=20, width=20))
    """
    (height, width), (high, wide) = original, working
    rows = min(height, max(1, round(width * high / (wide * tall))))
    columns = min(width, max(1, round(height * tall * wide / high)))
    if rows < height:
        return Box((height - rows) // 2, 0, rows, width)
    return Box(0, (width - columns) // 2, height, columns)


def _windowed(values: Block, ranges: Sequence[Range]) -> Pixels:
    """Return values ``(c, h, w)`` with the window of each channel mapped to [0, 1]; a constant channel becomes 0."""
    low, high = (np.array([pair[end] for pair in ranges], np.float32)[:, None, None] for end in (0, 1))
    span = np.where(high > low, high - low, 1)
    shown: Pixels = np.clip((values - low) / span, 0, 1)
    return shown


def _pixels(values: Block, ranges: Sequence[Range], frame: Frame) -> Pixels:
    """Return a slice at the working size, ``(c, h, w)``, uint16. What lies outside the slice mirrors it."""
    shown, box = _windowed(values[(..., *frame.source.slices)], ranges), frame.content
    if box.size != frame.source.size:
        resized = [
            np.asarray(Image.fromarray(channel).resize(box.size[::-1], Image.Resampling.BICUBIC)) for channel in shown
        ]
        shown = np.stack(resized).clip(0, 1)
    if not frame.fills:
        (height, width), working = box.size, frame.working
        margins = (box.top, working[0] - height - box.top), (box.left, working[1] - width - box.left)
        shown = np.pad(shown, ((0, 0), *margins), mode="symmetric")
    pixels: Pixels = np.rint(shown * DEEPEST).astype("<u2")
    return pixels
