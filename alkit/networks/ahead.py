"""Read the next batch while a GPU computes the last one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Tensors = TypeVar("Tensors", bound=tuple[Tensor, ...])


def read_ahead(batches: Iterator[Tensors], device: torch.device) -> Iterator[Tensors]:
    """Yield batches of tensors on the CPU in their order.

    For CUDA, a thread reads one batch ahead, into memory from which the copy to the device does not wait.
    """
    if device.type != "cuda":
        yield from batches
        return
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(_read, batches)
        while (batch := following.result()) is not None:
            following = thread.submit(_read, batches)
            yield batch


def _read(batches: Iterator[Tensors]) -> Tensors | None:
    batch = next(batches, None)
    return None if batch is None else _pinned(batch)


def _pinned(batch: Tensors) -> Tensors:
    return type(batch)(tensor.pin_memory() for tensor in batch)
