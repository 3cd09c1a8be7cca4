"""Predictions for large images by a model of tiles: full-size masks, written row by row."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from alkit._files import write_atomically
from alkit.checks import check_integer
from alkit.errors import ConfigurationError, DataError, ImageError, MissingDependencyError, StoreError
from alkit.pictures.overlay import overlay
from alkit.pools.decoding import SUFFIXES, File, scan
from alkit.pools.tiles.large import SLIDES, LargeImage, open_large
from alkit.pools.tiles.overview import Overview, overview_of
from alkit.rng import threads
from alkit.sharing.worker import Tick
from alkit.sharing.workers import Workers
from alkit.trained.model import TileReading, TrainedModel, check_type
from alkit.trained.output import prepare_output
from alkit.trained.shared import Said, write_shared
from alkit.trained.stitching import stitched_rows
from alkit.values.frames import Box
from alkit.values.label_spec import Mask, Size
from alkit.values.progress import Report

SIDE = 512
"""Height and width of the tiles of a written mask, in pixels."""


def predict_tiles(
    model: TrainedModel,
    reading: TileReading,
    source: Path,
    target: Path,
    *,
    pattern: str,
    overlays: bool,
    overwrite: bool,
    stride: int | None,
    report: Report,
    workers: Workers,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Write the masks of the images in a folder: see :func:`alkit.predict_folder`.

    Return the ids of the images that were predicted, and the reasons, by id, of those that were not.
    """
    if model.spec.per == "image":
        raise ConfigurationError("the model must predict masks, so that those of tiles can be stitched")
    if ".." in Path(pattern).parts:
        raise ConfigurationError(f"pattern must not match files outside {source}", got=repr(pattern))
    step = reading.stride if stride is None else (check_integer("stride", stride, least=1),) * 2
    if step[0] > reading.tile[0] or step[1] > reading.tile[1]:
        raise ConfigurationError("stride must be at most the size of a tile", got=f"{step} for tiles of {reading.tile}")
    masks, shown = target / "masks", target / "overlays"
    unusable: dict[str, ImageError] = {}
    files = scan(source, pattern, "images", unusable, SUFFIXES.union(SLIDES))
    planned = [masks / f"{id}.tif" for id in files]
    others = [path for id in unusable for path in (masks / f"{id}.tif", shown / f"{id}.jpg")]
    (planned if overlays else others).extend(shown / f"{id}.jpg" for id in files)
    prepare_output(target, source, [masks, shown], planned, overwrite=overwrite, others=others)
    said = Said(failed={id: str(error) for id, error in unusable.items()})
    write = partial(_write_tiles, source=source, step=step, masks=masks, shown=shown if overlays else None)
    write_shared(model, [[item] for item in files.items()], write, said, report, workers)
    return tuple(said.done), said.failed


def _write_tiles(
    model: TrainedModel,
    files: Sequence[tuple[str, File]],
    said: Said,
    tick: Tick,
    *,
    source: Path,
    step: Size,
    masks: Path,
    shown: Path | None,
) -> None:
    """Write the masks of some images, and add what became of them."""
    reading = model.tiles
    assert reading is not None  # checked by predict_folder
    for id, file in files:
        try:
            with open_large(source / file.name, reading.grayscale) as large, threads(model.threads):
                level = reading.source(source).level_of(large, source / file.name)
                _check_kind(model, reading, large, source / file.name)
                where = masks / f"{id}.tif", None if shown is None else shown / f"{id}.jpg"
                _predict(model, reading, large, level, step, *where)
        except (ImageError, DataError, MissingDependencyError) as reason:
            said.failed[id] = str(reason)
        else:
            said.done.append(id)
        tick(1)


def _check_kind(model: TrainedModel, reading: TileReading, large: LargeImage, path: Path) -> None:
    """Refuse an image with other channels or another type than those that the model was trained on."""
    corner = large.read(0, Box(0, 0, 1, 1))
    if len(corner) != model.shape[0]:
        raise ImageError(
            f"{path} differs from the images that the model was trained on",
            got=f"{len(corner)} channels",
            expected=model.shape[0],
            hint="save it with the same colours",
        )
    check_type(corner.dtype, reading, path)


def _predict(
    model: TrainedModel, reading: TileReading, large: LargeImage, level: int, step: Size, path: Path, shown: Path | None
) -> None:
    """Write the mask of an image, and its overview with the mask on it."""
    classes, cut = len(model.spec.classes), {"tile": reading.tile, "stride": step, "margin": reading.margin}
    bands: Iterable[Mask] = stitched_rows(large, level, model.predictor, classes, scale=reading.scale, **cut)  # type: ignore[arg-type]
    size = large.levels[level]
    if shown is None:
        write_mask(path, bands, size)
        return
    overview = overview_of(large, level)
    small = np.zeros(overview.pixels.shape[1:], np.uint8)
    write_mask(path, _sampled(bands, size, small), size)
    file = io.BytesIO()
    Image.fromarray(overlay(_shown(overview), small)).save(file, "JPEG", quality=90, subsampling=0)
    write_atomically(shown, file.getvalue())


def _shown(overview: Overview) -> npt.NDArray[np.uint8]:
    pixels = overview.pixels
    most = 255 if pixels.max() <= 255 else 65535
    whole: npt.NDArray[np.uint8] = np.rint(pixels * (255 / most)).astype(np.uint8)
    return whole


def _sampled(bands: Iterable[Mask], size: Size, small: Mask) -> Iterator[Mask]:
    """Pass bands on, and write their pixels nearest to those of a smaller mask into it."""
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(small.shape, size, strict=True))
    top = 0
    for band in bands:
        inside = (rows >= top) & (rows < top + len(band))
        small[inside] = band[rows[inside] - top][:, columns]
        top += len(band)
        yield band


def write_mask(path: Path, bands: Iterable[Mask], size: Size) -> None:
    """Write a mask as a tiled TIFF file, without loss, from bands of rows. An incomplete file never has its name.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    import tifffile

    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(
            part,
            _tiles(bands, size[1]),
            shape=size,
            dtype=np.uint8,
            tile=(SIDE, SIDE),
            compression="zlib",
            photometric="minisblack",
            metadata=None,
            bigtiff=size[0] * size[1] > 2**31,
        )
        with part.open("r+b") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written", got=error) from error
    finally:
        part.unlink(missing_ok=True)


def _tiles(bands: Iterable[Mask], width: int) -> Iterator[Mask]:
    """Yield the tiles of a mask, row by row; those at the border are filled with 0."""
    waiting: list[Mask] = []
    for band in bands:
        waiting.append(band)
        while sum(map(len, waiting)) >= SIDE:
            rows = np.concatenate(waiting)
            yield from _row(rows[:SIDE], width)
            waiting = [rows[SIDE:]]
    if sum(map(len, waiting)):
        yield from _row(np.concatenate(waiting), width)


def _row(rows: Mask, width: int) -> Iterator[Mask]:
    for left in range(0, width, SIDE):
        tile = np.zeros((SIDE, SIDE), np.uint8)
        block = rows[:, left : left + SIDE]
        tile[: block.shape[0], : block.shape[1]] = block
        yield tile
