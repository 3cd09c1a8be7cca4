"""Series of DICOM files: sorted by position, rescaled to the unit of the modality, and refused if slices are missing.

A series of single-frame files with one gray value per pixel is a volume. pydicom reads the files.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alkit._reading.limits import BYTES, limit, too_large
from alkit.errors import DataError, ImageError, one_line
from alkit.pools.decoding import File
from alkit.pools.volumes.geometry import Geometry, make_geometry
from alkit.pools.volumes.parts import Plane2D, check_shape, joined_facts, reading_library

SUFFIXES = (".dcm", ".dicom", ".ima")
"""Suffixes of DICOM files. A file without a suffix is one if it has their mark."""

MARK = b"DICM"
"""Text at byte 128 of a DICOM file."""

INDEX = "DICOMDIR"
"""Name of a list of DICOM files, which holds no image."""

DEFLATED = "1.2.840.10008.1.2.1.99"
"""Transfer syntax of files that are deflated as a whole."""

TAGS = (
    "SeriesInstanceUID",
    "SeriesNumber",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "ModalityLUTSequence",
)
"""Elements that the header of a slice is read for."""

DOUBLED, MISSING, UNEVEN, TILTED = 1e-3, 1.5, 0.05, 0.5
"""Distances of neighbouring slices: in millimetres, at which they lie at one place; in steps, at which one is missing
between them; the part of a step by which steps may differ. And the millimetres by which the last slice may be shifted
sideways.
"""


SAME = 1e-3
"""Greatest difference of directions, and of distances in millimetres, that count as equal."""


@dataclass(frozen=True)
class DicomSeries:
    """A series of DICOM files in the order of their positions; see :class:`~alkit.pools.volumes.parts.Part`."""

    paths: tuple[Path, ...]
    geometry: Geometry
    channels: int = 1

    def planes(self, channel: int, numbers: Sequence[int]) -> Iterator[Plane2D]:
        """Yield planes; see :class:`~alkit.pools.volumes.parts.Part`."""
        for number in numbers:
            yield _read_plane(self.paths[number], self.geometry.shape[1::-1])


@dataclass(frozen=True)
class _Slice:
    """What the header of a file says."""

    path: Path
    file: File
    series: str
    number: int | None
    size: tuple[int, int]
    position: tuple[float, float, float]
    directions: tuple[float, ...]
    spacing: tuple[float, float]
    thickness: float | None


def is_dicom(folder: Path, name: str) -> bool:
    """Return whether a file is one of DICOM, by its suffix or, without a suffix, by its mark."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix or os.path.basename(name) == INDEX:
        return suffix in SUFFIXES
    try:
        path = folder / name
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == MARK
    except OSError:
        return False


def find_series(
    folder: Path, names: Sequence[str], unusable: dict[str, ImageError]
) -> dict[str, tuple[DicomSeries, File]]:
    """Return the series of some files, by id; those that cannot be used are added to `unusable`, and so are files.

    The id of a series is the path of its folder; if that folder has several series, or is `folder` itself, the number
    of the series follows, as in ``"case1/series-003"``.

    Raises
    ------
    MissingDependencyError
        pydicom is not installed.
    """
    slices: dict[tuple[str, str], list[_Slice]] = {}
    for name in names:
        try:
            found = _read_header(folder, name)
        except ImageError as error:
            unusable[name.replace(os.sep, "/")] = error
            continue
        slices.setdefault((os.path.dirname(name).replace(os.sep, "/"), found.series), []).append(found)
    series: dict[str, tuple[DicomSeries, File]] = {}
    for (place, uid), own in slices.items():
        id = _series_id(place, uid, slices)
        try:
            ordered = _ordered(own, id)
        except ImageError as error:
            unusable[id] = error
            continue
        series[id] = ordered, joined_facts(id, [each.file for each in own])
    return series


def _series_id(place: str, uid: str, slices: Mapping[tuple[str, str], Sequence[_Slice]]) -> str:
    beside = {other: own[0].number for (where, other), own in slices.items() if where == place}
    if place and len(beside) == 1:
        return place
    number = beside[uid]
    unclear = number is None or list(beside.values()).count(number) > 1
    own = _plain(uid)
    name = own if number is None else f"series-{number:03}{f'-{own}' if unclear else ''}"
    return f"{place}/{name}" if place else name


