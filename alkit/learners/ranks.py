"""The processes that train one model together: each computes its share of a batch, and torch averages the gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn

from alkit.networks.training import Loss

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Changes the images and the targets of a batch."""


def are_several() -> bool:
    """Whether this process is one of several that train a model."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def together(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network whose gradients are averaged over the processes; in one process, the network itself."""
    if not are_several():
        return network
    from torch.nn.parallel import DistributedDataParallel

    # Frozen weights have no gradient for a while.
    places = [device] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=places, find_unused_parameters=True)


def own_share(change: Change | None, loss: Loss) -> tuple[Change | None, Loss]:
    """Return a change and a loss by which this process computes its share of each batch.

    The change is that of the whole batch, followed by the choice of the share. The loss is weighted, so that the mean
    over the processes is the mean over the batch. Of a batch with fewer images than processes, all compute the whole.
    """
    if not are_several():
        return change, loss
    rank, count = distributed.get_rank(), distributed.get_world_size()
    weight = 1.0

    def share(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal weight
        if change is not None:
            images, targets = change(images, targets)
        if len(images) < count:
            weight = 1.0
            return images, targets
        own = slice(rank * len(images) // count, (rank + 1) * len(images) // count)
        weight = count * (own.stop - own.start) / len(images)
        return images[own], targets[own]

    def weighted(outputs: Any, targets: Tensor) -> Tensor:
        return loss(outputs, targets) * weight

    return share, weighted


def of_first(number: float, device: torch.device) -> float:
    """Return the number that the first process has, so that all decide alike."""
    if not are_several():
        return number
    held = torch.tensor([number], dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)
    distributed.broadcast(held, 0)
    return float(held)
