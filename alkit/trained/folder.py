"""Predictions for new images, at the original size of each image.

A model works at a single size. Its probabilities are resized to an image's original size before each pixel gets its
most probable class. Enlarging the mask instead would give every outline the steps of the smaller size.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from alkit._files import write_atomically
from alkit.arguments.checked import checked, checked_except
from alkit.errors import ConfigurationError, DataError, ImageError
from alkit.labels.masks import mask_png
from alkit.labels.resizing import masks_at_original_size
from alkit.pictures.overlay import overlay
from alkit.pools import decoding
from alkit.pools.decoding import Pixels
from alkit.pools.scaling import scale_pixels
from alkit.pools.sources import BETWEEN, ImageFiles
from alkit.rng import threads
from alkit.sharing.worker import Tick
from alkit.sharing.workers import Workers, check_workers
from alkit.trained.fitting import fitting_probabilities
from alkit.trained.model import TrainedModel, check_trained, check_type
from alkit.trained.output import class_row, prepare_output, write_classes
from alkit.trained.shared import Said, write_shared
from alkit.trained.tiles import predict_tiles
from alkit.values.frames import Fit, Frame
from alkit.values.label_spec import Mask, Size
from alkit.values.predictions import Predictions
from alkit.values.progress import Progress, Report, quiet


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """The prediction for one new image.

    Parameters
    ----------
    id:
        Id of the image: its path relative to the folder, without the suffix.
    path:
        File of the image.
    size:
        Original height and width of the image.
    probabilities:
        Class probabilities: ``(classes, h, w)`` at the working size, or ``(classes,)`` if each image has one class; if
        it can have several, ``(2, classes)``, that each is absent, and present.
    fit:
        How the image became one of the working size, see :data:`alkit.values.Fit`.
    name:
        Name of the item of its file, see :mod:`alkit.pools.sources`; empty if it is not known.
    """

    id: str
    path: Path
    size: Size
    probabilities: npt.NDArray[np.float32]
    fit: Fit = "squash"
    name: str = ""

    @property
    def mask(self) -> Mask:
        """Mask at the image's original size, ``(h, w)``; see :func:`alkit.labels.resizing.masks_at_original_size`."""
        predictions = Predictions((self.id,), self.probabilities[None])
        if self.probabilities.ndim != 3:
            return masks_at_original_size(predictions, [self.size])[0]  # which is an error
        _, height, width = self.probabilities.shape
        return masks_at_original_size(predictions, [Frame(self.size, (height, width), self.fit)])[0]


@checked
def predict_images(
    model: TrainedModel, folder: str | Path, failed: Callable[[str, ImageError], None], pattern: str = "**/*"
) -> Iterator[Predicted]:
    """Yield the predictions for the images of a folder, in the order of their ids.

    Images are read like those of the record's pool: at the same working size, with the same colours and scale. No cache
    is written. Only a batch of about a million pixels at the working size is in memory at a time.

    Parameters
    ----------
    model:
        The model, see :func:`trained_model`.
    folder, pattern:
        Folder of images and pattern of file names, see :class:`alkit.ImagePool`.
    failed:
        Called with the id and the error of each image that cannot be used. The other images are predicted.

    Raises
    ------
    DataError
        The folder does not exist or holds no images, or two images have the same id.
    ConfigurationError
        The record's pool was not a folder of images, or the pattern matches files outside the folder.
    """
    files, unusable = _scan(model, Path(folder), pattern, "folder")
    for id, reason in unusable.items():
        failed(id, reason)
    _ids(source_of(model, Path(folder)), files)
    return _predict_images(model, Path(folder), files, failed)


def _scan(
    model: TrainedModel, folder: Path, pattern: str, name: str
) -> tuple[Mapping[str, decoding.File], Mapping[str, ImageError]]:
    """Return the image files of a folder, and the errors of those that cannot be accessed, by id."""
    if model.reading is None:
        raise ConfigurationError(
            "the record must be of a pool of image files, so that files can be read in the same way",
            hint="in Python, Experiment.open(store, pool=pool).predict(new_pool)"
            if model.slicing is None
            else "predict_volumes(), because it is of slices of volumes",
        )
    if ".." in Path(pattern).parts:
        raise ConfigurationError(f"pattern must not match files outside {folder}", got=repr(pattern))
    unusable: dict[str, ImageError] = {}
    return decoding.scan(folder, pattern, name, unusable), unusable


