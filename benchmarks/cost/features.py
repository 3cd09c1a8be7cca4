"""Time and memory of features that are kept on disk, for pools of up to a million images.

::

    python -m benchmarks.cost.features --out benchmarks/results/features.csv

The extractor is trivial: 512 products of the mean of an image of 4 x 4 pixels. So what is measured is the cost of
keeping rows, and the first run would take hours more with a real network. Each step is a process of its own, on one
thread, in which a strategy asks for the features of the pool:

- ``first``: nothing is on disk, and all rows are computed;
- ``again``: all rows are on disk. The process checks each of them and computes one to compare;
- ``grown``: the pool has 1 % more images, which lie between the others by their ids;
- ``grown_again``: all rows of the larger pool are on disk, in another order than in the row file;
- ``memory``: as ``first``, for an extractor without a fingerprint. Its rows lie in a temporary file.

Columns: ``cpu_s`` and ``wall_s``, seconds of the call; ``share``, CPU seconds as a share of those of ``first``;
``mib``, the largest memory of the process above that before the call, without mapped files; ``rows_mib``, what the rows
take; ``disk_mib``, the size of the cache.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import alkit
from alkit.testing import Brightness
from benchmarks.rows import append, commit, machine

ROOT = Path(__file__).parents[2]
"""Folder that contains the package ``benchmarks``."""

COLUMNS = 512

STEPS = ("first", "again", "grown", "grown_again", "memory")


class Images:
    """Images that are computed from their numbers, with digests."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = {f"{number:09}": number for number in numbers}
        self.ids = list(self.numbers)

    def read(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return images of 4 x 4 pixels."""
        values = np.array([self.numbers[id] for id in ids], np.float64) * 0.618 % 1
        return np.repeat(values.astype(np.float32), 16).reshape(-1, 1, 4, 4)

    def digests(self) -> Mapping[str, str]:
        """Return the SHA-256 of each number."""
        return {id: hashlib.sha256(id.encode()).hexdigest() for id in self.ids}

    def digest(self) -> str:
        """Return the number of images."""
        return f"{len(self.ids)} images of this benchmark"

    def subset(self, ids: Sequence[str]) -> Images:
        """Return some of them."""
        return Images([self.numbers[id] for id in ids])


@dataclass(frozen=True)
class Products:
    """Products of the mean of an image and 512 numbers."""

    def fit(self, pool: object, rng: object, report: object = None) -> Products:
        """Return the extractor itself."""
        return self

    def features(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return one row for each image."""
        return np.outer(images.mean(axis=(1, 2, 3)), np.arange(1, COLUMNS + 1)).astype(np.float32)


@dataclass(frozen=True)
class KeptProducts(Products):
    """The same with a fingerprint."""

    def fingerprint(self) -> str:
        """Return a constant, because there are no weights."""
        return "products of the mean"


@contextmanager
def watched() -> Iterator[list[float]]:
    """Measure the largest memory inside the block, in MiB above that before it, without mapped files."""
    found, ended = [0.0], threading.Event()
    before = _anonymous()

    def look() -> None:
        while not ended.wait(0.05):
            found[0] = max(found[0], _anonymous() - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        found[0] = max(found[0], _anonymous() - before)
        ended.set()
        thread.join()


def _anonymous() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def child(images: int, step: str) -> None:
    """Ask for the features in a process of its own, and print what it took."""
    numbers = range(0, 100 * images, 100)
    if step.startswith("grown"):
        numbers = sorted([*numbers, *range(50, 100 * images, 10_000)])
    extractor = Products() if step == "memory" else KeptProducts()
    took: dict[str, float] = {}

    def ask(view: alkit.View, n: int, rng: np.random.Generator) -> Sequence[str]:
        with watched() as memory:
            wall, cpu = time.perf_counter(), time.process_time()
            rows = view.features(extractor)
            took["cpu_s"], took["wall_s"] = time.process_time() - cpu, time.perf_counter() - wall
        if rows.shape != (len(view.ids), COLUMNS) or not np.array_equal(rows[-1], _row(pool, extractor)):
            raise SystemExit("the features are wrong")
        took["mib"], took["images"] = memory[0], len(rows)
        return view.candidates[:n]

    pool = Images(numbers)
    alkit.Experiment(pool, Brightness(), ask, classes=("skin", "lesion")).ask(1)
    print(json.dumps(took))


def _row(pool: Images, extractor: Products) -> npt.NDArray[np.float32]:
    return extractor.features(pool.read(pool.ids[-1:]))[0]


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(int(options.child[0]), options.child[1])
        return
    for images in options.images:
        rows: list[dict[str, object]] = []
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "ALKIT_CACHE": cache}
            for step in STEPS:
                command = [sys.executable, "-m", "benchmarks.cost.features", "--child", str(images), step]
                output = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True).stdout
                took = json.loads(output)
                first = float(str(rows[0]["cpu_s"])) if rows else took["cpu_s"]
                size = sum(path.stat().st_size for path in Path(cache).rglob("*") if path.is_file())
                rows.append(
                    {
                        "images": took["images"],
                        "columns": COLUMNS,
                        "step": step,
                        "cpu_s": round(took["cpu_s"], 3),
                        "wall_s": round(took["wall_s"], 3),
                        "share": round(took["cpu_s"] / first, 3),
                        "mib": round(took["mib"], 1),
                        "rows_mib": round(took["images"] * COLUMNS * 4 / 2**20, 1),
                        "disk_mib": round(size / 2**20, 1),
                        "machine": machine(),
                        "commit": commit(),
                    }
                )
                print(*rows[-1].values(), flush=True)
        if options.out:
            append(options.out, rows)


if __name__ == "__main__":
    main()
