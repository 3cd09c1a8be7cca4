"""Try settings of the strong learner on the images that it is tuned on, which no reported run sees.

    python -m benchmarks.labels.tune --data DIR --device cuda --out benchmarks/results/labels/tuning.csv

Each row is a training on the first labels of a random order of the tuning images, measured on the last third of this
order. Processes train by CUDA graphs: see :mod:`benchmarks.labels.graphs`.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import joblib
import numpy as np
import torch

from benchmarks import rows
from benchmarks.labels.data import Key, Pictures, load
from benchmarks.labels.protocol import FULL, Task
from benchmarks.labels.runs import LabelledPictures, measure
from benchmarks.labels.split import tuning_rows
from benchmarks.labels.workers import Work, graph_fitter

SETS = [("isic", 64), ("nuclei", 64), ("hippocampus", 64)]
LABELS = {"isic": (10, 20, 50, 130), "nuclei": (10, 20, 44), "hippocampus": (10, 20, 50)}
SETTINGS = [(300, 1e-3), (900, 1e-3), (300, 3e-3), (900, 3e-4), (1800, 1e-3), (600, 1e-3)]
"""Steps and learning rates, those of the recipe first."""


def order_of(pictures: Pictures, seed: int) -> tuple[list[str], np.ndarray]:
    """Return the ids to train on, in a random order, and the rows to measure on."""
    drawn = np.random.default_rng([18, 2, seed]).permutation(tuning_rows(pictures.key[0], pictures.ids))
    third = len(drawn) // 3
    return [pictures.ids[row] for row in drawn[:-third]], np.sort(drawn[-third:])


@dataclass(frozen=True)
class Trial:
    """One training: its data set, setting, number of labels and seed."""

    key: Key
    steps: int
    lr: float
    labels: int
    seed: int


def trials(settings: Sequence[tuple[int, float]], seeds: int) -> list[Trial]:
    """Return all trainings, setting by setting."""
    return [
        Trial(key, steps, lr, labels, seed)
        for steps, lr in settings
        for key in SETS
        for labels, seed in product(LABELS[key[0]], range(seeds))
    ]


_SETS: dict[Key, Pictures] = {}


def try_out(trial: Trial, work: Work, most_steps: int) -> tuple[Trial, float, str]:
    """Return the Dice of a training, and the machine."""
    torch.set_num_threads(1)
    if not _SETS:
        _SETS.update(load(work.source, SETS, None))
    pictures, fitter = _SETS[trial.key], graph_fitter(work, _SETS, most_steps)
    if fitter is None:
        raise RuntimeError("the settings are tried by graphs only")
    fitter.change(lr=trial.lr)
    train, held_out = order_of(pictures, trial.seed)
    task = Task(*trial.key, "strong", FULL, trial.seed, length=trial.steps)
    model = fitter.fit(task, LabelledPictures(pictures, tuple(train[: trial.labels])), 0, None)
    return trial, float(measure(model, pictures, held_out).mean()), fitter.machine


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=13, help="trainings at once, each on one thread")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after the first training")
    parser.add_argument("--tiny", action="store_true", help="few steps, to rehearse")
    options = parser.parse_args()
    settings = [(5, 1e-3), (10, 3e-3)] if options.tiny else SETTINGS
    work = Work(options.data, options.out.parent, options.device, float("inf"), graphs=True)
    most, commit, begun = max(steps for steps, _ in settings), rows.commit(), math.inf
    options.out.parent.mkdir(parents=True, exist_ok=True)
    jobs = (joblib.delayed(try_out)(trial, work, most) for trial in trials(settings, options.seeds))
    with (
        options.out.open("a", newline="") as file,
        joblib.parallel_config("loky", n_jobs=options.processes, inner_max_num_threads=1),
    ):
        writer = csv.writer(file, lineterminator="\n")
        if not file.tell():
            writer.writerow(["data", "size", "steps", "lr", "labels", "seed", "dice", "machine", "commit"])
        for trial, dice, machine in joblib.Parallel(batch_size=1, return_as="generator_unordered")(jobs):
            begun = min(begun, time.monotonic())
            writer.writerow(
                [*trial.key, trial.steps, trial.lr, trial.labels, trial.seed, f"{dice:.5f}", machine, commit]
            )
            file.flush()
            if time.monotonic() - begun > options.limit:
                break


if __name__ == "__main__":
    main()
