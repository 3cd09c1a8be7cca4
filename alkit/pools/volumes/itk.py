"""NRRD and MetaImage files, which SimpleITK reads as a whole. Files that name files elsewhere are refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alkit._reading.limits import BYTES, limit
from alkit.errors import ImageError, one_line
from alkit.pools.volumes.geometry import Geometry, make_geometry
from alkit.pools.volumes.parts import Plane2D, check_shape, reading_library

SUFFIXES = (".nrrd", ".mha", ".mhd")

READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""Readers of ITK by suffix: ITK would try others, too."""

FACTOR = 10
"""A file that unpacks to more than this multiple of :data:`~alkit._reading.limits.BYTES` is refused."""

DATA_FILE = re.compile(rb"^ElementDataFile = *([^\r\n]+)\r?$", re.MULTILINE)
"""Line of a MetaImage header that names the file of its voxels."""

LONGEST_HEAD = 2**16
"""Greatest number of bytes of the text at the head of a file."""


@dataclass(frozen=True)
class ItkFile:
    """A file that SimpleITK reads; see :class:`~alkit.pools.volumes.parts.Part`."""

    path: Path
    geometry: Geometry
    channels: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, and the file of its voxels if there is another one."""
        return (self.path, *_voxel_files(self.path))

    def planes(self, channel: int, numbers: Sequence[int]) -> Iterator[Plane2D]:
        """Yield planes; see :class:`~alkit.pools.volumes.parts.Part`."""
        itk = _library()
        _voxel_files(self.path)
        try:
            image = itk.ReadImage(os.fspath(self.path), imageIO=READERS[self.path.suffix.lower()])
        except RuntimeError as reason:
            raise _damaged(self.path, reason) from reason
        values = itk.GetArrayViewFromImage(image)  # (k, j, i) or (k, j, i, c)
        values = values[..., None] if image.GetNumberOfComponentsPerPixel() == 1 else values
        if values.shape != (*self.geometry.shape[::-1], self.channels):
            raise ImageError(f"{self.path} has changed since its header was read")
        for number in numbers:
            yield values[number, ..., channel].T.astype(np.float32)


def open_itk(path: Path) -> ItkFile:
    """Read the header of a NRRD or MetaImage file.

    Raises
    ------
    ImageError
        The file is damaged, names a file elsewhere, is too large, or is not a volume of numbers.
    MissingDependencyError
        SimpleITK is not installed.
    """
    itk = _library()
    files = _voxel_files(path)
    reader = itk.ImageFileReader()
    reader.SetImageIO(READERS[path.suffix.lower()])
    reader.SetFileName(os.fspath(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as reason:
        raise _damaged(path, reason) from reason
    shape, channels = tuple(reader.GetSize()), int(reader.GetNumberOfComponents())
    if len(shape) != 3:
        raise ImageError(f"{path} must have three axes", got=f"{len(shape)} axes")
    check_shape(shape, channels, str(path))
    name = itk.GetPixelIDValueAsString(reader.GetPixelID())
    if "complex" in name or "label" in name:
        raise ImageError(f"{path} must hold one number for each voxel and channel", got=name)
    size, most = int(np.prod([*shape, channels, 8], dtype=object)), FACTOR * limit(BYTES)
    stored = sum(each.stat().st_size for each in (path, *files))
    if size > 8 * most or size > 8 * 1032 * stored:
        raise ImageError(
            f"{path} is too large to be read as a whole",
            got=f"{size // 8} values",
            expected=f"at most {most}",
            hint=f"convert it to NIfTI, which is read slice by slice; or the environment variable {BYTES}",
        )
    directions = np.array(reader.GetDirection()).reshape(3, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = directions * np.array(reader.GetSpacing())
    matrix[:3, 3] = reader.GetOrigin()
    # ITK counts to the left and to the back.
    return ItkFile(path, make_geometry(shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix, str(path)), channels)


def _voxel_files(path: Path) -> tuple[Path, ...]:
    """Return the file beside a header that holds its voxels, if it is another file.

    Raises
    ------
    ImageError
        The header names a file elsewhere, or several files: a stranger could have any file read in this way.
    """
    try:
        with path.open("rb") as file:
            head = file.read(LONGEST_HEAD)
    except OSError as reason:
        raise _damaged(path, reason) from reason
    if path.suffix.lower() == ".nrrd":
        text, end, _ = head.replace(b"\r", b"").partition(b"\n\n")
        keys = [line.partition(b":")[0].lower().replace(b" ", b"").replace(b"\t", b"") for line in text.split(b"\n")]
        if not end or b"datafile" in keys:
            raise ImageError(f"{path} must contain its voxels", hint="save it as one file")
        return ()
    found = DATA_FILE.search(head)
    if found is None or head[: found.end()].lower().count(b"elementdatafile") > 1:
        raise ImageError(f"{path} must name one file of voxels, or contain them", hint="save it as .mha")
    name = found[1].strip().decode("utf-8", "replace")
    if name == "LOCAL":
        return ()
    other = path.parent / name
    plain = name == os.path.basename(name) and "%" not in name and name not in (".", "..", "LIST")
    if not plain or other.is_symlink() or not other.is_file():
        raise ImageError(
            f"{path} must name one file of voxels beside it", got=one_line(name, 100), hint="save it as .mha"
        )
    return (other,)


def _damaged(path: Path, reason: Exception) -> ImageError:
    lines = [line.strip() for line in str(reason).splitlines() if line.strip()]
    return ImageError(f"{path} cannot be read as a volume", got=one_line(lines[-1] if lines else "", 300))


def _library() -> Any:
    itk = reading_library("SimpleITK", "itk", "NRRD and MetaImage files")
    itk.ProcessObject.SetGlobalWarningDisplay(False)
    return itk
