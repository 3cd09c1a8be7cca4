"""Series of DICOM files: sorted by position, rescaled to the unit of the modality, and refused if slices are missing.

A series with one gray value per pixel is a volume, whether a file holds one slice or several. pydicom reads the files.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from alkit._reading.limits import BYTES, limit, too_large
from alkit._reading.streams import check_runs, check_scans, stated_size
from alkit.errors import DataError, ImageError, one_line
from alkit.pools.decoding import File
from alkit.pools.volumes.dicom_header import TAGS, scale_of, slices_in
from alkit.pools.volumes.dicom_order import Slice, ordered
from alkit.pools.volumes.geometry import Geometry
from alkit.pools.volumes.parts import Facts, Plane2D, facts_of, has_changed, joined_facts, reading_library

SUFFIXES = (".dcm", ".dicom", ".ima")
"""Suffixes of DICOM files. A file without a suffix is one if it has their mark."""

MARK = b"DICM"
"""Text at byte 128 of a DICOM file."""

INDEX = "DICOMDIR"
"""Name of a list of DICOM files, which holds no image."""

SCANNED = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
STREAMS = (*SCANNED, *(f"1.2.840.10008.1.2.4.{number}" for number in (80, 81, 90, 91, 201, 202, 203)))
"""Transfer syntaxes of JPEG, whose slices can have many scans; with JPEG-LS and JPEG 2000, those that state sizes."""

RUNS = "1.2.840.10008.1.2.5"
"""Transfer syntax of RLE, which states no size."""

MOST_PARTS = 2**21
"""Most elements and items that are read of a file. An empty item takes 8 bytes of it, and 700 bytes of memory."""

DEFLATED = "1.2.840.10008.1.2.1.99"
"""Transfer syntax of files that are deflated as a whole."""


@dataclass(frozen=True)
class Place:
    """Where the pixels of a slice are, see :class:`~alkit.pools.volumes.dicom_order.Slice`, and the file's facts."""

    path: Path
    frame: int | None
    frames: int
    scale: tuple[float, float]
    facts: Facts


