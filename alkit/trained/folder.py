"""What a model says of new images, at the size the images have.

A model works at one size, the images come in many. Its probabilities are brought to an image's own size, and then each
pixel goes to its most probable class. The other way round, a mask that is enlarged, would have the coarse model's
steps along every outline.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from alkit._files import make_folder, write_atomically
from alkit.errors import ConfigurationError, ImageError
from alkit.labels.masks import mask_png
from alkit.labels.resizing import masks_at_original_size
from alkit.pictures.overlay import overlay
from alkit.pools import decoding
from alkit.pools.decoding import Pixels
from alkit.pools.scaling import scale_pixels
from alkit.rng import threads
from alkit.trained.model import TrainedModel
from alkit.values.label_spec import Mask, Size
from alkit.values.predictions import Predictions
from alkit.values.progress import Progress, Report, quiet


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What a model says of one new image.

    Parameters
    ----------
    id:
        The file's name relative to its folder, without the suffix.
    path:
        The file.
    size:
        The image's own height and width, as a viewer shows it.
    probabilities:
        Of the classes, ``(classes, h, w)`` at the working size, or ``(classes,)`` of the image.
    """

    id: str
    path: Path
    size: Size
    probabilities: npt.NDArray[np.float32]

    @property
    def mask(self) -> Mask:
        """The mask at the image's own size: see :func:`masks_at_original_size`."""
        return masks_at_original_size(Predictions((self.id,), self.probabilities[None]), [self.size])[0]


def predict_images(
    model: TrainedModel, folder: str | Path, failed: Callable[[str, ImageError], None], pattern: str = "**/*"
) -> Iterator[Predicted]:
    """Yield what a model says of the images of a folder, in the order of their ids.

    They are read as the record's pool is: at the same working size, in the same colours, on the same scale. No cache is
    written, and a batch of about a million pixels at the working size is in memory at a time, however many images
    there are.

    Parameters
    ----------
    folder, pattern:
        Which files: see :class:`alkit.ImagePool`.
    failed:
        Told the id of each image that cannot be used, and why; the others go on.

    Raises
    ------
    DataError
        No such folder, no image in it, or two images with one id.
    ConfigurationError
        The record's pool was no folder of images, or the pattern leads out of the folder.
    """
    return _predict_images(model, Path(folder), _scan(model, Path(folder), pattern), failed)


def _scan(model: TrainedModel, folder: Path, pattern: str) -> Mapping[str, decoding.File]:
    if model.reading is None:
        raise ConfigurationError(
            "the record does not say how files become images: its pool was no folder of them",
            hint="in code, Experiment.open(..., pool=...).predict(pool) with the new images as a pool of that kind",
        )
    files = decoding.scan(folder, pattern)
    if outside := [id for id in files if ".." in id.split("/")]:
        raise ConfigurationError(f"the pattern {pattern!r} leads out of the folder", got=outside[0])
    return files


