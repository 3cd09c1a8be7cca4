"""Dice for the same labelled area, as whole images or as tiles of more images.

::

    python -m benchmarks.tiles --data DIR --out benchmarks/results/tiles.csv

``DIR`` is the folder ``dsb2018-nuclei`` with ``images`` and ``masks``. Only images of 256 x 256 pixels are used: 30 of
them are the test set, the others the pool. A budget of 2 images is 2 random images, or 8 random tiles of 128 pixels.
All networks are the same, train for the same number of steps on the same number of pixels per step, and are measured on
whole images. Rows that exist are not computed again.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import alkit
from benchmarks import rows
from benchmarks.terminal import start

SIDE, TEST, STEPS = 256, 30, 150
BUDGETS, TILES, SEEDS = (2, 8), (256, 128), range(3)
CLASSES = ("background", "nucleus")


@dataclass(frozen=True)
class Row:
    """One training: the side of what was labelled, how many, their area in whole images, and Dice on whole images."""

    tile: int
    labels: int
    area: int
    seed: int
    dice: float
    iou: float


def link(data: Path, folder: Path) -> None:
    """Link the images of the pool and of the test set into folders of their own, always the same ones."""
    files = [path for path in sorted((data / "images").iterdir()) if Image.open(path).size == (SIDE, SIDE)]
    order = np.random.default_rng(0).permutation(len(files))
    for name, chosen in (("test", order[:TEST]), ("pool", order[TEST:])):
        (folder / name).mkdir()
        for row in chosen:
            (folder / name / files[row].name).symlink_to(files[row].resolve())


def measure(data: Path, folder: Path, tile: int, area: int, seed: int) -> Row:
    """Train on random images or tiles, and return the row."""
    labels = area * (SIDE // tile) ** 2
    known = alkit.MaskOracle(data / "masks", classes=CLASSES)
    pool: alkit.ImagePool | alkit.TilePool
    if tile == SIDE:
        pool, oracle = alkit.ImagePool(folder / "pool", scale="full", cache=folder / "cache"), known
    else:
        pool = alkit.TilePool(folder / "pool", tile=tile, cache=folder / "cache")
        oracle = alkit.MaskOracle(alkit.oracles.TileMasks(pool, data / "masks"), classes=CLASSES)
    test = alkit.ImagePool(folder / "test", scale="full", cache=folder / "cache", groups="{group}")
    learner = alkit.SegmentationLearner(
        partial(alkit.UNet, widths=(8, 16, 32, 64)),
        steps=(STEPS, STEPS),
        batch=max(1, (SIDE // tile) ** 2),
        device="cpu",
    )
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), seed=seed, stop_set=0)
    (result,) = experiment.run(oracle, test=test, test_oracle=known, start=labels, batch=1, rounds=0)
    return Row(tile, labels, area, seed, result.metrics["dice"], result.metrics["iou"])


def main() -> None:
    """Compute the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="CSV file of the rows")
    given = parser.parse_args()
    torch.set_num_threads(1)
    done = {(row.tile, row.area, row.seed) for row in rows.read_as(Row, given.out)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        link(given.data, folder)
        for seed in SEEDS:
            for area in BUDGETS:
                for tile in TILES:
                    if (tile, area, seed) not in done:
                        row = measure(given.data, folder, tile, area, seed)
                        rows.append(given.out, [asdict(row)])
                        print(row, flush=True)


if __name__ == "__main__":
    start(main)
