"""NIfTI files: ``.nii`` and ``.nii.gz``. Planes are read one by one, so a file may be larger than memory.

nibabel interprets the header. The header is read by alkit, because nibabel reads extensions of any size with it.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from alkit.errors import ImageError
from alkit.pools.volumes.geometry import Geometry, make_geometry
from alkit.pools.volumes.parts import Facts, Plane2D, check_shape, facts_of, has_changed, reading_library

SUFFIXES = (".nii.gz", ".nii")

SIZES = {348: "Nifti1Header", 540: "Nifti2Header"}
"""Classes of nibabel by the size of the header."""

SINGLE = (b"n+1\0", b"n+2\0")
"""Marks of files that contain header and voxels."""

MOST_DEFLATED = 1032
"""No byte of a gzip file becomes more bytes than this."""

MOST_BEHIND, CHUNK = 2**24, 2**20
"""Greatest number of bytes behind the voxels, and the number of bytes that is read at once."""

UNITS = {1: 1e3, 2: 1.0, 3: 1e-3}
"""By the code of a unit of length in a header: its millimetres. Other codes state none."""

DAMAGE = (OSError, EOFError, zlib.error, ValueError)
"""Errors that damaged files raise; gzip's are OSErrors."""


@dataclass(frozen=True)
class NiftiFile:
    """A NIfTI file. A fourth axis of its array holds channels.

    Parameters
    ----------
    path:
        The file.
    geometry, channels:
        See :class:`~alkit.pools.volumes.parts.Part`.
    dtype:
        Type of the stored values, by its text in NumPy.
    offset:
        Position of the first value in the file, in bytes.
    scale:
        Slope and intercept, which turn stored values into values.
    facts:
        Its facts, see :data:`~alkit.pools.volumes.parts.Facts`.
    """

    path: Path
    geometry: Geometry
    channels: int
    dtype: str
    offset: int
    scale: tuple[float, float]
    facts: Facts

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def planes(self, channel: int, numbers: Sequence[int], files: OpenFiles | None = None) -> Iterator[Plane2D]:
        """Yield planes; see :class:`~alkit.pools.volumes.parts.Part`. The file may be one of `files` that are open."""
        width, height, count = self.geometry.shape
        size = width * height * np.dtype(self.dtype).itemsize
        slope, intercept = self.scale
        try:
            with files.opened(self.path) if files is not None else open_file(self.path) as file:
                if facts_of(os.fstat(file.fileno())) != self.facts:
                    raise has_changed(self.path)
                for number in numbers:
                    file.seek(self.offset + (channel * count + number) * size)
                    content = file.read(size)
                    if len(content) != size:
                        raise EOFError(f"it ends in plane {number} of {count}")
                    plane = np.frombuffer(content, self.dtype).reshape(height, width).T
                    yield (plane.astype(np.float64) * slope + intercept).astype(np.float32)
                is_whole = len(numbers) > 0 and (channel, numbers[-1]) == (self.channels - 1, count - 1)
                if is_whole and isinstance(file, gzip.GzipFile):
                    _check_end(file)
        except DAMAGE as reason:
            raise damaged(self.path, reason) from reason

    def check(self) -> None:
        """Read a compressed file to its end, where its checksum is: blocks of it may be read before.

        Raises
        ------
        ImageError
            The checksum is wrong, or the file is cut off.
        """
        try:
            with open_file(self.path) as file:
                if isinstance(file, gzip.GzipFile):
                    voxels = int(np.prod([*self.geometry.shape, self.channels], dtype=object))
                    file.seek(self.offset + voxels * np.dtype(self.dtype).itemsize)
                    _check_end(file)
        except DAMAGE as reason:
            raise damaged(self.path, reason) from reason


class OpenFiles(AbstractContextManager["OpenFiles"]):
    """Files that stay open for several readings: a compressed one is unpacked from its beginning whenever it is opened.

    They are closed at the end of a ``with`` block.
    """

    def __init__(self) -> None:
        self._files: dict[Path, BinaryIO] = {}

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def opened(self, path: Path) -> AbstractContextManager[BinaryIO]:
        """Return an open file, which stays open after the block."""
        if path not in self._files:
            self._files[path] = open_file(path)
        return nullcontext(self._files[path])


