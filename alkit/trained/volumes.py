"""Predictions for new volumes: a volume of labels for each, of the same shape and in the same place.

Slices are predicted one after another and written as they are predicted, so a volume may be larger than memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import temporary_folder
from alkit.arguments.checked import checked_except
from alkit.errors import ConfigurationError, ImageError
from alkit.labels.resizing import masks_at_original_size
from alkit.pools.decoding import Pixels
from alkit.pools.scaling import scale_pixels
from alkit.pools.volumes.geometry import Plane
from alkit.pools.volumes.scanning import Volume, find_volumes
from alkit.pools.volumes.segmentations import SUFFIX, check_writer, is_series, planes_in, write_segmentation
from alkit.pools.volumes.slices import Slices
from alkit.pools.volumes.writing import label_planes, write_volume
from alkit.rng import threads
from alkit.sharing.worker import Tick
from alkit.sharing.workers import Workers, check_workers
from alkit.trained.fitting import fitting_probabilities
from alkit.trained.folder import Outcome
from alkit.trained.model import TrainedModel, check_trained
from alkit.trained.output import class_row, prepare_output, write_classes
from alkit.trained.shared import Said, write_shared
from alkit.values.label_spec import Images
from alkit.values.predictions import Predictions
from alkit.values.progress import Report, quiet


@checked_except("model", "workers")
def predict_volumes(
    model: TrainedModel,
    volumes: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    pattern: str = "**/*",
    overwrite: bool = False,
    dicom_seg: bool = False,
    report: Report = quiet,
    workers: Workers = None,
) -> Outcome:
    """Write the predictions for the volumes of a folder.

    Volumes are cut and read like those of the record's pool. ``out/masks/<id>.nii.gz`` holds class ids, with the shape
    and the affine of the volume; :class:`alkit.pools.VolumeMasks` can read this folder. If each slice has one class,
    ``out/classes.csv`` has a row per slice with id, class and probability.

    Parameters
    ----------
    model:
        The model, see :func:`trained_model`.
    volumes, pattern:
        Folder of volumes and pattern of file names, see :class:`alkit.VolumePool`.
    out:
        Folder to write to.
    overwrite:
        Whether to replace existing files. Without it, an existing file is an error, and nothing is predicted.
    dicom_seg:
        Whether to write ``out/masks/<id>.seg.dcm``, too, for each DICOM series: a DICOM segmentation, which refers to
        its images. The number of a segment is its class id. Needs ``pip install "alkit[dicom-seg]"``.
    report:
        Called with the progress of stage ``predict`` after each volume.
    workers:
        Who predicts, as :class:`alkit.Experiment` takes it. The predictions are the same.

    Raises
    ------
    DataError
        The folder does not exist or holds no volumes, or two volumes have the same id.
    ConfigurationError
        A file exists already, `out` is inside `volumes` or the other way round, the pattern matches files outside
        `volumes`, or the record's pool was not a folder of volumes; or `dicom_seg` is given without a DICOM series, or
        for classes of slices.
    MissingDependencyError
        highdicom is not installed, and `dicom_seg` needs it.
    StoreError
        `out` cannot be written.
    """
    check_trained(model)
    workers = check_workers(workers)
    source, target, per_image = Path(volumes), Path(out), model.spec.per == "image"
    slices, unusable = _slices(model, source, pattern)
    table = target / "classes.csv"
    masks, series = target / "masks", _series(slices, per_image=per_image) if dicom_seg else ()
    planned = [masks / f"{id}.nii.gz" for id in slices.volumes] + [masks / f"{id}{SUFFIX}" for id in series]
    planned = [table] if per_image else planned
    others = [masks / f"{id}.nii.gz" for id in unusable]
    others += [masks / f"{id}{SUFFIX}" for id in (*slices.volumes, *unusable) if id not in series]
    prepare_output(target, source, [masks], planned, overwrite=overwrite, noun="volumes", others=others)
    said = Said(failed={id: str(error) for id, error in unusable.items()})
    write = partial(_write_volumes, slices=replace(slices, volumes={}), masks=masks, series=tuple(series))
    write_shared(model, [[item] for item in slices.volumes.items()], write, said, report, workers)
    write_classes(table, said.rows, model.spec)
    return Outcome(tuple(said.done), said.failed)


def _write_volumes(
    model: TrainedModel,
    volumes: Sequence[tuple[str, Volume]],
    said: Said,
    tick: Tick,
    *,
    slices: Slices,
    masks: Path,
    series: Sequence[str],
) -> None:
    """Write the predictions for some volumes, and add what became of them."""
    own = replace(slices, volumes=dict(volumes))
    for id, volume in volumes:
        try:
            if model.spec.per == "image":
                said.rows += _classes(model, own, volume)
            else:
                path = masks / f"{id}.nii.gz"
                _write_labels(model, own, volume, path)
                if id in series:
                    part, spec = volume.parts[0], model.spec
                    write_segmentation(masks / f"{id}{SUFFIX}", part, planes_in(path), spec, "model")
        except ImageError as error:
            said.failed[id] = str(error)
        else:
            said.done.append(id)
        tick(1)


def _series(slices: Slices, *, per_image: bool) -> list[str]:
    """Return the ids of the volumes that are DICOM series, after a check that segmentations of them can be written."""
    check_writer()
    if per_image:
        raise ConfigurationError("dicom_seg needs a model of masks", got="one class for each slice")
    if not (found := [id for id, volume in slices.volumes.items() if is_series(volume.parts[0])]):
        raise ConfigurationError("dicom_seg needs DICOM series, to which segmentations refer", got="other volumes only")
    return found


def _slices(model: TrainedModel, folder: Path, pattern: str) -> tuple[Slices, Mapping[str, ImageError]]:
    """Return the source of a folder's slices, and the errors of volumes that cannot be used."""
    reading = model.slicing
    if reading is None:
        raise ConfigurationError(
            "the record must be of a pool of volumes, so that volumes can be read in the same way",
            hint="in Python, Experiment.open(store, pool=pool).predict(new_pool)",
        )
    if ".." in Path(pattern).parts:
        raise ConfigurationError(f"pattern must not match files outside {folder}", got=repr(pattern))
    unusable: dict[str, ImageError] = {}
    found = find_volumes(folder, pattern, reading.modalities, unusable, "volumes")
    return Slices(folder, (pattern, *reading.modalities), reading.cutting, found), unusable


