"""CPU time of the pre-trained features, beside a bare loop of PyTorch over the same network.

::

    python -m benchmarks.cost.pretrained --out benchmarks/results/pretrained.csv

Both describe the same images of 224 x 224 pixels by EfficientNet-Lite0, on one thread, in batches of 32. The bare loop
normalises an array of bytes and runs the network as timm makes it. alkit reads the images from a pool. The two take
turns, and each row has the least CPU time of all turns. The rows of both must be equal up to rounding.

Columns: ``cpu_s``, seconds for 1,000 images; ``ratio``, this over that of the bare loop.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt
import timm
import torch

import alkit
from alkit.features import Pretrained
from benchmarks.rows import append, commit, machine

SIDE, BATCH = 224, 32


def bare(pixels: npt.NDArray[np.uint8], weights: dict[str, torch.Tensor]) -> Callable[[], npt.NDArray[np.float32]]:
    """Return a bare loop over images ``(n, h, w, 3)``."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    network.load_state_dict(weights)

    def run() -> npt.NDArray[np.float32]:
        found = []
        with torch.inference_mode():
            for start in range(0, len(pixels), BATCH):
                images = torch.from_numpy(pixels[start : start + BATCH]).permute(0, 3, 1, 2).float()
                found.append(network(images.div_(255).sub_(0.5).div_(0.5)))
        return torch.cat(found).numpy()

    return run


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pixels = np.random.default_rng(0).integers(256, size=(options.images, SIDE, SIDE, 3), dtype=np.uint8)
    pool = alkit.ArrayPool(pixels)
    fitted = Pretrained(batch=BATCH, device="cpu").fit(pool, np.random.default_rng(0))
    ids = list(pool.ids)

    def ours() -> npt.NDArray[np.float32]:
        return np.concatenate(
            [fitted.features(pool.read(ids[start : start + BATCH])) for start in range(0, len(ids), BATCH)]
        )

    loops = {"bare loop": bare(pixels, fitted.body.state_dict()), "alkit": ours}
    least = dict.fromkeys(loops, float("inf"))
    rows = {}
    for _ in range(options.turns):
        for name, loop in loops.items():
            before = time.process_time()
            rows[name] = loop()
            least[name] = min(least[name], time.process_time() - before)
    np.testing.assert_allclose(rows["alkit"], rows["bare loop"], rtol=1e-2, atol=1e-3)
    found = [
        {
            "network": "efficientnet-lite0",
            "pixels": SIDE,
            "who": name,
            "cpu_s": round(seconds / options.images * 1000, 2),
            "ratio": round(seconds / least["bare loop"], 3),
            "machine": machine(),
            "commit": commit(),
        }
        for name, seconds in least.items()
    ]
    for row in found:
        print(*row.values())
    if options.out:
        append(options.out, found)


if __name__ == "__main__":
    main()
