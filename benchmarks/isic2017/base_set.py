"""Find out what changes the Dice of the first 300 labels: initial weights, choice of images, or reading of masks.

The paper claims a gap of .16 between two base sets, each trained once. Here, random base sets and base sets that
SSL-cluster chooses with several pretexts are trained from the same few initial weights, so that the two causes can be
separated. Differences of the authors' released code are tried one at a time:

- ``first``: its "random" set is the first 300 images of the array.
- ``stopped on test``: its pretext trains on the whole pool, and stops by its loss on the test images.
- ``eroded``: its masks are divided as integers after resizing, so a pixel is lesion only if all of its area is lesion.
- Its feature rows do not match the images. Rows in random order turn any selection into a random one, so this case is
  ``random``.

    python -m benchmarks.isic2017.base_set --data DIR      # can be stopped and resumed
    python -m benchmarks.isic2017.base_set --report        # only the tables, from the rows

"Initial weights" are a seed of the experiment, which also sets the order of the training images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

import alkit
from alkit.features import FittedReconstruction
from alkit.pools import Subset
from alkit.report import progress_bar
from alkit.values import Report, quiet
from benchmarks import grid, rows
from benchmarks.isic2017.protocol import CLASSES, PROFILES, Run, learner_and_strategy, read_pools
from benchmarks.isic2017.results import (
    BaseSetKey,
    Places,
    TrainedBaseSet,
    add_base_set,
    folder_of,
    key_of,
    read_base_sets,
)
from benchmarks.isic2017.tables.base_sets import STOPPED_ON_TEST, base_set_tables
from benchmarks.terminal import integer_from, start


@dataclass(frozen=True)
class Listed:
    """Strategy that selects given images, in their order."""

    ids: tuple[str, ...]

    def select(self, view: alkit.View, n: int, rng: np.random.Generator) -> alkit.Selection:
        """Return the first `n`."""
        return alkit.Selection(self.ids[:n])


@dataclass(frozen=True)
class StoppedOnTest:
    """Pretext that trains on the whole pool until its loss on the test images stops falling.

    Parameters
    ----------
    pretext:
        The pretext.
    images:
        All images, of pool and test set.
    """

    pretext: alkit.Reconstruction
    images: alkit.protocols.Pool

    def fit(self, pool: alkit.protocols.Pool, rng: np.random.Generator, report: Report = quiet) -> FittedReconstruction:
        """Train on the images of `pool`, with all other images as validation set."""
        test = set(self.images.ids) - set(pool.ids)
        return replace(self.pretext, hold_out=tuple(test)).fit(self.images, rng, report)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--profile", choices=PROFILES, default="small")
    for name, what in {
        "--initial": "seeds of the initial weights",
        "--draws": "seeds of random base sets; the first is also trained with eroded masks",
        "--pretexts": "seeds of SSL-cluster's pretexts; the first is also trained eroded, and stopped on test",
    }.items():
        parser.add_argument(name, nargs="+", type=integer_from(0), default=[0, 1, 2, 3, 4], help=what)
    parser.add_argument("--out", type=Path, help="folder of the results (default: benchmarks/results/isic2017-PROFILE)")
    parser.add_argument("--records", type=Path, default=Path("runs/base_set"), help="folder of the records of the runs")
    parser.add_argument("--jobs", type=integer_from(1), default=2, help="number of runs at once, each on one thread")
    parser.add_argument("--report", action="store_true", help="only print the tables from the results")
    options = parser.parse_args(arguments)
    out = options.out or folder_of(options.profile)
    if not options.report:
        if options.data is None:
            parser.error("training needs the images: add --data DIR, or --report to print the tables")
        measure(options, out)
    for table in base_set_tables(read_base_sets(out)).values():
        print(f"{table.caption}\n\n{table.markdown()}\n")


def measure(options: argparse.Namespace, out: Path) -> None:
    """Train the base sets that have no rows."""
    places = Places(options.data, out, options.records)
    done = {key_of(row) for row in read_base_sets(out)}
    random = [f"random {draw}" for draw in options.draws]
    clustered = [f"ssl-cluster {pretext}" for pretext in options.pretexts]
    wanted = [(choice, "whole") for choice in (*random, *clustered, clustered[0] + STOPPED_ON_TEST, "first")]
    wanted += [(choice, "eroded") for choice in (random[0], clustered[0], "first")]
    left = [(*pair, initial) for pair in wanted for initial in options.initial if (*pair, initial) not in done]
    print(f"{len(wanted) * len(options.initial)} base sets to train, {len(left)} left", flush=True)
    with progress_bar("decoding") as report:
        pools = read_pools(PROFILES[options.profile], options.data, report)
        chosen = {name: choose(name, *pools, options.profile) for name in dict.fromkeys(key[0] for key in left)}
    jobs = [
        grid.Job(
            " ".join(map(str, key)),
            options.records / f"{options.profile}-{'-'.join(map(str, key))}.db".replace(" ", ""),
            1,
        )
        for key in left
    ]
    work = partial(train, left, jobs, chosen, options.profile, places, rows.commit())
    grid.run_jobs(jobs, work, at_once=options.jobs, backend="processes")


def choose(name: str, pool: Subset, test: Subset, profile_name: str) -> tuple[str, ...]:
    """Return the ids of a base set by its name.

    Names are ``first`` (the first ids), ``random`` with a seed, and ``ssl-cluster`` with the seed of its pretext, to
    which ``, stopped on test`` may be added.
    """
    profile = PROFILES[profile_name]
    size, ids = profile.start or len(pool.ids), sorted(pool.ids)
    if name == "first":
        return tuple(ids[:size])
    kind, number = name.removesuffix(STOPPED_ON_TEST).split()
    if kind == "random":
        return tuple(np.random.default_rng(int(number)).choice(ids, size, replace=False).tolist())
    learner, strategy = learner_and_strategy(Run(kind, "scratch", int(number)), profile, "auto")
    if name.endswith(STOPPED_ON_TEST):
        everything = pool.pool.subset((*pool.ids, *test.ids))
        strategy = replace(strategy, features=StoppedOnTest(strategy.features, everything))
    return alkit.Experiment(pool, learner, strategy, classes=CLASSES, seed=int(number)).ask(size)


def train(
    keys: Sequence[BaseSetKey],
    jobs: Sequence[grid.Job],
    chosen: dict[str, tuple[str, ...]],
    profile_name: str,
    places: Places,
    commit: str,
    number: int,
    parent: int,
) -> None:
    """Train one base set and add its row."""
    import torch

    torch.set_num_threads(1)
    (choice, masks, initial), profile = keys[number], PROFILES[profile_name]
    pool, test = read_pools(profile, places.data)
    oracle = alkit.MaskOracle(
        str(places.data / "masks")
        if masks == "whole"
        else {id: erode(places.data / "masks" / f"{id}.png", profile.size) for id in (*pool.ids, *test.ids)},
        classes=CLASSES,
    )
    learner, _ = learner_and_strategy(Run("random", "scratch", initial), profile, "auto")
    experiment = alkit.Experiment(
        pool, learner, Listed(chosen[choice]), store=jobs[number].record, seed=initial, wait=600
    )
    (result,) = experiment.rounds(oracle, test=test, start=len(chosen[choice]), batch=1, rounds=0)
    row = TrainedBaseSet(
        profile_name,
        choice,
        masks,
        initial,
        result.n_labels,
        round(result.metrics["dice"], 5),
        round(result.metrics["iou"], 5),
        round(sum(result.seconds.values()), 1),
        commit,
        rows.machine(),
    )
    add_base_set(places.out, row)


def erode(path: Path, size: int) -> np.ndarray:
    """Return a mask at the working size in which a pixel is lesion only if all of its area is lesion."""
    with Image.open(path) as mask:
        shares = np.asarray(mask.convert("L").resize((size, size), Image.Resampling.BOX))
    return shares // 255


if __name__ == "__main__":
    start(main)
