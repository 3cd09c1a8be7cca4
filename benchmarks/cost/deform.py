"""Measure the share of deformations in a training step of the pretext network.

::

    python -m benchmarks.cost.deform --out benchmarks/results/deform.csv

The deformation of a batch and a training step on it (forward, backward, Adam, in channels-last layout) are timed in
turn, so that a busy machine slows both. A row has the medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch
from torch.nn import functional as F

from alkit.features import Deformation
from alkit.networks import UNet
from benchmarks.rows import append, commit, machine

T = TypeVar("T")

SETTINGS: dict[int, tuple[int, ...]] = {64: (8, 16, 32, 64, 128), 256: (32, 64, 128, 256, 512)}
"""Widths of the U-Net by size of the images."""


def measure(size: int, widths: tuple[int, ...], batch: int, repeats: int, device: torch.device) -> dict[str, object]:
    """Return one row: median milliseconds of the deformation and of the training step, and the machine."""
    generator = torch.Generator(device).manual_seed(0)
    images = torch.rand(batch, 1, size, size, generator=generator, device=device)
    deformation = Deformation()
    network = UNet(in_channels=1, classes=1, widths=widths).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def deform() -> tuple[torch.Tensor, torch.Tensor]:
        return deformation(images, generator)

    def step(deformed: torch.Tensor, target: torch.Tensor) -> None:
        optimizer.zero_grad()
        F.mse_loss(network(deformed).sigmoid(), target).backward()
        optimizer.step()

    times: list[tuple[float, float]] = []
    for _ in range(repeats + 1):
        deform_ms, (deformed, target) = time_call(deform, device)
        deformed = deformed.contiguous(memory_format=torch.channels_last)
        step_ms, _ = time_call(lambda inputs=deformed, target=target: step(inputs, target), device)
        times.append((deform_ms, step_ms))
    deform_ms, step_ms = (median(column) for column in zip(*times[1:], strict=True))  # the first pair warms up
    return {
        "size": size,
        "widths": "-".join(map(str, widths)),
        "batch": batch,
        "deform_ms": round(deform_ms, 2),
        "step_ms": round(step_ms, 2),
        "share": round(deform_ms / step_ms, 4),
        "threads": torch.get_num_threads(),
        "machine": machine(device),
        "torch": torch.__version__,
        "commit": commit(),
    }


def time_call(work: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Return the milliseconds that `work` took, and its result."""
    start = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start), result


def main() -> None:
    """Measure, print and append the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", choices=sorted(SETTINGS), default=sorted(SETTINGS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7, help="number of timed pairs, after one that warms up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--out", type=Path, help="CSV file to append to")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    for size in args.sizes:
        row = measure(size, SETTINGS[size], args.batch, args.repeats, args.device)
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        if args.out:
            append(args.out, [row])


if __name__ == "__main__":
    main()
