"""Try settings of the strong learner on the images that it is tuned on, which no reported run sees.

    python -m benchmarks.labels.tune --data DIR --device cuda --out benchmarks/results/labels/tuning.csv

Each row is a training on the first labels of a random order of the tuning images, measured on the last third of this
order. All trainings of a setting run side by side: see :mod:`benchmarks.labels.graphs`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks import rows
from benchmarks.labels.data import Key, Pictures, load
from benchmarks.labels.graphs import GraphFitter
from benchmarks.labels.protocol import FULL, Task
from benchmarks.labels.runs import LabelledPictures, Training, measure
from benchmarks.labels.split import tuning_rows

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


def try_out(given: Sequence[Trial], sets: Mapping[Key, Pictures], fitter: GraphFitter) -> Iterator[tuple[Trial, float]]:
    """Yield the Dice of trainings of one setting."""
    fitter.change(lr=given[0].lr)
    trainings, places = [], []
    for trial in given:
        train, held_out = order_of(sets[trial.key], trial.seed)
        labelled = LabelledPictures(sets[trial.key], tuple(train[: trial.labels]))
        trainings.append(Training(Task(*trial.key, "strong", FULL, trial.seed, length=trial.steps), labelled, 0, None))
        places.append(held_out)
    for trial, held_out, trained in zip(given, places, fitter.fit(trainings), strict=True):
        yield trial, float(measure(trained.model, sets[trial.key], held_out).mean())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="few steps, to rehearse")
    options = parser.parse_args()
    settings = [(5, 1e-3), (10, 3e-3)] if options.tiny else SETTINGS
    sets, commit = load(options.data, SETS, None), rows.commit()
    fitter = GraphFitter(sets, options.device, max(steps for steps, _ in settings))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a", newline="") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(["data", "size", "steps", "lr", "labels", "seed", "dice", "machine", "commit"])
        for setting in settings:
            for trial, dice in try_out(trials([setting], options.seeds), sets, fitter):
                numbers = trial.steps, trial.lr, trial.labels, trial.seed
                writer.writerow([*trial.key, *numbers, f"{dice:.5f}", fitter.machine, commit])
                file.flush()
            print(f"{setting[0]} steps with the learning rate {setting[1]:g} are tried", flush=True)


if __name__ == "__main__":
    main()