def open_nifti(path: Path) -> NiftiFile:
    """Read the header of a NIfTI file.

    Raises
    ------
    ImageError
        The file is damaged or cut off, is one of a pair of files, has colours or complex values, has too many voxels,
        or an affine that does not span a volume.
    MissingDependencyError
        nibabel is not installed.
    """
    try:
        facts = facts_of(os.stat(path))
    except OSError as reason:
        raise damaged(path, reason) from reason
    header = read_header(path)
    try:
        return _interpreted(path, header, facts)
    except (*DAMAGE, OverflowError, _nibabel().spatialimages.HeaderDataError) as reason:
        raise damaged(path, reason) from reason


def _interpreted(path: Path, header: Any, facts: Facts) -> NiftiFile:
    """Return what a header says; nibabel raises errors of several types at values that it does not accept."""
    shape = tuple(map(int, header.get_data_shape()))
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 4:
        raise ImageError(f"{path} must have three axes, or four with channels", got=f"the shape {shape}")
    shape, channels = (*shape[:3], 1)[:3], shape[3] if len(shape) == 4 else 1
    check_shape(shape, channels, str(path))
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        what = "complex values" if dtype.kind == "c" else "colours"
        raise ImageError(f"{path} has {what}", got=str(dtype), expected="one number for each voxel and channel")
    slope, intercept = header.get_slope_inter()
    offset = int(header.get_data_offset())
    _check_length(path, offset, int(np.prod([*shape, channels], dtype=object)) * dtype.itemsize)
    is_oriented = bool(header["qform_code"] > 0 or header["sform_code"] > 0)
    unit = UNITS.get(int(header["xyzt_units"]) & 7)  # the other bits are the unit of time
    geometry = make_geometry(shape, header.get_best_affine(), str(path), is_oriented=is_oriented, unit=unit)
    scale = (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    return NiftiFile(path, geometry, channels, dtype.str, offset, scale, facts)


def read_header(path: Path) -> Any:
    """Return the header of a NIfTI file as an object of nibabel.

    Raises
    ------
    ImageError
        The file is not a NIfTI file, or is damaged.
    """
    nibabel = _nibabel()
    try:
        with open_file(path) as file:
            content = file.read(max(SIZES))
        size = next((size for size in SIZES for order in ("<", ">") if content[:4] == _integer(size, order)), None)
        if size is None or len(content) < size:
            raise ValueError("it has no header of NIfTI")
        mark = content[344:348] if size == 348 else content[4:8]
        if mark not in SINGLE:
            raise ValueError("its header belongs to another file" if mark[:2] == b"ni" else "it is an Analyze file")
        return getattr(nibabel, SIZES[size])(content[:size])
    except (*DAMAGE, nibabel.spatialimages.HeaderDataError) as reason:
        raise damaged(path, reason) from reason


def _nibabel() -> Any:
    return reading_library("nibabel", "volumes", "NIfTI files")


def open_file(path: Path) -> BinaryIO:
    """Open a file to read its content, uncompressed."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def damaged(path: Path, reason: Exception) -> ImageError:
    """Return the error for a damaged file."""
    return ImageError(f"{path} cannot be read as a volume", got=str(reason) or type(reason).__name__)


def _check_length(path: Path, offset: int, size: int) -> None:
    """Check that a file can contain its voxels."""
    length = os.stat(path).st_size
    most = length * MOST_DEFLATED if path.name.lower().endswith(".gz") else length
    if not 0 <= offset <= most - size:
        raise ImageError(f"{path} is cut off", got=f"{length} bytes", expected=f"{size} bytes of voxels")


def _check_end(file: BinaryIO) -> None:
    """Read what follows the voxels: a gzip file has a checksum at its end."""
    for _ in range(MOST_BEHIND // CHUNK):
        if not file.read(CHUNK):
            return
    raise ValueError("it holds far more than its voxels")


def _integer(value: int, order: str) -> bytes:
    return value.to_bytes(4, "little" if order == "<" else "big")
