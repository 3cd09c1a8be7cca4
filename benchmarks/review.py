"""Whether errors that are planted in real labels are among the labels that alkit asks again first.

::

    python -m benchmarks.review --data DIR --out benchmarks/results/review.csv

``DIR`` has the folders ``isic2017``, ``dsb2018-nuclei`` and ``msd-hippocampus``, each with ``images`` and ``masks`` or
``labels``. Each row is one data set and seed: 150 images of 64 pixels per side, of which 15 get a wrong label, three of
each kind in :data:`KINDS`, by the seed. The learner is trained on five folds, and the ten labels of the lowest quality
(:meth:`alkit.Experiment.label_quality`) are compared with the errors. Ten labels drawn at random have 1 error on
average, which is a precision of 0.1. The rule of errors and the settings were fixed before any row was computed, and
the measure of quality was chosen on synthetic images. Rows that exist are not computed again.

The data sets are the training images of ISIC 2017, the stage 1 training images of the Data Science Bowl 2018, and the
hippocampus of the Medical Segmentation Decathlon, of each patient the slice with the largest hippocampus.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage

import alkit
from benchmarks import rows
from benchmarks.terminal import start

FOLDERS = {"isic": "isic2017", "nuclei": "dsb2018-nuclei", "hippocampus": "msd-hippocampus"}
KINDS = ("dilated", "eroded", "shifted", "empty", "swapped")
IMAGES, PLANTED, FOLDS, SIDE, FIRST = 150, 15, 5, 64, 10
STEPS, WIDTHS = 200, (8, 16, 32, 64)

LEARNER = alkit.SegmentationLearner(partial(alkit.UNet, widths=WIDTHS), steps=STEPS, schedule="cosine")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """One data set and seed.

    Parameters
    ----------
    precision:
        Share of errors among the ten labels of the lowest quality.
    found:
        The kinds of these errors, with their numbers.
    area:
        Area under the curve (ROC) of the quality as a score of errors, over all labels.
    changed:
        Median Dice of the planted errors with the true masks, without the empty and the swapped ones.
    """

    data: str
    seed: int
    labels: int
    planted: int
    precision: float
    found: str
    area: float
    changed: float
    seconds: float
    commit: str


def read(folder: Path) -> tuple[Pixels, Pixels]:
    """Return images ``(n, c, h, w)`` and masks ``(n, h, w)`` of a data set, always the same ones."""
    files = sorted(path for path in (folder / "images").iterdir() if not path.name.startswith("."))
    pixels, masks = [], []
    for row in np.random.default_rng(21).permutation(len(files))[:IMAGES]:
        image, drawn = _volume(folder, files[row]) if files[row].suffix == ".gz" else _picture(folder, files[row])
        pixels.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)))
        masks.append(np.asarray(drawn.resize((SIDE, SIDE), Image.Resampling.NEAREST)) > 0)
    images = np.stack(pixels)
    return (images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)), np.stack(masks).astype(np.uint8)


def _picture(folder: Path, file: Path) -> tuple[Image.Image, Image.Image]:
    (mask,) = (folder / "masks").glob(f"{file.stem}*")
    with Image.open(file) as image, Image.open(mask) as drawn:
        values = np.asarray(drawn)
        first = values if values.ndim == 2 else values[..., 0]
        return image.convert("RGB"), Image.fromarray((first > 0) * np.uint8(255))


def _volume(folder: Path, file: Path) -> tuple[Image.Image, Image.Image]:
    """Return the slice with the most labelled pixels, which are of two classes, taken as one."""
    import nibabel

    labels = np.asarray(nibabel.load(next(folder.glob(f"[lm]a*s/{file.name}"))).dataobj) > 0  # type: ignore[attr-defined]
    volume = np.asarray(nibabel.load(file).dataobj, np.float64)  # type: ignore[attr-defined]
    best = int(labels.sum(axis=(0, 1)).argmax())
    low, high = np.percentile(volume, (0.5, 99.5))
    scaled = np.clip((volume[..., best] - low) / max(high - low, 1e-9), 0, 1)
    return Image.fromarray(np.round(255 * scaled).astype(np.uint8)), Image.fromarray(labels[..., best] * np.uint8(255))


def plant(masks: Pixels, seed: int) -> tuple[Pixels, Mapping[int, str]]:
    """Return masks of which some are wrong, and the kinds of error by row.

    Only masks with at least 20 pixels get an error, because smaller ones hardly show it. The measure of length is the
    radius of the largest circle inside the mask. Masks are dilated or eroded by 40 % of it, and shifted by 80 % of it
    along both axes. Swapped masks are those of other images.
    """
    rng, masks = np.random.default_rng(seed), masks.copy()
    drawn = [int(row) for row in rng.permutation(len(masks)) if masks[row].sum() >= 20][:PLANTED]
    kinds = {row: KINDS[number % len(KINDS)] for number, row in enumerate(drawn)}
    before = masks.copy()
    swapped = [row for row, kind in kinds.items() if kind == "swapped"]
    for row, kind in kinds.items():
        mask = before[row]
        pixels = max(1, round(0.4 * float(ndimage.distance_transform_edt(np.pad(mask, 1)).max())))
        if kind == "dilated":
            masks[row] = ndimage.binary_dilation(mask, iterations=pixels)
        elif kind == "eroded":
            masks[row] = ndimage.binary_erosion(mask, iterations=pixels)
        elif kind == "shifted":
            masks[row] = np.roll(mask, (2 * pixels, 2 * pixels), (0, 1))
        elif kind == "empty":
            masks[row] = 0
        else:
            masks[row] = before[swapped[swapped.index(row) - 1]]
    return masks, kinds


def measure(data: str, images: Pixels, true: Pixels, seed: int) -> Row:
    """Return the row of a data set and seed."""
    masks, kinds = plant(true, seed)
    experiment = alkit.Experiment(
        alkit.ArrayPool(images), LEARNER, alkit.strategy("random"), seed=seed, classes=("background", "object")
    )
    asked, begun = experiment.ask(len(images)), time.process_time()
    experiment.tell({id: masks[int(id)] for id in asked})
    quality = {int(id): value for id, value in experiment.label_quality(folds=FOLDS).items()}
    seconds = time.process_time() - begun
    first = sorted(quality, key=lambda row: (quality[row], row))[:FIRST]
    found = Counter(kinds[row] for row in first if row in kinds)
    moved = [_dice(masks[row], true[row]) for row, kind in kinds.items() if kind not in ("empty", "swapped")]
    return Row(
        data,
        seed,
        len(images),
        len(kinds),
        round(sum(found.values()) / FIRST, 3),
        " ".join(f"{kind}:{found[kind]}" for kind in KINDS if found[kind]),
        round(_area(*([quality[row] for row in quality if (row in kinds) == wrong] for wrong in (True, False))), 3),
        round(float(np.median(moved)), 3),
        round(seconds, 1),
        rows.commit(),
    )


def _dice(one: Pixels, other: Pixels) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def _area(wrong: list[float], right: list[float]) -> float:
    """Return the probability that a wrong label has a lower quality than a right one."""
    return float(np.mean([(bad < good) + (bad == good) / 2 for bad in wrong for good in right]))


def main() -> None:
    """Compute the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="CSV file of the rows")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = {(row.data, row.seed) for row in rows.read_as(Row, given.out)}
    sets = {data: read(given.data / folder) for data, folder in FOLDERS.items()}
    for seed in given.seeds:
        for data, (images, masks) in sets.items():
            if (data, seed) not in known:
                row = measure(data, images, masks, seed)
                rows.append(given.out, [asdict(row)])
                print(row)


if __name__ == "__main__":
    start(main)
