"""Let the same seed give the same weights on a GPU: the settings of torch for training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.utils.deterministic


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Let torch use operations that give the same result in each run, inside a ``with`` block. A CPU needs nothing.

    By default, some operations on CUDA add numbers in an order that changes from run to run. torch warns of those that
    it has no other form of. A caller's own setting that forbids such operations stays.
    """
    if device.type != "cuda":
        yield
        return
    mode, fill, benchmark = (
        torch.get_deterministic_debug_mode(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
    )
    torch.set_deterministic_debug_mode(max(mode, 1))  # 1 warns, 2 raises an error
    torch.utils.deterministic.fill_uninitialized_memory = fill and mode > 0  # it costs time and finds faults only
    torch.backends.cudnn.benchmark = False  # it takes the algorithm that was fastest this time
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = benchmark
        torch.utils.deterministic.fill_uninitialized_memory = fill
        torch.set_deterministic_debug_mode(mode)
