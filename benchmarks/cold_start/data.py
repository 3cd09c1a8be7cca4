"""The three data sets as arrays: images, masks on the grid of the learner, kinds and groups."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.cold_start.protocol import SLICES, nuclei_kind


@dataclass(frozen=True)
class DataSet:
    """A data set in memory. It is a pool of alkit too.

    Parameters
    ----------
    name:
        A key of :data:`READERS`.
    ids:
        Ids of N images, sorted.
    images:
        ``(N, 3, s, s)``, uint8.
    masks:
        Foreground on a grid of a quarter of the side, ``(N, s / 4, s / 4)``, or of the same side.
    kinds, groups:
        Kind of each image, and what it shares with others: the volume of a slice, or the image itself.
    """

    name: str
    ids: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    kinds: tuple[str, ...]
    groups: tuple[str, ...]

    def read(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return these images, float32 in [0, 1]."""
        rows = np.searchsorted(self.ids, ids)
        return self.images[rows].astype(np.float32) / 255


def read(name: str, folder: Path, size: int | None = None) -> DataSet:
    """Read a data set from ``folder / <its folder>``.

    Parameters
    ----------
    name, folder:
        A key of :data:`READERS`, and the folder of all data sets.
    size:
        Side of images and masks. None for images of 256 pixels, or 128 for slices, and masks on a grid of a quarter.
    """
    return READERS[name](folder, size)


def _isic(folder: Path, size: int | None) -> DataSet:
    home = folder / "isic2017"
    with (home / "labels.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image_id"])
    kinds = tuple(
        "melanoma" if float(row["melanoma"]) else "keratosis" if float(row["seborrheic_keratosis"]) else "naevus"
        for row in rows
    )
    ids = tuple(row["image_id"] for row in rows)
    images = np.stack([_picture(home / "images" / f"{id}.jpg", size or 256) for id in ids])
    masks = np.stack([_mask(home / "masks" / f"{id}.png", size or 64) for id in ids])
    return DataSet("isic", ids, images, masks, kinds, ids)


def _nuclei(folder: Path, size: int | None) -> DataSet:
    home = folder / "dsb2018-nuclei"
    ids = tuple(sorted(path.stem for path in (home / "images").glob("*.png")))
    kinds = []
    for id in ids:
        with Image.open(home / "images" / f"{id}.png") as image:
            kinds.append(nuclei_kind(np.asarray(image.convert("RGB"))))
    images = np.stack([_picture(home / "images" / f"{id}.png", size or 256) for id in ids])
    masks = np.stack([_mask(home / "masks" / f"{id}.png", size or 64) for id in ids])
    return DataSet("nuclei", ids, images, masks, tuple(kinds), ids)


def _hippocampus(folder: Path, size: int | None) -> DataSet:
    import nibabel

    home = folder / "msd-hippocampus"
    slices = []
    for path in sorted((home / "images").glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        volume = np.asarray(nibabel.load(path).dataobj, np.float32)
        labels = np.asarray(nibabel.load(home / "labels" / path.name).dataobj)
        volume = np.clip(volume / np.percentile(volume, 99.5), 0, 1)  # the unit of MR brightness differs by scanner
        for number, (kind, where) in enumerate(SLICES.items()):
            at = int(where * volume.shape[1])
            plane = Image.fromarray((volume[:, at] * 255).round().astype(np.uint8))
            mask = Image.fromarray((labels[:, at] > 0).astype(np.uint8) * 255)
            image = np.asarray(plane.resize((size or 128, size or 128), Image.Resampling.BILINEAR))
            small = np.asarray(mask.resize((size or 32, size or 32), Image.Resampling.BOX)) >= 128
            slices.append((f"{name}-{number}", np.stack([image] * 3), small, kind, name))
    ids, images, masks, kinds, groups = zip(*slices, strict=True)
    return DataSet("hippocampus", ids, np.stack(images), np.stack(masks), kinds, groups)


def _picture(path: Path, size: int) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, reducing_gap=None)
    return np.asarray(resized).transpose(2, 0, 1)


def _mask(path: Path, size: int) -> npt.NDArray[np.bool_]:
    with Image.open(path) as image:
        resized = image.convert("L").resize((size, size), Image.Resampling.BOX)
    return np.asarray(np.asarray(resized) >= 128)


READERS: dict[str, Callable[[Path, int | None], DataSet]] = {
    "isic": _isic,
    "nuclei": _nuclei,
    "hippocampus": _hippocampus,
}
