"""Write the labels of slices as NIfTI volumes, each in the shape and the place of its volume."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from alkit._files import make_folder, write_atomically
from alkit.errors import ConfigurationError
from alkit.experiment.exported import Exported, ExportedLabel, Files, folder_names
from alkit.oracles.existing_volumes import SLICES
from alkit.pools.volumes.parts import Part
from alkit.pools.volumes.pool import VolumePool, volumes_of
from alkit.pools.volumes.segmentations import SUFFIX, check_writer, is_series, planes_in, write_segmentation
from alkit.pools.volumes.writing import label_planes, write_volume

FOLDER = "volumes"
"""Name of the folder of the volumes."""


def volume_files(found: Exported) -> Files:
    """Return the path of each label in the folder.

    Raises
    ------
    DataError
        The pool does not consist of slices of volumes.
    ConfigurationError
        A label does not have the original size of its slice.
    """
    pool = volumes_of(found.pool)
    other = [
        label.id
        for labels in found.labels.values()
        for label in labels
        if label.label.shape != pool.sizes([label.id])[0][0]
    ]
    if other:
        raise ConfigurationError(
            f"{len(other)} labels do not have the original size of their slices, such as that of {other[0]!r}",
            hint="form='masks'",
        )
    own = _folders(found)
    return {
        (name, label.id): f"{own[name]}/{pool.place(label.id)[0].id}.nii.gz"
        for name, labels in found.labels.items()
        for label in labels
    }


def write_volumes(folder: Path, found: Exported, files: Files) -> None:
    """Write the labels below ``volumes``, and beside them a table of the slices that are labelled."""
    pool, own = volumes_of(found.pool), _folders(found)
    for name, labels in found.labels.items():
        by_volume: dict[str, list[ExportedLabel]] = {}
        for label in labels:
            by_volume.setdefault(pool.place(label.id)[0].id, []).append(label)
        for id, slices in by_volume.items():
            path = folder / files[name, slices[0].id]
            make_folder(path.parent)
            _write(path, pool, id, slices)
        rows = [(label.id, files[name, label.id].removeprefix(f"{own[name]}/")) for label in labels]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("id", "file"), *rows])
        write_atomically(folder / own[name] / SLICES, text.getvalue().encode())


def _folders(found: Exported) -> dict[str | None, str]:
    return {None: FOLDER, **{name: f"{FOLDER}/{own}" for name, own in folder_names(found.labels).items()}}


def segmentation_files(found: Exported, files: Files) -> set[str]:
    """Return the paths of the DICOM segmentations, one for each labelled volume that is a DICOM series.

    Raises
    ------
    ConfigurationError
        No labelled volume is a DICOM series.
    MissingDependencyError
        highdicom is not installed.
    """
    check_writer()
    paths = {segmentation for segmentation, *_ in _segmented(found, files)}
    if files and not paths:
        raise ConfigurationError(
            "form='dicom-seg' needs labels of DICOM series, to which segmentations refer",
            got="volumes of other formats",
            hint="form='nifti'",
        )
    return paths


def write_segmentations(folder: Path, found: Exported, files: Files) -> None:
    """Write the labels as :func:`write_volumes` does, and beside each volume of a DICOM series a DICOM segmentation.

    Raises
    ------
    ImageError
        The images of a series lack what a segmentation refers to.
    """
    write_volumes(folder, found, files)
    for path, volume, part in _segmented(found, files):
        write_segmentation(folder / path, part, planes_in(folder / volume), found.spec, "people")


def _segmented(found: Exported, files: Files) -> Iterator[tuple[str, str, Part]]:
    """Yield the path of each segmentation, that of its volume of labels, and the series."""
    pool = volumes_of(found.pool)
    done: set[str] = set()
    for (_, label), file in files.items():
        part = pool.place(label)[0].parts[0]
        if file not in done and is_series(part):
            done.add(file)
            yield file.removesuffix(".nii.gz") + SUFFIX, file, part


def _write(path: Path, pool: VolumePool, id: str, slices: list[ExportedLabel]) -> None:
    volume, plane = pool.volumes[id], pool.plane(id)
    cuts = {pool.place(label.id)[1]: plane.turn_back(label.label) for label in slices}
    write_volume(path, volume.parts[0], "|u1", label_planes(volume.geometry, plane, cuts))
