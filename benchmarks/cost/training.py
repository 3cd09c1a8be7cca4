"""Compare the time of the learner with a plain PyTorch loop: same images, batches, network, loss and optimizer.

    python -m benchmarks.cost.training --out benchmarks/results/training.csv

The plain loop has every advantage: its images are in memory as float32, scaled beforehand. alkit reads 8-bit pixels
from a pool and scales them batch by batch. Both run in turn on one thread, and their medians are compared. Saving the
model is timed separately.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

import alkit
from alkit.learners import segmentation_loss
from alkit.networks import adam, make_network, minibatches
from alkit.rng import seed_torch
from benchmarks.rows import append, commit, machine

SPEC = alkit.LabelSpec(("skin", "lesion"))
BATCH = 10
CASES = {"narrow": (64, (8, 16, 32, 64, 128), 200, 2), "wide": (128, (16, 32, 64, 128, 256), 40, 1)}
"""Size, widths, number of images and epochs of each case."""


@dataclass(frozen=True)
class Labels:
    """Labelled images as a learner reads them, without an experiment."""

    pool: alkit.ArrayPool
    all_masks: np.ndarray
    spec: alkit.LabelSpec = SPEC
    pseudo_ids: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all images."""
        return tuple(self.pool.ids)

    def images(self, ids: tuple[str, ...]) -> np.ndarray:
        """Return the images of some ids."""
        return self.pool.read(ids)

    def labels(self, ids: tuple[str, ...]) -> np.ndarray:
        """Return the masks of some ids, read one by one as an experiment does."""
        return np.stack([self.all_masks[int(id)] for id in ids])


def train_plain(
    network: partial[alkit.UNet], images: torch.Tensor, masks: torch.Tensor, epochs: int, batch: int
) -> None:
    """Train without alkit's learner."""
    stream = alkit.rng.Stream(0)
    model = make_network(network, in_channels=1, classes=2, stream=stream).to(memory_format=torch.channels_last).train()
    optimizer, loss = adam(model, 1e-4), segmentation_loss(SPEC)
    for epoch in range(epochs):
        with seed_torch(stream.child(epoch)):
            for rows in minibatches(len(images), batch, stream.child("order", epoch)):
                optimizer.zero_grad(set_to_none=True)
                inputs = images[rows].contiguous(memory_format=torch.channels_last)
                loss(model(inputs), masks[rows]).backward()
                optimizer.step()


def seconds(action: Callable[[], object]) -> float:
    """Return the duration of a call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Measure, print and append rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in options.cases:
        size, widths, count, epochs = CASES[case]
        images, masks = alkit.synthetic.lesions(count, size=size)
        pool, network = alkit.ArrayPool(images, scale="minmax"), partial(alkit.UNet, widths=widths)
        labels, learner = (
            Labels(pool, masks),
            alkit.SegmentationLearner(network, epochs=(epochs, 1), batch=BATCH, device="cpu"),
        )
        tensors = torch.from_numpy(pool.read(pool.ids)), torch.from_numpy(masks).long()

        def fit(learner: alkit.SegmentationLearner = learner, labels: Labels = labels) -> alkit.protocols.Predictor:
            return learner.fit(labels, np.random.default_rng(0))

        def loop(network: partial[alkit.UNet] = network, tensors: tuple = tensors, epochs: int = epochs) -> None:
            train_plain(network, *tensors, epochs, BATCH)

        fit(), loop()  # fills caches, and imports
        times = [(seconds(fit), seconds(loop)) for _ in range(options.repeats)]
        ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        model = fit()
        saving = statistics.median(seconds(model.dumps) for _ in range(options.repeats))
        rows.append(
            {"case": case, "size": size, "widths": "-".join(map(str, widths)), "images": count, "epochs": epochs,
             "fit_s": round(ours, 3), "bare_s": round(theirs, 3), "ratio": round(ours / theirs, 3),
             "save_s": round(saving, 4), "repeats": options.repeats, "threads": 1,
             "machine": machine(), "torch": torch.__version__, "commit": commit()}
        )  # fmt: skip
        print(rows[-1], flush=True)
    if options.out:
        append(options.out, rows)


if __name__ == "__main__":
    main()
