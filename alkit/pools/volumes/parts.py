"""What a volume consists of: one or several parts, each a file or a series of files with one or several channels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alkit._reading.limits import check_pixels
from alkit.errors import ImageError, MissingDependencyError
from alkit.pools.decoding import File
from alkit.pools.volumes.geometry import Geometry

Plane2D = npt.NDArray[np.float32]
"""Values of a plane of voxels ``(i, j)``, in the units of the file."""

MOST_SLICES = 2**16
"""Greatest number of voxels along an axis."""

MOST_CHANNELS = 1000
"""Greatest number of channels of a volume."""


class Part(Protocol):
    """A file, or a series of files, whose header was read. It is picklable, and opened whenever voxels are read."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""

    @property
    def geometry(self) -> Geometry:
        """The shape and the place in the patient."""

    @property
    def channels(self) -> int:
        """Number of values of a voxel."""

    def planes(self, channel: int, numbers: Sequence[int]) -> Iterator[Plane2D]:
        """Yield planes across the third axis of the array, in the order of `numbers`, which ascend.

        Raises
        ------
        ImageError
            The file is damaged, or has changed since its header was read.
        """


def check_shape(shape: Sequence[int], channels: int, name: str) -> None:
    """Check the shape of a volume before memory is used for it.

    Raises
    ------
    ImageError
        A side is not positive or too long, a slice has more pixels than this machine allows, or there are too many
        channels.
    """
    if min(shape) < 1 or max(shape) > MOST_SLICES:
        raise ImageError(f"{name} must have 1 to {MOST_SLICES} voxels along each axis", got=tuple(map(int, shape)))
    _, *longest = sorted(map(int, shape))
    check_pixels((longest[0], longest[1]), f"a slice of {name}", ImageError)
    if not 1 <= channels <= MOST_CHANNELS:
        raise ImageError(f"{name} must have 1 to {MOST_CHANNELS} channels", got=channels)


def reading_library(module: str, extra: str, what: str) -> Any:
    """Import a library that reads volumes.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as reason:
        raise MissingDependencyError(
            f"{what} need {module.partition('.')[0]}, which cannot be imported ({reason})",
            hint=f'pip install "alkit[{extra}]"',
        ) from reason


Facts = tuple[int, int]
"""Size of a file in bytes, and the time of its last modification, when its header was read."""


def facts_of(found: os.stat_result) -> Facts:
    """Return these facts of a file."""
    return found.st_size, found.st_mtime_ns


def has_changed(path: Path) -> ImageError:
    """Return the error for a file with other facts: its voxels are not those that a pool has read."""
    return ImageError(f"{path} has changed since its header was read", hint="open it again")


def joined_facts(name: str, files: Sequence[File]) -> File:
    """Return the facts of the files of a volume as those of one file, which differ if those of any file do."""
    if len(files) == 1:
        return File(name, *files[0][1:])
    digest = hashlib.sha256(repr(sorted(files)).encode("utf-8", "surrogateescape")).digest()
    return File(
        name,
        sum(file.bytes for file in files),
        int.from_bytes(digest[:7], "big"),
        max(file.changed for file in files),
    )
