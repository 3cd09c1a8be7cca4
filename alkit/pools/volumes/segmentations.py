"""Labels of a DICOM series as a DICOM segmentation, which refers to the images of the series. highdicom writes it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alkit._files import atomic_file
from alkit.errors import ImageError, one_line
from alkit.pools.volumes.dicom import Counted, DicomSeries
from alkit.pools.volumes.parts import Part, reading_library
from alkit.values.label_spec import LabelSpec

SUFFIX = ".seg.dcm"
"""What follows the id of a volume in the name of its segmentation."""

IGNORED = "ignored"
"""Label of the segment of ignored pixels."""

Maker = Literal["model", "people"]
"""Who has made labels: a model, so that the segmentation is automatic, or people, so that it is manual."""

NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "Modality")
"""Elements without which nothing can refer to an image."""

MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
"""Elements that a segmentation copies, and that are empty if an image lacks them."""

LATER = 1000
"""The number of the new series is that of its source, and so many more."""

LONGEST = 64
"""Greatest number of characters of a label of a segment in DICOM."""

UTF_8 = "ISO_IR 192"
"""The character set of all segmentations, because the names of classes may have characters that the images lack."""


def check_writer() -> None:
    """Check that DICOM segmentations can be written.

    Raises
    ------
    MissingDependencyError
        highdicom is not installed.
    """
    _highdicom()


def is_series(part: Part) -> bool:
    """Return whether a part of a volume is a DICOM series, for which a segmentation can be written."""
    return isinstance(part, DicomSeries)


def write_segmentation(
    path: Path, series: Part, planes: Iterable[npt.NDArray[Any]], spec: LabelSpec, maker: Maker
) -> None:
    """Write the labels of a series as a binary DICOM segmentation, with a segment for each class but the first.

    The number of a segment is its class id, and its label the name of the class. Frames without an object are left out,
    unless there is no object at all. Ignored pixels, if there are any, are a further segment.

    Parameters
    ----------
    path:
        The file.
    series:
        The series, a :class:`~alkit.pools.volumes.dicom.DicomSeries`.
    planes:
        Class ids of each slice, ``(columns, rows)``, in the order of the series.
    spec:
        The classes.
    maker:
        Who has made the labels.

    Raises
    ------
    ImageError
        The images lack an element that a segmentation needs, or DICOM cannot hold the names of the classes.
    StoreError
        The file cannot be written.
    """
    hd = _highdicom()
    if not isinstance(series, DicomSeries):
        raise ImageError(f"{series.paths[0]} must belong to a DICOM series, so that a segmentation can refer to it")
    sources = [_header(path, series) for path in series.paths]
    labels = _in_order_of_files(series, planes)
    names = list(spec.classes[1:])
    if spec.ignore is not None:
        ignored = labels == spec.ignore
        labels[ignored] = len(spec.classes)
        names += [IGNORED] if ignored.any() else []
    _check_names(path, names)
    told = hashlib.sha256(labels.tobytes() + repr((labels.shape, names, maker)).encode()).hexdigest()
    uids = [_uid(sources[0].SeriesInstanceUID, told, what) for what in ("series", "instance")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # highdicom warns of values in the sources that do not follow the standard
            made = hd.seg.Segmentation(
                source_images=sources,
                pixel_array=labels,
                segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[_segment(hd, number, name, maker) for number, name in enumerate(names, start=1)],
                series_instance_uid=uids[0],
                series_number=LATER + int(sources[0].get("SeriesNumber") or 0),
                sop_instance_uid=uids[1],
                instance_number=1,
                manufacturer="alkit",
                manufacturer_model_name="alkit",
                software_versions=_version(),
                device_serial_number="none",
                omit_empty_frames=bool(labels.any()),  # a segmentation has at least one frame
                content_label="ALKIT",
                content_description="Predicted by a model" if maker == "model" else "Labelled by people",
                series_description="alkit predictions" if maker == "model" else "alkit labels",
            )
    except Exception as reason:  # highdicom checks the sources, and raises errors of many kinds
        raise ImageError(
            f"{series.paths[0]} cannot be the source of a DICOM segmentation", got=one_line(str(reason), 300)
        ) from reason
    with atomic_file(path) as file:
        made.save_as(file, enforce_file_format=True)


def _highdicom() -> Any:
    return reading_library("highdicom", "dicom-seg", "DICOM segmentations")


def _version() -> str:
    import alkit

    return alkit.__version__


def _header(path: Path, series: DicomSeries) -> Any:
    """Return the header of an image, with the elements that a segmentation copies or follows."""
    pydicom = reading_library("pydicom", "volumes", "DICOM files")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Counted(path, header=True) as file:
            found = pydicom.dcmread(file, stop_before_pixels=True)
        if missing := [name for name in NEEDED if not found.get(name)]:
            raise ImageError(f"{path} lacks what a DICOM segmentation refers to", got=f"no {' and no '.join(missing)}")
        found.decode()
        found.SpecificCharacterSet = UTF_8
        for name in MAY_BE_EMPTY:
            if name not in found:
                setattr(found, name, "")
        if series.places[0].frame is not None:
            _share_place(found, series)
        elif not found.get("SliceThickness"):
            found.SliceThickness = series.geometry.spacing[2]
    return found


def _in_order_of_files(series: DicomSeries, planes: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    """Return labels ``(n, rows, columns)`` in the order in which the files of a series hold its slices."""
    starts: dict[Path, int] = {}
    count = 0
    for place in series.places:
        if place.path not in starts:
            starts[place.path] = count
            count += place.frames
    columns, rows, _ = series.geometry.shape
    labels = np.zeros((count, rows, columns), np.uint8)  # frames of other stacks stay empty
    for place, plane in zip(series.places, planes, strict=True):
        labels[starts[place.path] + (place.frame or 0)] = plane.T
    return labels


def _share_place(found: Any, series: DicomSeries) -> None:
    """State distances and directions once for all frames of an enhanced file: highdicom does not read those of each."""
    hd, pydicom = _highdicom(), reading_library("pydicom", "volumes", "DICOM files")
    columns, rows, _ = (series.geometry.matrix[:3, :3] * [[-1], [-1], [1]]).T  # DICOM counts to the left and the back
    wide, high, deep = series.geometry.spacing
    shared = next(iter(found.get("SharedFunctionalGroupsSequence") or ()), None) or pydicom.Dataset()
    shared.PixelMeasuresSequence = hd.PixelMeasuresSequence((high, wide), slice_thickness=deep)
    shared.PlaneOrientationSequence = hd.PlaneOrientationSequence("PATIENT", [*(columns / wide), *(rows / high)])
    found.SharedFunctionalGroupsSequence = [shared]


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Check that DICOM can tell classes apart by the labels of their segments."""
    cut = [name[:LONGEST].strip() for name in names]
    for name, label in zip(names, cut, strict=True):
        if "\\" in name or not name.isprintable():
            raise ImageError(
                f"{path} cannot be written, because a label of DICOM has no backslashes and control characters",
                got=f"the class {name!r}",
            )
        if cut.count(label) > 1:
            raise ImageError(
                f"{path} cannot be written, because labels of DICOM have at most {LONGEST} characters, and those of "
                f"segments must differ",
                got=f"the class {name!r}, and another one that begins in the same way"
                if label != IGNORED
                else f"the class {name!r}, which has the name of ignored pixels",
            )


