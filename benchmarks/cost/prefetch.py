"""Time of passes of a network over images that are on disk, with and without reading ahead.

::

    python -m benchmarks.cost.prefetch --out benchmarks/results/prefetch.csv

The images are colour, 256 x 256, rows of the cache of an ``ImagePool``, read in the order of the cache and in another
order. A network of two convolutions passes over them in batches on one thread. While it computes a batch, the system
loads the next. Before each pass the row file is dropped from the memory of the system, so that everything comes from
the disk. Passes with and without reading ahead take turns.

Columns, medians over the pairs: ``wall``, seconds of a pass; ``read``, seconds of it until images were there;
``waits``, how often the process had to wait for the disk. ``ratio`` and ``read_ratio`` are the medians of the ratios of
the pairs.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn

import alkit
from alkit.pools.pieces import Shard, shards_of
from benchmarks.rows import append, commit, machine

SIDE = 256


class Took(NamedTuple):
    """What a pass took."""

    wall: float
    read: float
    waits: int


def make_pool(folder: Path, n: int) -> alkit.ImagePool:
    """Write images, and return the pool, whose cache is on disk."""
    images = folder / "images"
    images.mkdir()
    chance = np.random.default_rng(0)
    for number in range(n):
        Image.fromarray(chance.integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8)).save(images / f"{number:05}.bmp")
    return alkit.ImagePool(images, cache=folder / "cache")


def forget(folder: Path) -> None:
    """Drop the row file from the memory of the system."""
    for path in folder.glob("cache/images/*/rows-*.bin"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@torch.inference_mode()
def run(network: nn.Module, shards: list[Shard], ahead: bool) -> Took:
    """Pass over all images as ``alkit.sharing.share`` does."""
    begun, read, waits = time.perf_counter(), 0.0, 0
    for number, shard in enumerate(shards):
        if ahead and number + 1 < len(shards):
            shards[number + 1].expect()
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, time.perf_counter()
        images = shard.pool.read(shard.ids)
        read += time.perf_counter() - start
        waits += resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
        network(torch.from_numpy(images))
    return Took(time.perf_counter() - begun, read, waits)


def main() -> None:
    """Measure, print and append rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="folder on the disk to measure; default: that of temporary files")
    parser.add_argument("--out", type=Path, help="CSV file to append to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        pool = make_pool(folder, options.images)
        for order in ("cache", "other"):
            ids = list(pool.ids)
            if order == "other":
                np.random.default_rng(0).shuffle(ids)
            shards, pairs = shards_of(pool, ids), list[tuple[Took, Took]]()
            for _ in range(options.repeats):
                forget(folder)
                one = run(network, shards, True)
                forget(folder)
                pairs.append((one, run(network, shards, False)))
            row: dict[str, object] = {"order": order, "images": options.images, "side": SIDE}
            for figure in Took._fields:
                row[f"{figure}_ahead"] = round(median(getattr(one, figure) for one, _ in pairs), 3)
                row[f"{figure}_without"] = round(median(getattr(two, figure) for _, two in pairs), 3)
            row["ratio"] = round(median(one.wall / two.wall for one, two in pairs), 3)
            row["read_ratio"] = round(median(one.read / two.read for one, two in pairs), 3)
            row |= {"repeats": options.repeats, "machine": machine(), "commit": commit()}
            print(*row.values(), flush=True)
            if options.out:
                append(options.out, [row])


if __name__ == "__main__":
    main()
