"""One epoch of gradient descent, on any device, through Lightning Fabric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from alkit.errors import ConfigurationError
from alkit.rng import Stream, seed_torch

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
"""Lightning Fabric's names of full and of mixed precision."""

Loss = Callable[[Tensor, Tensor], Tensor]
Example = tuple[Tensor, Tensor]


def fabric_for(device: str, precision: str) -> Fabric:
    """Return the Fabric of one device: ``auto``, ``cpu``, ``cuda``, ``mps``, or one of several such as ``cuda:1``."""
    if precision not in PRECISIONS:
        raise ConfigurationError("there is no such precision", got=repr(precision), expected=", ".join(PRECISIONS))
    kind, _, number = device.partition(":")
    try:
        return Fabric(accelerator=kind, devices=[int(number)] if number else 1, precision=cast(Any, precision))
    except Exception as reason:  # Fabric raises its own and built-in types, by accelerator
        raise ConfigurationError(
            f"cannot compute on device {device!r} in precision {precision!r} ({reason})",
            hint="device='auto' and precision='32-true' work everywhere",
        ) from reason


def adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    """Return Adam over the network's parameters, without weight decay."""
    return torch.optim.Adam(network.parameters(), lr=rate)


def minibatches(count: int, size: int, stream: Stream) -> list[Sequence[int]]:
    """Shuffle ``range(count)`` into ceil(count / size) batches whose sizes differ by at most one.

    Even batches, because a last batch of a single image would leave batch normalisation without a variance.

    >>> [len(batch) for batch in minibatches(21, 10, Stream(0))]
    [7, 7, 7]
    """
    order = stream.numpy().permutation(count)
    return [part.tolist() for part in np.array_split(order, math.ceil(count / size))]


def train_epoch(
    fabric: Fabric,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: Iterable[Example],
    loss: Loss,
    stream: Stream,
) -> float:
    """Take one optimizer step per example batch and return the mean loss of the batches.

    `network` and `optimizer` come from ``fabric.setup``; dropout draws from `stream`. The network ends in training
    mode.
    """
    network.train()
    total, steps = torch.zeros((), device=fabric.device), 0
    with seed_torch(stream):
        for inputs, target in examples:
            optimizer.zero_grad(set_to_none=True)
            value = loss(network(fabric.to_device(inputs)), fabric.to_device(target))
            fabric.backward(value)
            optimizer.step()
            total += value.detach()
            steps += 1
    mean = float(total) / max(steps, 1)
    if not math.isfinite(mean):
        raise ConfigurationError(
            "training diverged", got=f"a mean loss of {mean}", hint="a smaller lr, or precision='32-true'"
        )
    return mean


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Put the network into evaluation mode, without gradients, inside the block."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield network
    finally:
        network.train(was_training)