def _segment(hd: Any, number: int, name: str, maker: Maker) -> Any:
    """Return the description of a segment. Its concepts are `tissue`: the record does not know what a class means."""
    concepts = reading_library("pydicom.sr.codedict", "volumes", "DICOM files").codes
    automatic = maker == "model"
    about = None
    if automatic:
        family = concepts.cid7162.ArtificialIntelligence
        about = hd.AlgorithmIdentificationSequence(name="alkit", family=family, version=_version())
    kinds = hd.seg.SegmentAlgorithmTypeValues
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:LONGEST],
        segmented_property_category=concepts.SCT.Tissue,
        segmented_property_type=concepts.SCT.Tissue,
        algorithm_type=kinds.AUTOMATIC if automatic else kinds.MANUAL,
        algorithm_identification=about,
    )


def _uid(*facts: str) -> Any:
    """Return a UID that follows from some texts: the same labels of the same series have the same one."""
    pydicom = reading_library("pydicom.uid", "volumes", "DICOM files")
    return pydicom.generate_uid(entropy_srcs=list(facts))


def planes_in(path: Path) -> Sequence[npt.NDArray[Any]]:
    """Return all planes of a volume of labels that alkit has written."""
    from alkit.pools.volumes.nifti import open_nifti

    part = open_nifti(path)
    return [plane.astype(np.uint8) for plane in part.planes(0, range(part.geometry.shape[2]))]
