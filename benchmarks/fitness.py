"""Which warnings about a model appear, and whether training longer helps where they say so.

::

    python -m benchmarks.fitness --data DIR --out benchmarks/results/fitness.csv

``DIR`` has the folders ``dsb2018-nuclei`` and ``isic2017``, each with ``images`` and ``masks``. Each row is one first
round on some of 110 images of 64 pixels per side; 50 others are the test set. The thresholds of
:mod:`alkit.evaluation.fitness` were set by these rows. Rows that exist are not computed again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

import alkit
from alkit.evaluation import LEAST_DICE, Losses
from alkit.learners import paper, strong
from alkit.protocols import FeatureExtractor, FittedExtractor, Learner, Predictor
from alkit.values import Images, Label, quiet
from benchmarks import rows
from benchmarks.cold_start.pixels import dice
from benchmarks.terminal import start

FOLDERS = {"nuclei": "dsb2018-nuclei", "isic": "isic2017"}
IMAGES, TEST, OWN, SIDE = 160, 50, 32, 64
LABELS = (10, 50)

UNET = partial(alkit.UNet, widths=(16, 32, 64, 128, 256))
LEARNERS: dict[str, Learner] = {
    "paper, 10 epochs": paper(UNET),
    "paper, 20 epochs": paper(UNET, epochs=(20, 4)),
    "lr 1e-3, 30 epochs": paper(UNET, epochs=(30, 10), lr=1e-3),
    "lr 1e-3, 60 epochs": paper(UNET, epochs=(60, 20), lr=1e-3),
    "default, 300 steps": alkit.SegmentationLearner(UNET),
    "strong, 100 steps": strong(steps=(100, 100)),
    "strong, 300 steps": strong(),
}


@dataclass(frozen=True)
class Row:
    """One first round: Dice on its own labels and on the test set, and what its losses say."""

    data: str
    learner: str
    labels: int
    seed: int
    own: float
    test: float
    reports: int
    share: float
    relative: float
    falling: int
    flat: int
    learnt: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images in memory as learners get them. Their ids are their positions."""

    pixels: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    ids: tuple[str, ...]
    spec: alkit.LabelSpec = alkit.LabelSpec(("background", "object"))
    pseudo_ids: tuple[str, ...] = ()

    def images(self, ids: Sequence[str]) -> Images:
        """Return these images in [0, 1]."""
        return self.pixels[[int(id) for id in ids]].astype(np.float32) / 255

    def labels(self, ids: Sequence[str]) -> Label:
        """Return these masks."""
        return self.masks[[int(id) for id in ids]]

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """No learner here needs features."""
        raise NotImplementedError


def read(folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images and masks of a data set, always the same ones."""
    files = sorted((folder / "images").iterdir())
    pixels, masks = [], []
    for row in np.random.default_rng(5).permutation(len(files))[:IMAGES]:
        (mask,) = (folder / "masks").glob(f"{files[row].stem}*")
        with Image.open(files[row]) as image:
            pixels.append(np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)))
        with Image.open(mask) as image:
            drawn = np.asarray(image)
        drawn = ((drawn if drawn.ndim == 2 else drawn[..., 0]) > 0).astype(np.uint8) * 255
        masks.append(np.asarray(Image.fromarray(drawn).resize((SIDE, SIDE), Image.Resampling.NEAREST)) > 0)
    return np.stack(pixels).transpose(0, 3, 1, 2), np.stack(masks).astype(np.uint8)


def measure(data: str, everything: Labelled, learner: str, labels: int, seed: int) -> Row:
    """Train on some images, and return the row."""
    order = np.random.default_rng(seed).permutation(len(everything.ids))
    ids, test = sorted(map(str, order[:labels])), sorted(map(str, order[-TEST:]))
    labelled = Labelled(everything.pixels, everything.masks, tuple(ids))
    losses, begun = Losses(quiet), time.process_time()
    model = LEARNERS[learner].fit(labelled, np.random.default_rng(seed), None, losses)
    seconds = time.process_time() - begun
    own = dice_of(model, labelled, ids[:OWN])
    whole, last, _, end = losses.trend() or (np.nan, np.nan, np.nan, np.nan)
    return Row(
        data, learner, labels, seed, own, dice_of(model, labelled, test), len(losses.values), last / whole, last / end,
        int(losses.is_falling()), int(losses.is_flat()), int(own >= LEAST_DICE), seconds,
    )  # fmt: skip


def dice_of(model: Predictor, labelled: Labelled, ids: Sequence[str]) -> float:
    """Return the mean Dice of some images."""
    batches = (list(ids[row : row + 16]) for row in range(0, len(ids), 16))
    scores = [
        dice(model.probabilities(labelled.images(some)).argmax(1) == 1, labelled.labels(some) == 1) for some in batches
    ]
    return float(np.concatenate(scores).mean())


def main() -> None:
    """Compute the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="CSV file of the rows")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--labels", nargs="+", type=int, default=LABELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = {(row.data, row.learner, row.labels, row.seed) for row in rows.read_as(Row, given.out)}
    for data, folder in FOLDERS.items():
        pixels, masks = read(given.data / folder)
        everything = Labelled(pixels, masks, tuple(map(str, range(len(pixels)))))
        for learner in given.learners:
            for labels in given.labels:
                for seed in given.seeds:
                    if (data, learner, labels, seed) not in known:
                        row = measure(data, everything, learner, labels, seed)
                        rows.append(given.out, [asdict(row)])
                        print(row)


if __name__ == "__main__":
    start(main)
