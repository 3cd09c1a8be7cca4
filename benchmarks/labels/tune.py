"""Try settings of the strong learner on the images that it is tuned on, which no reported run sees.

    python -m benchmarks.labels.tune --data DIR --device cuda --out benchmarks/results/labels/tuning.csv

Each row is a training on the first labels of a random order of the tuning images, measured on the last third of this
order. Trainings run at once as CUDA graphs: see :mod:`benchmarks.labels.graphs`.
"""

from __future__ import annotations

import argparse
import csv
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import torch

from benchmarks import rows
from benchmarks.labels.data import Pictures, load
from benchmarks.labels.graphs import GraphFitter, own_stream
from benchmarks.labels.protocol import FULL, Task
from benchmarks.labels.runs import LabelledPictures, measure
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


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=24)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds of training after which no setting begins")
    parser.add_argument("--tiny", action="store_true", help="few steps, to rehearse")
    options = parser.parse_args()
    settings = [(5, 1e-3), (10, 3e-3)] if options.tiny else SETTINGS
    sets = load(options.data, SETS, None)
    fitter = GraphFitter(sets, options.device, options.slots, max(steps for steps, _ in settings))
    if torch.device(options.device).type == "cuda":
        for count in dict.fromkeys((1, options.slots // 2 or 1, options.slots)):
            print(f"{count} networks at once: {fitter.speed(count):.0f} steps a second", flush=True)
    fitter.start()
    begun = time.monotonic()
    machine, commit = fitter.machine, rows.commit()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a", newline="") as file, ThreadPoolExecutor(options.slots + 8) as threads:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(["data", "size", "steps", "lr", "labels", "seed", "dice", "machine", "commit"])
        for steps, lr in settings:
            if time.monotonic() - begun > options.limit:
                break
            fitter.change(lr=lr)

            def run(key: tuple[str, int], labels: int, seed: int, steps: int = steps) -> float:
                with own_stream(torch.device(options.device)):
                    train, held_out = order_of(sets[key], seed)
                    task = Task(*key, "strong", FULL, seed, length=steps)
                    model = fitter.fit(task, LabelledPictures(sets[key], tuple(train[:labels])), 0, None)
                    return float(measure(model, sets[key], held_out).mean())

            jobs = [
                (key, labels, seed) for key in SETS for labels, seed in product(LABELS[key[0]], range(options.seeds))
            ]
            for (key, labels, seed), dice in zip(jobs, threads.map(lambda job: run(*job), jobs), strict=True):
                writer.writerow([*key, steps, lr, labels, seed, f"{dice:.5f}", machine, commit])
            file.flush()
            print(f"{steps} steps, lr {lr}: {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
