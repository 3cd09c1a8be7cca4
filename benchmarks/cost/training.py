"""Compare the time of the learner with a plain PyTorch loop: same images, batches, network, loss and optimizer.

    python -m benchmarks.cost.training --out benchmarks/results/training.csv

The plain loop has every advantage: its images are in memory as float32, scaled beforehand. alkit takes 8-bit pixels
from a pool and scales them batch by batch. Both change the images by the same random flips and quarter turns. They run
in turn on one thread, and their medians are compared. Saving the model is timed separately.

Columns: ``fit_s`` and ``bare_s``, seconds; ``ratio``, of the seconds; ``cpu_ratio``, of the seconds of the processor,
which other work on the machine changes less.
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
from alkit.learners import Augment, segmentation_loss
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

    def stored(self, ids: tuple[str, ...]) -> tuple[np.ndarray, str] | None:
        """Return the images of some ids as they are stored, as an experiment does."""
        return self.pool.stored(ids)

    def labels(self, ids: tuple[str, ...]) -> np.ndarray:
        """Return the masks of some ids, read one by one as an experiment does."""
        return np.stack([self.all_masks[int(id)] for id in ids])


def train_plain(
    network: partial[alkit.UNet], images: torch.Tensor, masks: torch.Tensor, epochs: int, batch: int
) -> None:
    """Train without alkit's learner."""
    stream = alkit.rng.Stream(0)
    model = make_network(network, in_channels=1, classes=2, stream=stream).to(memory_format=torch.channels_last).train()
    optimizer, loss, augment, step = adam(model, 1e-4), segmentation_loss(SPEC), Augment(), 0
    for epoch in range(epochs):
        with seed_torch(stream.child(epoch)):
            for rows in minibatches(len(images), batch, stream.child("order", epoch)):
                optimizer.zero_grad(set_to_none=True)
                inputs = images[rows].contiguous(memory_format=torch.channels_last)
                inputs, targets = augment(inputs, masks[rows], stream.child("augment", step).torch())
                loss(model(inputs), targets).backward()
                optimizer.step()
                step += 1


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Return the duration of a call, and the time of the processor that it took."""
    start, used = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - used


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
            alkit.SegmentationLearner(
                network, epochs=(epochs, 1), batch=BATCH, lr=1e-4, device="cpu", augment=Augment()
            ),
        )
        tensors = torch.from_numpy(pool.read(pool.ids)), torch.from_numpy(masks).long()

        def fit(learner: alkit.SegmentationLearner = learner, labels: Labels = labels) -> alkit.protocols.Predictor:
            return learner.fit(labels, np.random.default_rng(0))

        def loop(network: partial[alkit.UNet] = network, tensors: tuple = tensors, epochs: int = epochs) -> None:
            train_plain(network, *tensors, epochs, BATCH)

        fit(), loop()  # fills caches, and imports
        times = [(*seconds(fit), *seconds(loop)) for _ in range(options.repeats)]
        ours, our_cpu, theirs, their_cpu = (statistics.median(column) for column in zip(*times, strict=True))
        model = fit()
        saving = statistics.median(seconds(model.dumps)[0] for _ in range(options.repeats))
        rows.append(
            {"case": case, "size": size, "widths": "-".join(map(str, widths)), "images": count, "epochs": epochs,
             "fit_s": round(ours, 3), "bare_s": round(theirs, 3), "ratio": round(ours / theirs, 3),
             "cpu_ratio": round(our_cpu / their_cpu, 3),
             "save_s": round(saving, 4), "repeats": options.repeats, "threads": 1,
             "machine": machine(), "torch": torch.__version__, "commit": commit()}
        )  # fmt: skip
        print(rows[-1], flush=True)
    if options.out:
        append(options.out, rows)


if __name__ == "__main__":
    main()