def _predictions(
    model: TrainedModel, slices: Slices, volume: Volume
) -> Iterator[tuple[tuple[str, ...], npt.NDArray[np.float32]]]:
    """Yield names of slices, in the order of the array, and their class probabilities, in batches."""
    _, height, width = model.shape
    at_once = max(1, min(2**20 // (height * width), 64))
    names: list[str] = []
    images: list[Images] = []
    for name, pixels in _with_context(slices, volume, slices.cutting.context):
        if pixels.shape != model.shape:
            raise ImageError(
                f"the volume {volume.id} differs from those that the model was trained on",
                got=f"(channels, height, width) {pixels.shape} of its slices",
                expected=str(model.shape),
                hint="resample it, or save it with the same channels",
            )
        names.append(name.rpartition("//")[2])
        images.append(scale_pixels(pixels[None], "full"))
        if len(images) == at_once:
            yield _of_batch(model, names, images)
            names, images = [], []
    if images:
        yield _of_batch(model, names, images)


def _of_batch(
    model: TrainedModel, names: list[str], images: list[Images]
) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    with threads(model.threads):
        probabilities = fitting_probabilities(model.predictor, np.concatenate(images), model.spec)
    return tuple(names), probabilities


def _with_context(slices: Slices, volume: Volume, context: int) -> Iterator[tuple[str, Pixels]]:
    """Yield the slices of a volume in the order of the array, each with its neighbours as further channels.

    Neighbours follow the order of their numbers, as in :class:`alkit.VolumePool`; the last slices are repeated.
    """
    plane, count = slices.plane(volume), slices.plane(volume).count(volume.geometry)
    offsets = range(-context, context + 1)[:: -1 if plane.is_reversed else 1]
    near: dict[int, tuple[str, Pixels]] = {}
    ready = 0
    for place, (name, pixels, _) in enumerate(slices.items(volume.file)):
        near[place] = name, pixels
        while ready < count and min(ready + context, count - 1) <= place:
            around = [near[min(max(ready + offset, 0), count - 1)][1] for offset in offsets]
            yield near[ready][0], np.concatenate(around)
            near.pop(ready - context, None)
            ready += 1


def _write_labels(model: TrainedModel, slices: Slices, volume: Volume, path: Path) -> None:
    """Predict a volume and write its labels. Slices across the third axis are written as they are predicted."""
    plane, part = slices.plane(volume), volume.parts[0]
    if plane.axis == 2:
        write_volume(path, part, "|u1", (cut for _, cut in _cuts(model, slices, volume, plane)))
        return
    with temporary_folder() as private:
        sides = [side for axis, side in enumerate(volume.geometry.shape) if axis != plane.axis]
        shape = (plane.count(volume.geometry), *sides)
        kept = np.memmap(private / "labels", np.uint8, "w+", shape=shape)
        for number, (_, cut) in enumerate(_cuts(model, slices, volume, plane)):
            kept[number] = cut
        write_volume(path, part, "|u1", label_planes(volume.geometry, plane, dict(enumerate(kept))))
        del kept


def _cuts(model: TrainedModel, slices: Slices, volume: Volume, plane: Plane) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the predicted labels of each slice as the array stores them, in its order."""
    frame = slices.frame(volume)
    for names, probabilities in _predictions(model, slices, volume):
        for name, rows in zip(names, probabilities, strict=True):
            (mask,) = masks_at_original_size(Predictions((name,), rows[None]), [frame])
            yield name, plane.turn_back(mask)


def _classes(model: TrainedModel, slices: Slices, volume: Volume) -> list[tuple[str, ...]]:
    found = []
    for names, probabilities in _predictions(model, slices, volume):
        for name, row in zip(names, probabilities, strict=True):
            found.append(class_row(f"{volume.id}/{name}", row, model.spec))
    return sorted(found)