def _predict_images(
    model: TrainedModel,
    folder: Path,
    files: Mapping[str, decoding.File],
    failed: Callable[[str, ImageError], None],
) -> Iterator[Predicted]:
    _, height, width = model.shape
    at_once = max(1, min(2**20 // (height * width), 64))
    waiting: list[tuple[str, Path, Size]] = []
    images: list[Pixels] = []
    for number, (id, file) in enumerate(files.items(), start=1):
        path = folder / file.name
        try:
            pixels, size = _read(model, path)
        except ImageError as reason:
            failed(id, reason)
        else:
            waiting.append((id, path, size))
            images.append(pixels)
        if images and (len(images) == at_once or number == len(files)):
            with threads(model.threads):
                probabilities = model.predictor.probabilities(np.concatenate(images))
            for (done, where, own), rows in zip(waiting, probabilities, strict=True):
                yield Predicted(done, where, own, rows)
            waiting.clear()
            images.clear()


def _read(model: TrainedModel, path: Path) -> tuple[Pixels, Size]:
    """Return an image as the model sees it, ``(1, c, h, w)``, and its own size."""
    reading = model.reading
    assert reading is not None  # _scan has seen to it
    pixels, size = decoding.decode(path, reading.size, reading.grayscale)
    if pixels.shape != model.shape:
        raise ImageError(
            f"{path} is not as the images the model was trained on",
            got=f"(channels, height, width) {pixels.shape}",
            expected=str(model.shape),
            hint="resize it, or save it in as many colours and bits as those",
        )
    return scale_pixels(pixels[None], reading.scale), size


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the images of a folder.

    Parameters
    ----------
    done:
        Ids of those that have a prediction now, in order.
    failed:
        By id why an image has none.
    """

    done: tuple[str, ...]
    failed: Mapping[str, str]


def predict_folder(
    model: TrainedModel,
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    pattern: str = "**/*",
    overlays: bool = True,
    overwrite: bool = False,
    report: Report = quiet,
) -> Outcome:
    """Write what a model says of the images of a folder.

    ``out/masks/<id>.png`` holds class ids at the image's own size, so that the folder can be read by
    :class:`alkit.MaskOracle`; ``out/overlays/<id>.jpg`` is the image with the mask on it, to look at. Where each image
    has one class, ``out/classes.csv`` has a row for each: id, class and probability.

    Parameters
    ----------
    images, pattern:
        Which files: see :class:`alkit.ImagePool`.
    overlays:
        Whether there are to be overlays.
    overwrite:
        Whether files that are there already may be replaced. Otherwise nothing is predicted while there is one.
    report:
        Told of each image, as stage ``predict``.

    Raises
    ------
    DataError
        No such folder, no image in it, or two images with one id.
    ConfigurationError
        A file is there already; `out` lies in `images` or the other way round; the record's pool was no folder.
    StoreError
        `out` cannot be written.
    """
    source, target = Path(images), Path(out)
    files, per_image = _scan(model, source, pattern), model.spec.per == "image"
    masks, shown, table = target / "masks", target / "overlays", target / "classes.csv"
    if _inside(target, source) or any(_inside(source, folder) for folder in (masks, shown)):
        raise ConfigurationError(
            "what is written must not lie among the images", got=f"{target} for {source}", hint="another folder"
        )
    planned = [table] if per_image else [_named(masks, id, ".png") for id in files]
    planned += [_named(shown, id, ".jpg") for id in files] if overlays and not per_image else []
    if not overwrite and (there := [path for path in planned if path.exists()]):
        raise ConfigurationError(
            f"{len(there)} of the files to be written are there already",
            got=", ".join(map(str, there[:3])),
            hint="another folder, or overwrite them on purpose",
        )
    make_folder(target)
    done: list[str] = []
    reasons: dict[str, str] = {}
    rows: list[tuple[str, str, str]] = []

    def failed(id: str, reason: ImageError) -> None:
        reasons[id] = str(reason)
        report(Progress("predict", len(done) + len(reasons), len(files)))

    for one in _predict_images(model, source, files, failed):
        if per_image:
            best = int(one.probabilities.argmax())
            rows.append((one.id, model.spec.classes[best], f"{one.probabilities[best]:.6f}"))
        else:
            try:
                _write_mask(one, _named(masks, one.id, ".png"), _named(shown, one.id, ".jpg") if overlays else None)
            except ImageError as reason:  # changed since it was read
                failed(one.id, reason)
                continue
        done.append(one.id)
        report(Progress("predict", len(done) + len(reasons), len(files)))
    if rows:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("id", "class", "probability"), *rows])
        write_atomically(table, text.getvalue().encode())
    return Outcome(tuple(done), reasons)


def _write_mask(one: Predicted, path: Path, shown: Path | None) -> None:
    mask = one.mask
    if shown is not None:
        pixels, size = decoding.decode(one.path, None, grayscale=False)
        if size != one.size:
            raise ImageError(f"{one.path} was changed meanwhile", got=size, expected=one.size)
        file = io.BytesIO()
        Image.fromarray(overlay(pixels, mask)).save(file, "JPEG", quality=90, subsampling=0)
        write_atomically(shown, file.getvalue())
    write_atomically(path, mask_png(mask))


def _named(folder: Path, id: str, suffix: str) -> Path:
    return folder / f"{id}{suffix}"  # not with_suffix: an id may hold dots


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
