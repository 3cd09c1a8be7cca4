"""CPU time and memory of a campaign's steps on pools of 1,000 to 1,000,000 images.

::

    python -m benchmarks.cost.pool --repeats 3 3 2 2 --out benchmarks/results/pool.csv

The images are tiny (8 x 8 pixels, gray, one array) and so are the networks, so that what is measured is the cost per
image of alkit itself: ids, digests, records, candidates, batches, clusters. A folder of files costs more, for decoding,
see ``benchmarks/results/features.csv`` and the page on scoring for the cost of real images.

One process measures all steps of a pool, on one thread, after a campaign on 200 images that is not counted:

- ``pool``: ``ArrayPool(images)``.
- ``start``: ``Experiment(...)`` with a new record. The ids and digests of all images are recorded.
- ``ask_cold``: 100 images by ``ssl-cluster``, with K-means of 10 clusters on a table of 16 features per image.
- ``tell``: the answers of these 100 images.
- ``round``: ``fit()``: trains, and commits the round.
- ``ask_scored``: 100 images by the entropy of the model's prediction of all images.
- ``status``: the summary that ``alkit status`` prints.
- ``open``: ``Experiment.open``, as each command does.
- ``growth``: the next ``tell`` and ``fit``, of the second round.

Columns: CPU seconds, the median of ``repeats`` processes with the least and the most; ``us_per_image``; ``over_10k``,
the cost per image divided by that of 10,000 images in the same run of the command; ``peak_mib``, the peak of resident
memory in the step above that before the pool was made; ``bytes_per_image`` of this peak.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

import alkit
from alkit.record import Store
from benchmarks.rows import append, commit, machine

ROOT = Path(__file__).parents[2]
"""Folder that contains the package ``benchmarks``."""

SIDE, BATCH, WIDTH = 8, 100, 16
"""Pixels of an image's side, images of a query, features of an image."""


@dataclass(frozen=True)
class Projection:
    """A feature extractor that costs next to nothing: a fixed random projection of the pixels."""

    def fit(self, pool: Any, rng: np.random.Generator, report: Any = None) -> Projection:
        """Return itself: there is nothing to learn."""
        return self

    def features(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``(n, 16)``."""
        weights = np.random.default_rng(0).normal(size=(SIDE * SIDE, WIDTH))
        return (images.reshape(len(images), -1) @ weights).astype(np.float32)


def campaign(n: int, folder: Path, timed: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Run all steps on `n` images, each by way of `timed`."""
    chance = np.random.default_rng(0)
    images = chance.integers(256, size=(n, SIDE, SIDE), dtype=np.uint8)
    masks = chance.integers(2, size=(64, SIDE, SIDE), dtype=np.uint8)
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), device="cpu")
    strategy = alkit.strategies.Then(
        alkit.strategy("ssl-cluster", features=Projection(), clusters=10),
        alkit.strategies.Uncertainty(alkit.scores.entropy),
        after=1,
    )
    pool = timed("pool", lambda: alkit.ArrayPool(images))
    parts = {"learner": learner, "strategy": strategy}
    store = folder / "record.db"
    experiment = timed("start", lambda: alkit.Experiment(pool, store=store, classes=("skin", "lesion"), **parts))

    def tell(ids: tuple[str, ...]) -> None:
        experiment.tell({id: masks[int(id) % len(masks)] for id in ids})

    ids = timed("ask_cold", lambda: experiment.ask(BATCH))
    timed("tell", lambda: tell(ids))
    timed("round", experiment.fit)
    ids = timed("ask_scored", lambda: experiment.ask(BATCH))
    timed("status", lambda: status(store))
    experiment = timed("open", lambda: alkit.Experiment.open(store, pool=pool, **parts))
    timed("growth", lambda: (tell(ids), experiment.fit()))
    if experiment.history[-1].n_labels != 2 * BATCH:
        raise SystemExit(f"the campaign did not run as it should: {experiment.history[-1]}")


def status(store: Path) -> None:
    """Summarise a record as ``alkit status`` does."""
    record = Store(store)
    alkit.report.campaign_summary(record)
    record.close()


def child(n: int) -> None:
    """Measure in this process, and print seconds and MiB of each step as one line of JSON."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, tuple[float, float]] = {}

    def timed(name: str, action: Callable[[], Any]) -> Any:
        Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory starts again
        begun = time.process_time()
        result = action()
        found[name] = time.process_time() - begun, resident("VmHWM") - before
        print(f"{n} {name} {found[name]}", file=sys.stderr, flush=True)
        return result

    with tempfile.TemporaryDirectory() as folder:
        campaign(2 * BATCH + 50, Path(folder), lambda name, action: action())
    with tempfile.TemporaryDirectory() as folder:
        before = resident("VmRSS")
        campaign(n, Path(folder), timed)
    print(json.dumps(found))


def resident(name: str) -> float:
    """Return a figure of this process's resident memory, in MiB."""
    match = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, nargs="+", default=[5, 5, 3, 1], help="of each number of images")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    base: dict[str, float] = {}
    for n, repeats in zip(options.images, options.repeats, strict=False):
        command = [sys.executable, "-m", "benchmarks.cost.pool", "--child", str(n)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        found = []
        for _ in range(repeats):
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
            found.append(json.loads(done.stdout))
        rows = rows_of(n, found, base)
        for row in rows:
            print(*row.values(), flush=True)
        if options.out:
            append(options.out, rows)


def rows_of(n: int, found: Sequence[Mapping[str, Sequence[float]]], base: dict[str, float]) -> list[dict[str, Any]]:
    """Return a row for each step; `base` has, or gets, the seconds per image of 10,000 images."""
    rows = []
    for name in found[0]:
        seconds, peak = [one[name][0] for one in found], max(one[name][1] for one in found)
        per_image = median(seconds) / n
        base |= {name: per_image} if n == 10_000 else {}
        rows.append(
            {"images": n, "step": name,
             "cpu_s": round(median(seconds), 4),
             "cpu_least": round(min(seconds), 4),
             "cpu_most": round(max(seconds), 4),
             "us_per_image": round(1e6 * per_image, 3),
             "over_10k": round(per_image / base[name], 3) if name in base else "",
             "peak_mib": round(peak, 1),
             "bytes_per_image": round(peak * 2**20 / n),
             "repeats": len(found), "machine": machine(), "commit": commit()}
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
