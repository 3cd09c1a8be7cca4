"""What the header of a DICOM file says about its slices: one, or the frames of an enhanced (multi-frame) file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alkit.errors import ImageError, one_line
from alkit.pools.decoding import File
from alkit.pools.volumes.dicom_order import Slice
from alkit.pools.volumes.parts import MOST_SLICES, check_shape

TAGS = (
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsStored",
    "HighBit",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""Elements that the header of a file is read for."""

GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "StackID": "FrameContentSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}
"""Functional groups of the elements that may differ between the frames of a file."""

PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
"""Elements that state the place of a slice."""

Get = Callable[[str], Any]
"""Returns the value of an element, or None."""


def slices_in(path: Path, file: File, found: Any) -> list[Slice]:
    """Return the slices of a file from its header.

    Parameters
    ----------
    path, file:
        The file.
    found:
        Its data set.

    Raises
    ------
    ImageError
        It holds something other than slices of gray values, each in a known place.
    """
    _check_gray(path, found)
    count = int(found.get("NumberOfFrames") or 1)
    if not found.get("PerFrameFunctionalGroupsSequence"):
        if count > 1:
            raise ImageError(
                f"{path} has several frames, and does not state the place of each",
                got=f"{count} frames without functional groups",
                hint="convert it to NIfTI",
            )
        return [_slice(path, file, found, found.get)]
    groups = list(found.PerFrameFunctionalGroupsSequence)
    if len(groups) != count or count > MOST_SLICES:
        raise ImageError(f"{path} is damaged", got=f"{len(groups)} functional groups for {count} frames")
    shared = list(found.get("SharedFunctionalGroupsSequence") or ())[:1]
    readers = [_reader([group, *shared]) for group in groups]
    stacks = {reader("StackID") for reader in readers}
    return [
        _slice(path, file, found, reader, (number, count), reader("StackID") if len(stacks) > 1 else None)
        for number, reader in enumerate(readers)
    ]


def _check_gray(path: Path, found: Any) -> None:
    if found.get("Rows") is None or found.get("Columns") is None:
        raise ImageError(f"{path} holds no image")
    if found.get("Modality") == "SEG":
        raise ImageError(f"{path} holds a segmentation", expected="an image", hint="move it out of the folder")
    kind = found.get("PhotometricInterpretation")
    if int(found.get("SamplesPerPixel") or 1) != 1 or kind != "MONOCHROME2":
        raise ImageError(f"{path} must have gray values", got=kind, expected="MONOCHROME2")
    bits, highest = found.get("BitsStored"), found.get("HighBit")
    if bits is not None and highest is not None and int(highest) != int(bits) - 1:  # pydicom reads the lowest bits
        raise ImageError(f"{path} has its values in other bits", got=f"HighBit {highest}", expected=int(bits) - 1)
    if found.get("ModalityLUTSequence"):
        raise ImageError(f"{path} has a table of its units (Modality LUT)", expected="a rescale slope and intercept")


def _reader(groups: Sequence[Any]) -> Get:
    """Return what reads an element in the functional groups of a frame, or else in those of all frames."""

    def get(name: str) -> Any:
        for group in groups:
            for item in group.get(GROUPS[name]) or ():
                if item.get(name) is not None:
                    return item.get(name)
        return None

    return get


def _slice(
    path: Path,
    file: File,
    found: Any,
    get: Get,
    frame: tuple[int, int] | None = None,
    stack: str | None = None,
) -> Slice:
    """Return what a header says about a slice; `get` reads the elements of :data:`GROUPS`."""
    uid = found.get("SeriesInstanceUID")
    missing = [name for name in PLACE if not get(name)]
    if missing := [*(() if uid else ("SeriesInstanceUID",)), *missing]:
        raise ImageError(f"{path} does not state its place in the patient", got=f"no {' and no '.join(missing)}")
    x, y, z = map(float, get("ImagePositionPatient"))
    first, second, third, fourth, fifth, sixth = map(float, get("ImageOrientationPatient"))
    rows, columns = map(float, get("PixelSpacing"))
    directions = first, second, third, fourth, fifth, sixth
    # Converters write that of the whole file which take over the header of a single image.
    scale = scale_of(path, get) or scale_of(path, found.get) or (1.0, 0.0)
    if not np.isfinite([x, y, z, *directions, rows, columns]).all():
        raise ImageError(f"{path} does not state its place in the patient", got="values that are not finite")
    size = int(found.Rows), int(found.Columns)
    check_shape((*size, 1), 1, str(path))
    thickness, number = get("SliceThickness"), found.get("SeriesNumber")
    return Slice(
        path,
        file,
        one_line(str(uid) if stack is None else f"{uid}.stack-{stack}"),
        None if number is None else int(number),
        size,
        (x, y, z),
        directions,
        (rows, columns),
        None if thickness is None else float(thickness),
        scale,
        *(frame or ()),
    )


def scale_of(path: Path, get: Get) -> tuple[float, float] | None:
    """Return slope and intercept, which turn stored values into values; None if neither is stated."""
    stated = {name: get(name) for name in ("RescaleSlope", "RescaleIntercept")}
    given = [float(value) for value in stated.values() if value not in (None, "")]
    if not given:
        return None
    if len(given) == 1 or given[0] == 0 or not np.isfinite(given).all():
        raise ImageError(
            f"{path} does not state its unit",
            got=" and ".join(f"{name} {value}" for name, value in stated.items()),
            expected="a slope other than 0 and an intercept, or neither",
        )
    return given[0], given[1]