def _predict_images(
    model: TrainedModel,
    folder: Path,
    files: Mapping[str, decoding.File],
    failed: Callable[[str, ImageError], None],
) -> Iterator[Predicted]:
    source, at_once = source_of(model, folder), _at_once(model)
    waiting: list[tuple[str, Path, Size, str]] = []
    images: list[Pixels] = []
    for number, (id, file) in enumerate(files.items(), start=1):
        try:
            for name, read, size in source.items(file):
                own = _id_of(name, id)
                images.append(_input(model, read, source.path(name)))
                waiting.append((own, source.path(name), size, name))
        except ImageError as reason:
            failed(id, reason)
        if images and (len(images) >= at_once or number == len(files)):
            with threads(model.threads):
                probabilities = fitting_probabilities(model.predictor, np.concatenate(images), model.spec)
            for (done, where, whole, name), rows in zip(waiting, probabilities, strict=True):
                yield Predicted(done, where, whole, rows, source.fit, name)
            waiting.clear()
            images.clear()


def _at_once(model: TrainedModel) -> int:
    """Return the number of images in a batch."""
    _, height, width = model.shape
    return max(1, min(2**20 // (height * width), 64))


def _ids(source: ImageFiles, files: Mapping[str, decoding.File]) -> list[str]:
    """Return the ids of all images in some files, whose pages may be images.

    Raises
    ------
    DataError
        A page and another image have the same id.
    """
    found: dict[str, decoding.File] = {}
    for id, file in files.items():
        try:
            names = source.names(file)
        except ImageError:
            names = [file.name]  # it is not predicted, with the reason
        for own in (_id_of(name, id) for name in names):
            if (other := found.setdefault(own, file)) is not file:
                raise DataError(
                    "two images have the same id",
                    got=f"a page and an image, both {own!r}: {other.name} and {file.name}",
                )
    return list(found)


def _id_of(name: str, id: str) -> str:
    """Return the id of an image from the name of its item, and the id of its file."""
    return f"{id}/{name.partition(BETWEEN)[2]}" if BETWEEN in name else id


def source_of(model: TrainedModel, folder: Path) -> ImageFiles:
    """Return how the files of a folder become input of the model."""
    reading = model.reading
    assert reading is not None  # checked by _scan
    return ImageFiles(folder, reading.size, reading.grayscale, "**/*", reading.fit, (), reading.pages)


def _input(model: TrainedModel, pixels: Pixels, path: Path) -> npt.NDArray[np.float32]:
    """Return an image as input of the model, ``(1, c, h, w)``."""
    assert model.reading is not None  # checked by _scan
    if pixels.shape != model.shape:
        raise ImageError(
            f"{path} differs from the images that the model was trained on",
            got=f"(channels, height, width) {pixels.shape}",
            expected=str(model.shape),
            hint="resize it, or save it with the same colours and bits",
        )
    check_type(pixels.dtype, model.reading, path)
    scaled: npt.NDArray[np.float32] = scale_pixels(pixels[None], model.reading.scale)
    return scaled


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of predicting a folder.

    Parameters
    ----------
    done:
        Ids of the images with a prediction, in order.
    failed:
        Reason, by id, for each image without a prediction.
    """

    done: tuple[str, ...]
    failed: Mapping[str, str]


@checked_except("model", "workers")
def predict_folder(
    model: TrainedModel,
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    pattern: str = "**/*",
    overlays: bool = True,
    overwrite: bool = False,
    stride: int | None = None,
    report: Report = quiet,
    workers: Workers = None,
) -> Outcome:
    """Write the predictions for the images of a folder.

    ``out/masks/<id>.png`` holds class ids at the image's original size; :class:`alkit.MaskOracle` can read this folder.
    ``out/overlays/<id>.jpg`` shows the image with its mask. If each image has one class, ``out/classes.csv`` has a row
    per image with id, class and probability. If it can have several, the row has the id, the classes with a probability
    above 0.5, such as ``cat|dog`` or ``none``, and the probability of each class.

    A model of tiles writes ``out/masks/<id>.tif``, a tiled TIFF file of the size of the level that tiles are cut from.
    Each pixel gets the mean of the predictions of the tiles around it, weighted by its distance from their borders.
    Memory depends on the width of an image, not on its height. The overlay is an overview of the image.

    Parameters
    ----------
    model:
        The model, see :func:`trained_model`.
    images, pattern:
        Folder of images and pattern of file names, see :class:`alkit.ImagePool`.
    out:
        Folder to write to.
    overlays:
        Whether to write overlays.
    overwrite:
        Whether to replace existing files. Without it, an existing file is an error, and nothing is predicted.
    stride:
        Distance between tiles, for a model of tiles. Default: that of its training.
    report:
        Called with the progress of stage ``predict`` after each image.
    workers:
        Who predicts, as :class:`alkit.Experiment` takes it. The predictions are the same.

    Raises
    ------
    DataError
        The folder does not exist or holds no images, or two images have the same id.
    ConfigurationError
        A file exists already, `out` is inside `images` or the other way round, the pattern matches files outside
        `images`, or the record's pool was not a folder of images.
    StoreError
        `out` cannot be written.
    """
    check_trained(model)
    workers = check_workers(workers)
    source, target = Path(images), Path(out)
    if model.tiles is not None:
        given = {"pattern": pattern, "overlays": overlays, "overwrite": overwrite, "stride": stride, "report": report}
        given["workers"] = workers
        return Outcome(*predict_tiles(model, model.tiles, source, target, **given))  # type: ignore[arg-type]
    if stride is not None:
        raise ConfigurationError("stride can be given only for a model of tiles", got=stride, hint="leave it out")
    (files, unusable), per_image = _scan(model, source, pattern, "images"), model.spec.per == "image"
    masks, shown, table = target / "masks", target / "overlays", target / "classes.csv"
    ids = _ids(source_of(model, source), files)
    planned = [table] if per_image else [_named(masks, id, ".png") for id in ids]
    others = [path for id in unusable for path in (_named(masks, id, ".png"), _named(shown, id, ".jpg"))]
    # Overlays that are not written again would show other masks.
    (planned if overlays else others).extend(_named(shown, id, ".jpg") for id in ids if not per_image)
    prepare_output(target, source, [masks, shown], planned, overwrite=overwrite, others=others)
    said = Said(failed={id: str(error) for id, error in unusable.items()})
    for number in range(len(unusable)):
        report(Progress("predict", number + 1, len(files) + len(unusable)))
    listed, at_once = list(files.items()), _at_once(model)
    shards = [listed[start : start + at_once] for start in range(0, len(listed), at_once)]
    write = partial(_write_images, folder=source, masks=masks, shown=shown if overlays else None)
    write_shared(model, shards, write, said, report, workers)
    write_classes(table, said.rows, model.spec)
    return Outcome(tuple(said.done), said.failed)


def _write_images(
    model: TrainedModel,
    files: Sequence[tuple[str, decoding.File]],
    said: Said,
    tick: Tick,
    *,
    folder: Path,
    masks: Path,
    shown: Path | None,
) -> None:
    """Write the predictions for some files, and add what became of them."""
    reader = source_of(model, folder)

    def failed(id: str, reason: ImageError) -> None:
        said.failed[id] = str(reason)
        tick(1)

    for one in _predict_images(model, folder, dict(files), failed):
        if model.spec.per == "image":
            said.rows.append(class_row(one.id, one.probabilities, model.spec))
        else:
            try:
                _write_mask(
                    one, _named(masks, one.id, ".png"), None if shown is None else _named(shown, one.id, ".jpg"), reader
                )
            except ImageError as reason:  # the file changed since it was read
                failed(one.id, reason)
                continue
        said.done.append(one.id)
        tick(1)


def _write_mask(one: Predicted, path: Path, shown: Path | None, source: ImageFiles) -> None:
    mask = one.mask
    if shown is not None:
        pixels, size = source.decode(one.name, None, grayscale=False)
        if size != one.size:
            raise ImageError(f"{one.path} has changed since it was read", got=size, expected=one.size)
        file = io.BytesIO()
        Image.fromarray(overlay(pixels[:3] if len(pixels) > 2 else pixels[:1], mask)).save(
            file, "JPEG", quality=90, subsampling=0
        )
        write_atomically(shown, file.getvalue())
    write_atomically(path, mask_png(mask))


def _named(folder: Path, id: str, suffix: str) -> Path:
    return folder / f"{id}{suffix}"  # not with_suffix, because an id may contain dots
