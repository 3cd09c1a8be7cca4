"""Masks of the slices of volumes, from volumes of labels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import without_tilde
from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, ImageError, LabelError, MissingDependencyError
from alkit.pools.base import Subset
from alkit.pools.decoding import File
from alkit.pools.names import check_folder, find_names
from alkit.pools.volumes.blocks import ACROSS, ALONG, cut
from alkit.pools.volumes.nifti import NiftiFile
from alkit.pools.volumes.parts import Part, joined_facts
from alkit.pools.volumes.pool import VolumePool, volumes_of
from alkit.pools.volumes.scanning import FIELD, Volume, open_part, volume_id

USUAL = "{volume}.nii.gz"
"""Usual file name of the labels of a volume."""

FEW = 5
"""Most reasons that a message lists."""


@checked
class VolumeMasks(Mapping[str, npt.NDArray[Any]]):
    """The masks of slices by id, cut from volumes of labels in the same way as the images.

    Headers are checked at once. Labels are read when they are needed; those of one volume, or of a part of a large one,
    are kept until another is needed.

    Parameters
    ----------
    pool:
        The slices: an :class:`alkit.VolumePool`, or a subset of one.
    folder:
        Folder of the volumes of labels: NIfTI, NRRD or MetaImage files with one integer for each voxel.
    pattern:
        File name of the labels of a volume, with ``{volume}`` for its id, such as ``"{volume}_seg.nii.gz"``. None: the
        id with any suffix of a volume.

    Raises
    ------
    DataError
        The folder does not exist, or `pool` does not consist of slices of volumes.
    ConfigurationError
        `pattern` does not contain ``{volume}``.
    LabelError
        A volume has no labels, or its labels have another shape, orientation or place, or several channels. The message
        states how many, and the reasons of the first.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel
    >>> import alkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("images", "labels"):
    ...         Path(folder, name).mkdir()
    ...         array = np.arange(60, dtype=np.int16).reshape(3, 4, 5) % 2
    ...         nibabel.Nifti1Image(array, np.eye(4)).to_filename(f"{folder}/{name}/case1.nii.gz")
    ...     pool = alkit.VolumePool(f"{folder}/images", cache=f"{folder}/cache")
    ...     masks = VolumeMasks(pool, f"{folder}/labels")
    ...     masks["case1/axial-0001"].shape
    (4, 3)
    """

    def __init__(self, pool: VolumePool | Subset, folder: str | Path, pattern: str | None = None) -> None:
        place = without_tilde(folder)
        check_folder(place, "folder", "labels")
        if pattern is not None and FIELD not in pattern:
            raise ConfigurationError("pattern must contain {volume}", got=repr(pattern), hint="'{volume}.nii.gz'")
        self._pool, self._ids = volumes_of(pool), dict.fromkeys(pool.ids)
        volumes = dict.fromkeys(self._pool.place(id)[0].id for id in self._ids)
        self._labels, faults, _ = find_labels(self._pool, place, pattern, list(volumes))
        missing = [
            f"the volume {id} has no labels: expected a file such as {place / (pattern or USUAL).replace(FIELD, id)}"
            for id in volumes
            if id not in self._labels and id not in faults
        ]
        if wrong := [*missing, *faults.values()]:
            listed = "; ".join(wrong[:FEW]) + ("; ..." if len(wrong) > FEW else "")
            raise LabelError(listed if len(wrong) == 1 else f"{len(wrong)} volumes have no labels: {listed}")
        self._kept: tuple[str, int, npt.NDArray[Any]] | None = None
        self._checked = dict[str, ImageError | None]()

    def __getitem__(self, id: str) -> npt.NDArray[Any]:
        if id not in self._ids:
            raise KeyError(id)
        volume, number = self._pool.place(id)
        labels, kept = self._current(volume), self._kept
        if kept is None or kept[0] != volume.id or not kept[1] <= number < kept[1] + len(kept[2]):
            plane = self._pool.plane(volume.id)
            height, width = plane.size(labels.geometry)
            most = ALONG if plane.axis == 2 else ACROSS // 4
            count = max(1, most // (4 * height * width))
            start = number // count * count
            try:
                if count < plane.count(labels.geometry):
                    self._check(volume.id)
                block = cut(labels, plane, start, min(count, plane.count(labels.geometry) - start))[:, 0]
            except ImageError as error:
                raise LabelError(f"the labels of {volume.id} cannot be read ({error})") from error
            kept = self._kept = volume.id, start, block
        values = kept[2][number - kept[1]]
        found: npt.NDArray[Any] = np.rint(values).astype(np.int32)
        if not np.array_equal(found, values):
            wrong, file = values[found != values][:3].tolist(), labels.parts[0].paths[0]
            raise LabelError(f"the labels of {id!r} in {file} must be integers", got=wrong)
        return found

    def _current(self, volume: Volume) -> Volume:
        """Return the labels of a volume; those that were saved again since they were opened are opened again."""
        labels = self._labels[volume.id]
        path = labels.parts[0].paths[0]
        try:
            if labels.file == _file_of(labels.parts[0]):
                return labels
            labels = _open_labels(volume, path)
        except (ImageError, OSError) as error:
            raise LabelError(f"the labels of {volume.id} cannot be read ({error})") from error
        self._labels[volume.id] = labels
        self._kept = None if self._kept is not None and self._kept[0] == volume.id else self._kept
        self._checked.pop(volume.id, None)
        return labels

    def _check(self, volume: str) -> None:
        """Check labels whose damage would be noticed only in their last block; the file is read once for that."""
        part = self._labels[volume].parts[0]
        if volume not in self._checked:
            self._checked[volume] = None
            try:
                if isinstance(part, NiftiFile):
                    part.check()
            except ImageError as error:
                self._checked[volume] = error
        if (found := self._checked[volume]) is not None:
            raise found

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: object) -> bool:
        return id in self._ids

    def __repr__(self) -> str:
        return f"VolumeMasks({len(self._ids)} slices of {len(self._labels)} volumes)"


def masks_of(pool: VolumePool, ids: Iterable[str], labels: Mapping[str, Volume]) -> VolumeMasks:
    """Return the masks of some slices from labels that :func:`find_labels` has found."""
    masks = VolumeMasks.__new__(VolumeMasks)
    masks._pool, masks._ids, masks._labels, masks._kept = pool, dict.fromkeys(ids), dict(labels), None
    masks._checked = {}
    return masks


def find_labels(
    pool: VolumePool, folder: Path, pattern: str | None, ids: Sequence[str]
) -> tuple[dict[str, Volume], dict[str, str], list[str]]:
    """Return the labels of volumes by id, what is wrong with those of others, and the files of no volume of `ids`.

    Parameters as in :class:`VolumeMasks`; `ids` are those of volumes.
    """
    named: dict[str, list[str]] = {}
    wanted = None if pattern is None else re.compile(re.escape(pattern).replace(re.escape(FIELD), "(.+)", 1))
    for name in sorted(find_names(folder, "**/*")):
        plain = name.replace(os.sep, "/")
        if wanted is None:
            own = volume_id(name)
        else:
            match = wanted.fullmatch(plain)
            own = match[1] if match and volume_id(name) is not None else None
        if own is not None:
            named.setdefault(own, []).append(name)
    labels: dict[str, Volume] = {}
    faults: dict[str, str] = {}
    for id in ids:
        names = named.pop(id, [])
        if len(names) > 1:
            faults[id] = f"the volume {id} has two files of labels, {' and '.join(names)}"
        elif names:
            try:
                labels[id] = _open_labels(pool.volumes[id], folder / names[0])
            except (ImageError, LabelError, MissingDependencyError, OSError) as error:
                faults[id] = str(error)
    return labels, faults, [name.replace(os.sep, "/") for names in named.values() for name in names]


def _open_labels(volume: Volume, path: Path) -> Volume:
    part = open_part(path)
    if part.channels != 1:
        raise LabelError(f"{path} must have one label for each voxel", got=f"{part.channels} channels")
    if (other := volume.geometry.difference(part.geometry)) is not None:
        raise LabelError(f"{path} does not fit {volume.parts[0].paths[0]}", got=other, hint="resample it")
    return Volume(volume.id, (part,), _file_of(part))


def _file_of(part: Part) -> File:
    """Return the name of a part and what tells whether its files were written again."""
    found = [(os.fspath(path), path.stat()) for path in part.paths]
    files = [File(name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns) for name, facts in found]
    return joined_facts(files[0].name, files)
