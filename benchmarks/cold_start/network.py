"""The same question with a real network: train a U-Net on the start sets of a few arms.

::

    python -m benchmarks.cold_start.network --data DIR --arms typiclust:pretrained k-centre:pretrained

Random selection is added. Images have 64 pixels per side. The number of epochs is chosen so that every start set gets
about as many training steps. Runs whose rows exist are not run again.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

import alkit
from alkit import Selection, View
from alkit._files import cache_folder
from benchmarks import rows
from benchmarks.cold_start import pixels
from benchmarks.cold_start.data import READERS, DataSet, read
from benchmarks.cold_start.features import SMALL, WIDTHS, features_of, small
from benchmarks.cold_start.protocol import RANDOM, Arm, split
from benchmarks.cold_start.runs import FOLDER, Row, choose, read_rows, row_of
from benchmarks.terminal import start

BUDGETS = (10, 40)
STEPS, BATCH = 240, 8


class Listed:
    """Selects given images."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.ids = ids

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the given images."""
        return Selection(self.ids[:n])


def play(data: DataSet, arm: Arm, seed: int, labels: int, cache: Path, commit: str) -> Row:
    """Return the row of one run. All arms of a seed start from the same weights."""
    pool, test = split(data.kinds, data.groups, seed)
    ids = tuple(data.ids[row] for row in pool)
    table = np.zeros((len(pool), 1), np.float32) if arm == RANDOM else features_of(data, arm.features, cache)[pool]
    chosen = choose(arm, ids, table, labels, seed)
    step = SMALL // data.masks.shape[1]
    masks = data.masks.repeat(step, 1).repeat(step, 2)
    images = alkit.ArrayPool(small(data).images, ids=data.ids)
    oracle = alkit.MaskOracle(dict(zip(data.ids, masks.astype(np.uint8), strict=True)), classes=("other", "object"))
    epochs = -(-STEPS // -(-labels // BATCH))
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=WIDTHS), epochs=(epochs, 1), batch=BATCH, lr=1e-3)
    experiment = alkit.Experiment(images.subset(ids), learner, Listed(chosen), seed=seed)
    experiment.run(oracle, start=labels, batch=1, rounds=0)
    held_out = images.subset([data.ids[row] for row in test])
    predicted = np.concatenate([some.labels for some in experiment.predict(held_out)])
    dice = pixels.dice(predicted == 1, masks[test])
    kinds = np.array(data.kinds)
    return row_of(data, arm, seed, labels, dice, kinds[test], kinds[np.searchsorted(data.ids, chosen)], commit)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--arms", nargs="+", required=True, help="strategy:features")
    parser.add_argument("--sets", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--cache", type=Path, help="folder of features (default: alkit's cache)")
    parser.add_argument("--out", type=Path, default=FOLDER / "network.csv", help="file of the rows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache, commit = options.cache or cache_folder() / "cold_start", rows.commit()
    arms = [RANDOM, *(Arm(*text.split(":")) for text in options.arms)]
    known = {name: read(name, options.data) for name in options.sets}
    done = {row.run for row in read_rows(options.out)}
    for seed in options.seeds:
        for name, data in known.items():
            for labels in BUDGETS:
                for arm in arms:
                    if (name, arm, seed, labels) not in done:
                        row = play(data, arm, seed, labels, cache, commit)
                        rows.append(options.out, [asdict(row)])
                        print(*row.run, row.images, row.kinds, row.worst, flush=True)


if __name__ == "__main__":
    start(main)
