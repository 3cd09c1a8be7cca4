"""Cut volumes into slices: in blocks that need little memory, whatever the size of the volume and the axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import ImageError
from alkit.pools.volumes.geometry import Plane
from alkit.pools.volumes.nifti import NiftiFile, OpenFiles
from alkit.pools.volumes.parts import Part, Plane2D
from alkit.pools.volumes.scanning import Volume

ALONG, ACROSS = 2**25, 2**28
"""Bytes of a block: of slices that lie in the file one after another, and of others, which all planes are read for."""

SAMPLED = 2**22
"""Greatest number of voxels that percentiles are computed from."""

PLANES = 64
"""Greatest number of planes that these voxels are taken from."""

Block = npt.NDArray[np.float32]
"""Values of slices ``(n, c, h, w)``."""


def blocks(volume: Volume, plane: Plane) -> Iterator[tuple[int, Block]]:
    """Yield all slices of a volume in blocks, each with the position of its first slice along the axis of the array.

    Raises
    ------
    ImageError
        The volume cannot be read, or has values that are not finite.
    """
    height, width = plane.size(volume.geometry)
    most = ALONG if plane.axis == 2 else ACROSS
    at_once, count = max(1, most // (4 * volume.channels * height * width)), plane.count(volume.geometry)
    with OpenFiles() as files:
        for start in range(0, count, at_once):
            yield start, cut(volume, plane, start, min(at_once, count - start), files)


def cut(volume: Volume, plane: Plane, start: int, count: int, files: OpenFiles | None = None) -> Block:
    """Return `count` slices from position `start` along the axis of the array; raises the errors of :func:`blocks`.

    The `files` are those that stay open for further blocks; None to close them.
    """
    if files is None:
        with OpenFiles() as opened:
            return cut(volume, plane, start, count, opened)
    others = [side for axis, side in enumerate(volume.geometry.shape) if axis != plane.axis]
    block: Block = np.empty((count, volume.channels, *others), np.float32)
    chosen = slice(start, start + count)
    numbers = range(volume.geometry.shape[2])[chosen] if plane.axis == 2 else range(volume.geometry.shape[2])
    for channel, (part, own) in enumerate(_channels(volume)):
        for number, values in zip(numbers, _planes(part, own, numbers, files), strict=True):
            if not np.isfinite(values).all():
                raise ImageError(
                    f"{part.paths[0]} has values that are not finite (NaN or infinite)",
                    got=f"in plane {number} of its third axis",
                    hint="replace them by the value of the background",
                )
            if plane.axis == 2:
                block[number - start, channel] = values
            elif plane.axis == 1:
                block[:, channel, :, number] = values[:, chosen].T
            else:
                block[:, channel, :, number] = values[chosen]
    return plane.turn(block)


def percentiles(volume: Volume, wanted: Sequence[float]) -> list[tuple[float, ...]]:
    """Return percentiles of each channel, of all voxels or of at most about four million that are evenly spaced."""
    first, second, third = volume.geometry.shape
    numbers = np.unique(np.linspace(0, third - 1, min(third, PLANES)).round().astype(int)).tolist()
    step = max(1, int(np.ceil(np.sqrt(first * second * len(numbers) / SAMPLED))))
    with OpenFiles() as files:
        return [_percentiles(part, own, numbers, step, wanted, files) for part, own in _channels(volume)]


def _percentiles(
    part: Part, own: int, numbers: Sequence[int], step: int, wanted: Sequence[float], files: OpenFiles
) -> tuple[float, ...]:
    """Return percentiles of every `step`-th value of some planes of a channel."""
    found = _planes(part, own, numbers, files)
    values = np.concatenate([plane[::step, ::step].ravel() for plane in found])
    if not np.isfinite(values).all():
        raise ImageError(
            f"{part.paths[0]} has values that are not finite (NaN or infinite)",
            hint="replace them by the value of the background",
        )
    return tuple(map(float, np.percentile(values, wanted)))


def _planes(part: Part, own: int, numbers: Sequence[int], files: OpenFiles) -> Iterator[Plane2D]:
    """Return planes of a channel, from a file that may be open."""
    return part.planes(own, numbers, files) if isinstance(part, NiftiFile) else part.planes(own, numbers)


def _channels(volume: Volume) -> Iterator[tuple[Any, int]]:
    for part in volume.parts:
        for own in range(part.channels):
            yield part, own
