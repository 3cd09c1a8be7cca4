"""Let the same seed give the same weights on a GPU: the settings of torch for training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

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
    memory: Any = cast(Any, torch.utils.deterministic)  # torch adds its property when it is imported
    mode, fill = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    torch.set_deterministic_debug_mode(max(mode, 1))  # 1 warns, 2 raises an error
    memory.fill_uninitialized_memory = fill and mode > 0  # it takes time, and only shows faults of operations
    torch.backends.cudnn.benchmark = False  # it takes the algorithm that was the fastest this time
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = benchmark
        memory.fill_uninitialized_memory = fill
        torch.set_deterministic_debug_mode(mode)
