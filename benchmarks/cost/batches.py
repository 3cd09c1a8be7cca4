"""CPU time of predictions and of draws by the memory that a batch may take, and time of scoring with slow images.

::

    python -m benchmarks.cost.batches --out benchmarks/results/batches.csv --reading-out benchmarks/results/reading.csv

Rows of ``--out``: ``mib`` is the measured memory of one image inside the network, ``budget_mib`` what a batch may take,
and ``at_once`` the images in a batch that follows from it; ``pixels`` in place of a budget stands for batches of a
million pixels, at most 64 images, whatever the network needs. ``predict_ms`` and ``draws_ms`` are CPU milliseconds for
each image, on one thread, the least of some turns: for probabilities, and for BALD over five draws. The budgets take
turns.

Rows of ``--reading-out``: seconds of scoring a pool by entropy, medians, on one thread; each image takes ``wait_ms`` to
read, as on a slow disk. ``ahead_s`` with a thread that reads the next batch, ``without_s`` without it; they take turns.
``ratio`` is the median of the ratios of pairs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import nn

import alkit
from alkit.learners import NetworkPredictor
from alkit.rng import Stream
from alkit.scores import Scoring, bald, entropy
from benchmarks.rows import append, commit, machine

MIB = 2**20
BUDGETS = (8, 16, 32, 64)
DRAWS = alkit.Dropout(5)

# What is replaced to measure the choice, as nobody else should.
BUDGET, TIMES, READ_AHEAD = (
    "alkit.networks.footprint.BUDGET",
    "alkit.learners.predictor.WITHOUT_DRAWS",
    "alkit.pools.pieces.Shard.ahead",
)


def networks() -> dict[str, Callable[[], nn.Module]]:
    """Return factories of networks for three channels and two classes."""
    return {
        "unet 16-32-64": partial(alkit.UNet, 3, 2, widths=(16, 32, 64)),
        "unet": partial(alkit.UNet, 3, 2),
        "smp resnet18": partial(smp.Unet, "resnet18", encoder_weights=None, in_channels=3, classes=2),
    }


CASES = (("unet 16-32-64", 96), ("unet 16-32-64", 256), ("unet", 64), ("unet", 128), ("smp resnet18", 64),
         ("smp resnet18", 128))  # fmt: skip
"""Networks, and the sides of images in pixels."""


def batches(name: str, side: int, turns: int) -> list[dict[str, object]]:
    """Measure one network at one size, by budget."""
    count = min(64, MIB // side**2)
    images = np.random.default_rng(0).random((count, 3, side, side), np.float32)
    pool, draws = alkit.ArrayPool(images), not name.startswith("smp")  # whose decoder drops nothing
    memory = _memory(name, images[:1]) / MIB
    found: dict[int, list[list[float]]] = {}
    for _ in range(turns):
        for budget in (*BUDGETS, 0):
            cpu = MIB * (budget or int(2 * count * memory + 1))
            with patch.dict(BUDGET, cpu=cpu), patch(TIMES, 1):
                predictor = NetworkPredictor(_network(name), 3, 2)
                predictor.probabilities(images)  # tries what is new
                times = [_cpu(lambda: predictor.probabilities(images)) / count]  # noqa: B023
                if draws and budget:
                    list(predictor.posterior(images[:1]).dropout(1, Stream(0)))
                    scoring = Scoring(pool, predictor, Stream(0))
                    times.append(_cpu(lambda: scoring.scores(pool.ids, bald, DRAWS)) / count)  # noqa: B023
                found.setdefault(budget, []).append(times)
    return [
        {"network": name, "side": side, "images": count, "mib": round(memory, 2),
         "budget_mib": budget or "pixels", "at_once": min(count, max(1, int(budget / memory))) if budget else count,
         "predict_ms": round(1e3 * min(times[0] for times in some), 2),
         "draws_ms": round(1e3 * min(times[1] for times in some), 2) if len(some[0]) > 1 else "",
         "turns": turns, "machine": machine(), "torch": torch.__version__, "commit": commit()}
        for budget, some in found.items()
    ]  # fmt: skip


def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return networks()[name]().eval()


def _memory(name: str, image: np.ndarray) -> float:
    """Return the bytes that an image takes inside a network: its share of a very large batch that just fits."""
    with patch.dict(BUDGET, cpu=2**50):
        return 2**50 / NetworkPredictor(_network(name), 3, 2).images_at_once(image)


def _cpu(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


class Slow:
    """A pool whose images take some time to read."""

    def __init__(self, images: np.ndarray, wait: float) -> None:
        self.ids, self._images, self._wait = [f"{row:04}" for row in range(len(images))], images, wait

    def read(self, ids: Sequence[str]) -> np.ndarray:
        """Return images after a while."""
        time.sleep(self._wait * len(ids))
        return self._images[[int(id) for id in ids]]


def reading(wait_ms: float, turns: int) -> dict[str, object]:
    """Measure scoring with images that take some time to read."""
    predictor = NetworkPredictor(_network("unet 16-32-64"), 3, 2)
    pool = Slow(np.random.default_rng(0).random((128, 3, 96, 96), np.float32), wait_ms / 1e3)

    def seconds() -> float:
        begun = time.perf_counter()
        Scoring(pool, predictor, Stream(0)).scores(pool.ids, entropy)
        return time.perf_counter() - begun

    seconds()  # tries the network
    pairs = []
    for _ in range(turns):
        ahead = seconds()
        with patch(READ_AHEAD, lambda shard, thread: shard):
            pairs.append((ahead, seconds()))
    return {
        "wait_ms": wait_ms, "images": len(pool.ids), "side": 96,
        "ahead_s": round(median(one for one, _ in pairs), 3), "without_s": round(median(two for _, two in pairs), 3),
        "ratio": round(median(one / two for one, two in pairs), 3),
        "turns": turns, "machine": machine(), "torch": torch.__version__, "commit": commit(),
    }  # fmt: skip


def main() -> None:
    """Measure, print and append rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--waits", nargs="*", type=float, default=[0, 2, 5, 10])
    parser.add_argument("--out", type=Path, help="CSV file to append to")
    parser.add_argument("--reading-out", type=Path, help="CSV file to append to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for wait in options.waits:
        _tell([reading(wait, options.turns)], options.reading_out)
    for name, side in CASES:
        _tell(batches(name, side, options.turns), options.out)


def _tell(rows: list[dict[str, object]], out: Path | None) -> None:
    for row in rows:
        print(*row.values(), flush=True)
    if out:
        append(out, rows)


if __name__ == "__main__":
    main()