def _plain(uid: str) -> str:
    """Return a UID of a series as a name that cannot lead to another folder. A stranger's file may have any text there.

    >>> _plain("1.2.840.1"), _plain("../x")
    ('1.2.840.1', 'series-d6b96a97d1')
    """
    if re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]*", uid):
        return uid
    return f"series-{hashlib.sha256(uid.encode(errors='backslashreplace')).hexdigest()[:10]}"


def _read_header(folder: Path, name: str) -> _Slice:
    path = folder / name
    found, facts = _read(path, header=True)
    file = File(name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that do not follow the standard
            return _slice(path, file, found)
    except ImageError:
        raise
    except Exception as reason:  # pydicom converts values when they are used, and raises errors of many kinds
        raise ImageError(f"{path} has a damaged header", got=one_line(str(reason), 300)) from reason


def _slice(path: Path, file: File, found: Any) -> _Slice:
    """Return what a header says, after a check that the file holds one slice of gray values in a known place."""
    if found.get("Rows") is None or found.get("Columns") is None:
        raise ImageError(f"{path} holds no image")
    if int(found.get("NumberOfFrames") or 1) > 1:
        raise ImageError(f"{path} has several frames", expected="one slice for each file", hint="convert it to NIfTI")
    kind = found.get("PhotometricInterpretation")
    if int(found.get("SamplesPerPixel") or 1) != 1 or kind != "MONOCHROME2":
        raise ImageError(f"{path} must have gray values", got=kind, expected="MONOCHROME2")
    if found.get("ModalityLUTSequence"):
        raise ImageError(f"{path} has a table of its units (Modality LUT)", expected="a rescale slope and intercept")
    wanted = ("SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    if missing := [tag for tag in wanted if not found.get(tag)]:
        raise ImageError(f"{path} does not state its place in the patient", got=f"no {' and no '.join(missing)}")
    x, y, z = map(float, found.ImagePositionPatient)
    first, second, third, fourth, fifth, sixth = map(float, found.ImageOrientationPatient)
    rows, columns = map(float, found.PixelSpacing)
    directions = first, second, third, fourth, fifth, sixth
    if not np.isfinite([x, y, z, *directions, rows, columns]).all():
        raise ImageError(f"{path} does not state its place in the patient", got="values that are not finite")
    size = int(found.Rows), int(found.Columns)
    check_shape((*size, 1), 1, str(path))
    thickness, number = found.get("SliceThickness"), found.get("SeriesNumber")
    return _Slice(
        path,
        file,
        one_line(str(found.SeriesInstanceUID)),
        None if number is None else int(number),
        size,
        (x, y, z),
        directions,
        (rows, columns),
        None if thickness is None else float(thickness),
    )


def _read(path: Path, *, header: bool) -> tuple[Any, os.stat_result]:
    """Return the data set of a file, without its pixels if `header`."""
    pydicom = reading_library("pydicom", "volumes", "DICOM files")
    reader = reading_library("pydicom.filereader", "volumes", "DICOM files")
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError(f"{path} is not a file")
        if facts.st_size > limit(BYTES):
            raise ImageError(str(too_large(path, facts.st_size)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that alkit does not use
            syntax = reader.read_file_meta_info(path).get("TransferSyntaxUID")
            if syntax == DEFLATED:
                raise ImageError(f"{path} is deflated as a whole", hint="save it in another transfer syntax")
            if syntax is not None and syntax.is_compressed:
                _check_decoder(path, syntax)
            return pydicom.dcmread(path, stop_before_pixels=header, specific_tags=list(TAGS) if header else None), facts
    except (ImageError, DataError):
        raise
    except Exception as reason:  # pydicom raises errors of many kinds if a file is damaged
        raise ImageError(f"{path} cannot be read as DICOM", got=one_line(str(reason), 300)) from reason


def _check_decoder(path: Path, syntax: Any) -> None:
    """Check that pixels of a compressed transfer syntax can be decoded on this machine."""
    decoders = reading_library("pydicom.pixels", "volumes", "DICOM files")
    try:
        decoder = decoders.get_decoder(syntax)
    except NotImplementedError as reason:
        raise ImageError(f"{path} has an unknown transfer syntax", got=syntax.name) from reason
    if not decoder.is_available:
        raise ImageError(
            f"{path} is compressed, and no decoder for it is installed",
            got=syntax.name,
            hint=f"{'; or '.join(decoder.missing_dependencies)}; or save it uncompressed",
        )


def _read_plane(path: Path, size: tuple[int, ...]) -> Plane2D:
    """Return the values of a slice in the unit of its modality, ``(columns, rows)``."""
    found, _ = _read(path, header=False)
    if (found.get("Rows"), found.get("Columns"), int(found.get("NumberOfFrames") or 1)) != (*size, 1):
        raise ImageError(f"{path} has changed since its header was read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(found.pixel_array)
        slope, intercept = float(found.get("RescaleSlope", 1)), float(found.get("RescaleIntercept", 0))
    except Exception as reason:  # pydicom and the decoders raise errors of many kinds
        raise ImageError(f"{path} cannot be decoded", got=one_line(str(reason), 300)) from reason
    if pixels.shape != size:
        raise ImageError(f"{path} has pixels of another shape", got=pixels.shape, expected=size)
    return (pixels.T.astype(np.float64) * slope + intercept).astype(np.float32)


def _ordered(slices: Sequence[_Slice], id: str) -> DicomSeries:
    """Return a series in the order of the positions of its slices.

    Raises
    ------
    ImageError
        Slices differ in size, orientation or spacing, are missing, doubled or shifted.
    """
    first = slices[0]
    for other in slices[1:]:
        for what, one, two in (
            ("size", first.size, other.size),
            ("orientation", first.directions, other.directions),
            ("spacing", first.spacing, other.spacing),
        ):
            if not np.allclose(one, two, rtol=0, atol=SAME):
                raise ImageError(
                    f"the slices of {id} differ in {what}",
                    got=f"{first.file.name} {one} and {other.file.name} {two}",
                    hint="move those of another series to another folder",
                )
    along, down = np.array(first.directions[:3]), np.array(first.directions[3:])
    normal = np.cross(along, down)
    places = np.array([each.position for each in slices])
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    ordered, places, heights = [slices[place] for place in order], places[order], heights[order]
    step = _step(ordered, places, heights, normal, id)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = along * first.spacing[1], down * first.spacing[0], step
    matrix[:3, 3] = places[0]
    shape = first.size[1], first.size[0], len(ordered)
    check_shape(shape, 1, id)
    # DICOM counts to the left and to the back.
    geometry = make_geometry(shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix, id)
    return DicomSeries(tuple(each.path for each in ordered), geometry)


def _step(slices: Sequence[_Slice], places: Any, heights: Any, normal: Any, id: str) -> Any:
    """Return the vector from each slice to the next."""
    if len(slices) == 1:
        if not slices[0].thickness or slices[0].thickness <= 0:
            raise ImageError(f"{id} has one slice, which does not state its thickness")
        return normal * slices[0].thickness
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    for one, two, gap in zip(slices, slices[1:], gaps.tolist(), strict=False):
        names = f"{one.file.name} and {two.file.name}"
        if gap < DOUBLED:
            raise ImageError(
                f"two slices of {id} lie at the same place", got=names, hint="keep one of them, or convert it to NIfTI"
            )
        if gap > MISSING * usual and usual > DOUBLED:
            raise ImageError(
                f"slices of {id} are missing",
                got=f"{gap:.4g} mm between {names}, and {usual:.4g} mm between others",
                hint="copy the series again",
            )
    if (apart := float(np.abs(gaps - usual).max())) > UNEVEN * usual:
        raise ImageError(f"the distances of the slices of {id} differ", got=f"by {apart:.3g} of {usual:.4g} mm")
    whole = places[-1] - places[0]
    shift = float(np.linalg.norm(whole - (whole @ normal) * normal))
    if shift > TILTED:
        raise ImageError(
            f"the slices of {id} are shifted against each other, as if the gantry was tilted",
            got=f"{shift:.3g} mm from the first to the last",
            hint="resample it",
        )
    return normal * (whole @ normal) / (len(slices) - 1)
