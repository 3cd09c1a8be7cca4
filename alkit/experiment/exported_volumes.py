"""Write the labels of slices as NIfTI volumes, each in the shape and the place of its volume."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from alkit._files import make_folder, write_atomically
from alkit.errors import ConfigurationError
from alkit.experiment.exported import Exported, ExportedLabel, folder_name
from alkit.oracles.existing_volumes import SLICES
from alkit.pools.volumes.pool import VolumePool, volumes_of
from alkit.pools.volumes.writing import label_planes, write_volume

FOLDER = "volumes"
"""Name of the folder of the volumes."""


def write_volumes(folder: Path, found: Exported) -> dict[tuple[str | None, str], str]:
    """Write the labels below ``volumes``, and beside them a table of the slices that are labelled.

    Returns
    -------
    files:
        Path of each label in the folder, by annotator and image.

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
    files: dict[tuple[str | None, str], str] = {}
    for name, labels in found.labels.items():
        own = FOLDER if name is None else f"{FOLDER}/{folder_name(name)}"
        by_volume: dict[str, list[ExportedLabel]] = {}
        for label in labels:
            by_volume.setdefault(pool.place(label.id)[0].id, []).append(label)
        for id, slices in by_volume.items():
            path = folder / own / f"{id}.nii.gz"
            make_folder(path.parent)
            _write(path, pool, id, slices)
            files |= {(name, label.id): f"{own}/{id}.nii.gz" for label in slices}
        rows = [(label.id, files[name, label.id].removeprefix(f"{own}/")) for label in labels]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("id", "file"), *rows])
        write_atomically(folder / own / SLICES, text.getvalue().encode())
    return files


def _write(path: Path, pool: VolumePool, id: str, slices: list[ExportedLabel]) -> None:
    volume, plane = pool.volumes[id], pool.plane(id)
    cuts = {pool.place(label.id)[1]: plane.turn_back(label.label) for label in slices}
    write_volume(path, volume.parts[0], "|u1", label_planes(volume.geometry, plane, cuts))
