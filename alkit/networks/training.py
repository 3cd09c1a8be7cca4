"""Training for one epoch, on any device, by Lightning Fabric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.rng import Stream, seed_torch

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
"""Precisions, by the names of Lightning Fabric."""

Loss = Callable[[Tensor, Tensor], Tensor]
Example = tuple[Tensor, Tensor]


def fabric_for(device: str, precision: str) -> Fabric:
    """Return the Fabric of a device.

    Parameters
    ----------
    device:
        ``auto``, ``cpu``, ``cuda``, ``mps``, or a numbered device such as ``cuda:1``.
    precision:
        One of :data:`PRECISIONS`.

    Raises
    ------
    ConfigurationError
        The precision is unknown, or this machine does not have the device.
    """
    if precision not in PRECISIONS:
        raise ConfigurationError(f"precision must be one of {', '.join(PRECISIONS)}", got=repr(precision))
    kind, _, number = device.partition(":")
    if problem := _missing(kind, number):
        raise ConfigurationError(
            "device must be usable on this machine", got=f"{device!r}, but {problem}", hint="device='cpu'"
        )
    try:
        return Fabric(accelerator=kind, devices=[int(number)] if number else 1, precision=cast(Any, precision))
    except Exception as reason:  # Fabric raises errors of several types
        if precision == PRECISIONS[0]:
            raise ConfigurationError(
                "device must be auto, cpu, cuda, mps, or a numbered device such as cuda:1",
                got=repr(device),
                hint="device='cpu'",
            ) from reason
        raise ConfigurationError(
            f"precision must be usable on the device {device!r}", got=repr(precision), hint="precision='32-true'"
        ) from reason


def _missing(kind: str, number: str) -> str | None:
    """Say which device of torch is missing; None if it exists, or if its kind is unknown."""
    if kind == "mps" and not torch.backends.mps.is_available():
        return "torch finds no MPS device"
    if kind == "cuda" and not torch.cuda.is_available():
        return "torch finds no CUDA device"
    if kind == "cuda" and number.isdecimal() and int(number) >= (count := torch.cuda.device_count()):
        return f"torch finds {count} CUDA devices, numbered from 0"
    return None


@checked
def adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    """Return an Adam optimizer of the network's parameters, without weight decay."""
    return torch.optim.Adam(network.parameters(), lr=rate)


@checked
def minibatches(count: int, size: int, stream: Stream) -> list[Sequence[int]]:
    """Shuffle ``range(count)`` into ceil(count / size) batches whose sizes differ by at most one.

    The sizes are even because batch normalisation cannot compute a variance of a batch of one image.

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
    """Take one optimizer step per batch of examples, and return the mean loss of the batches.

    The network is in training mode afterwards.

    Parameters
    ----------
    fabric:
        Fabric of the device.
    network, optimizer:
        Results of ``fabric.setup``.
    examples:
        Batches of images and targets.
    loss:
        From logits and targets to a scalar.
    stream:
        Random stream of dropout.

    Raises
    ------
    ConfigurationError
        The mean loss is not finite.
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
            "training diverged", got=f"a mean loss of {mean}", hint="a smaller lr= or precision='32-true'"
        )
    return mean


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[nn.Module]:
    """Switch the network to evaluation mode without gradients, inside a ``with`` block."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield network
    finally:
        network.train(was_training)