@dataclass(frozen=True)
class DicomSeries:
    """A series of DICOM files in the order of their positions; see :class:`~alkit.pools.volumes.parts.Part`."""

    places: tuple[Place, ...]
    geometry: Geometry
    channels: int = 1

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, that of the first slice first."""
        return tuple(dict.fromkeys(place.path for place in self.places))

    def planes(self, channel: int, numbers: Sequence[int]) -> Iterator[Plane2D]:
        """Yield planes; see :class:`~alkit.pools.volumes.parts.Part`."""
        size = self.geometry.shape[1::-1]
        for path, own in groupby((self.places[number] for number in numbers), lambda place: place.path):
            places = list(own)
            if places[0].frame is None:
                yield _read_plane(places[0], size)
            else:
                yield from _read_frames(path, places, size)


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
    slices: dict[tuple[str, str], list[Slice]] = {}
    for name in names:
        try:
            found = _read_header(folder, name)
        except ImageError as error:
            unusable[name.replace(os.sep, "/")] = error
            continue
        for each in found:
            slices.setdefault((os.path.dirname(name).replace(os.sep, "/"), each.series), []).append(each)
    series: dict[str, tuple[DicomSeries, File]] = {}
    numbers: dict[str, list[int | None]] = {}
    for (place, _), own in slices.items():
        numbers.setdefault(place, []).append(own[0].number)
    counts = {place: Counter(every) for place, every in numbers.items()}
    for (place, uid), own in slices.items():
        id = _series_id(place, uid, own[0].number, counts[place])
        try:
            found, geometry = ordered(own, id)
        except ImageError as error:
            unusable[id] = error
            continue
        places = tuple(
            Place(each.path, each.frame, each.frames, each.scale, (each.file.bytes, each.file.modified))
            for each in found
        )
        files = dict.fromkeys(each.file for each in own)
        series[id] = DicomSeries(places, geometry), joined_facts(id, list(files))
    return series


def _series_id(place: str, uid: str, number: int | None, counts: Counter[int | None]) -> str:
    """Return the id of a series in a folder, of which `counts` says how many series have each number."""
    if place and counts.total() == 1:
        return place
    unclear = number is None or counts[number] > 1
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


def _read_header(folder: Path, name: str) -> list[Slice]:
    path = folder / name
    found, facts = _read(path, header=True)
    file = File(name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that do not follow the standard
            return slices_in(path, file, found)
    except ImageError:
        raise
    except Exception as reason:  # pydicom converts values when they are used, and raises errors of many kinds
        raise ImageError(f"{path} has a damaged header", got=one_line(str(reason), 300)) from reason


def _read(path: Path, *, header: bool) -> tuple[Any, os.stat_result]:
    """Return the data set of a file, without its pixels if `header`."""
    pydicom = reading_library("pydicom", "volumes", "DICOM files")
    reader = reading_library("pydicom.filereader", "volumes", "DICOM files")
    file: Counted | None = None
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError(f"{path} is not a file")
        if facts.st_size > limit(BYTES):
            raise ImageError(str(too_large(path, facts.st_size)))
        with warnings.catch_warnings(), Counted(path, header=header) as file:
            warnings.simplefilter("ignore")  # pydicom warns of values that alkit does not use
            reader.read_preamble(file, False)
            syntax = reader._read_file_meta_info(file).get("TransferSyntaxUID")
            if syntax == DEFLATED:
                raise ImageError(f"{path} is deflated as a whole", hint="save it in another transfer syntax")
            if syntax is not None and syntax.is_compressed:
                _check_decoder(path, syntax)
            file.seek(0)
            return pydicom.dcmread(file, stop_before_pixels=header, specific_tags=list(TAGS) if header else None), facts
    except (ImageError, DataError):
        raise
    except Exception as reason:  # pydicom raises errors of many kinds if a file is damaged
        if file is not None and file.left < 0:
            raise file.refusal() from reason
        raise ImageError(f"{path} cannot be read as DICOM", got=one_line(str(reason), 300)) from reason


class Counted(io.BufferedReader):
    """A file of DICOM from which pydicom may read a limited number of elements and items.

    Parameters
    ----------
    path:
        The file.
    header:
        Whether the sequences in it will be asked for. pydicom reads the elements of a sequence when it is asked for.
    """

    def __init__(self, path: Path, *, header: bool) -> None:
        super().__init__(io.FileIO(path))
        self.left, self._path, self._header = MOST_PARTS, path, header

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, which are at least one element or item, and at most one for each 8 bytes."""
        content = super().read(size)
        self.left -= max(1, len(content) // 8) if self._header else 1
        if self.left < 0:
            raise self.refusal()
        return content

    def refusal(self) -> ImageError:
        """Return the error for a file with too many of them. pydicom raises its own in place of it."""
        return ImageError(
            f"{self._path} has too much in its header",
            got=f"more than {MOST_PARTS} elements",
            hint="convert it to NIfTI",
        )


def _check_decoder(path: Path, syntax: Any) -> None:
    """Check that pixels of a compressed transfer syntax can be checked, and decoded on this machine."""
    decoders = reading_library("pydicom.pixels", "volumes", "DICOM files")
    if syntax not in (*STREAMS, RUNS):
        raise ImageError(f"{path} has an unknown transfer syntax", got=syntax.name)
    decoder = decoders.get_decoder(syntax)
    if not decoder.is_available:
        raise ImageError(
            f"{path} is compressed, and no decoder for it is installed",
            got=syntax.name,
            hint=f"{'; or '.join(decoder.missing_dependencies)}; or save it uncompressed",
        )


def _read_plane(place: Place, size: tuple[int, ...]) -> Plane2D:
    """Return the values of a slice in the unit of its modality, ``(columns, rows)``."""
    path, scale = place.path, place.scale
    found, facts = _read(path, header=False)
    _check_same(place, found, size, facts)
    with _decoding(path):
        if (scale_of(path, found.get) or (1.0, 0.0)) != scale:
            raise has_changed(path)
        _check_streams(path, found, size, None)
        pixels = np.asarray(found.pixel_array)
    return _in_unit(path, pixels, size, scale)


def _read_frames(path: Path, places: Sequence[Place], size: tuple[int, ...]) -> Iterator[Plane2D]:
    """Yield the values of slices in one file, each as :func:`_read_plane`. Each is decoded by itself."""
    decoders = reading_library("pydicom.pixels", "volumes", "DICOM files")
    found, facts = _read(path, header=True)
    _check_same(places[0], found, size, facts)
    numbers = [place.frame or 0 for place in places]
    with _decoding(path):
        if found.file_meta.get("TransferSyntaxUID") in (*STREAMS, RUNS):
            _check_streams(path, _read(path, header=False)[0], size, numbers)
        frames = decoders.iter_pixels(path, indices=numbers)
    for place in places:
        with _decoding(path):
            pixels = np.asarray(next(frames))
        yield _in_unit(path, pixels, size, place.scale)


def _check_same(place: Place, found: Any, size: tuple[int, ...], facts: os.stat_result) -> None:
    stated = found.get("Rows"), found.get("Columns"), int(found.get("NumberOfFrames") or 1)
    if facts_of(facts) != place.facts or stated != (*size, place.frames):
        raise has_changed(place.path)


def _check_streams(path: Path, found: Any, size: tuple[int, ...], numbers: Sequence[int] | None) -> None:
    """Check what compressed slices state before they are decoded: a decoder takes memory for it, and time for scans.

    Parameters
    ----------
    numbers:
        The frames that will be decoded one by one; None for those of the file in their order.

    Raises
    ------
    ImageError
        A stream states another size than its file, has very many scans, or unpacks to more.
    """
    syntax = found.file_meta.get("TransferSyntaxUID")
    if syntax not in (*STREAMS, RUNS):
        return
    encaps = reading_library("pydicom.encaps", "volumes", "DICOM files")
    # Where a frame begins is taken as pydicom takes it for the decoder: a file can state it in three ways.
    offsets = found.get("ExtendedOffsetTable"), found.get("ExtendedOffsetTableLengths")
    is_stated = None not in offsets and len(offsets[0]) == len(offsets[1])
    facts = {
        "number_of_frames": int(found.get("NumberOfFrames") or 1),
        "extended_offsets": offsets if is_stated else None,
    }
    if numbers is None:
        streams = encaps.generate_frames(found.PixelData, **facts)
    else:
        streams = (encaps.get_frame(found.PixelData, number, **facts) for number in numbers)
    for stream in streams:
        if syntax in SCANNED:
            check_scans(stream, str(path), ImageError)
        if syntax == RUNS:
            check_runs(stream, math.prod(size), str(path), ImageError)
        elif (stated := stated_size(stream)) != size:
            raise ImageError(f"{path} is damaged", got=f"a stream of {stated}", expected=size)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn the errors of pydicom and of decoders, which are of many kinds, into one of the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Exception as reason:
        raise ImageError(f"{path} cannot be decoded", got=one_line(str(reason), 300)) from reason


def _in_unit(path: Path, pixels: Any, size: tuple[int, ...], scale: tuple[float, float]) -> Plane2D:
    if pixels.shape != size:
        raise ImageError(f"{path} has pixels of another shape", got=pixels.shape, expected=size)
    return np.asarray(pixels.T.astype(np.float64) * scale[0] + scale[1], np.float32)
