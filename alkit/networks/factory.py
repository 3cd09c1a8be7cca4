"""Network factories, and fresh networks from them."""

from __future__ import annotations

from typing import Protocol

from torch import nn
from torch.nn.parameter import UninitializedParameter

from alkit.errors import ConfigurationError
from alkit.rng import Stream, seed_torch


class NetworkFactory(Protocol):
    """Makes a fresh network that maps images ``(n, in_channels, h, w)`` to logits ``(n, classes, h, w)``."""

    def __call__(self, *, in_channels: int, classes: int) -> nn.Module:
        """Make one."""


def dropout_layer(probability: float) -> nn.Dropout:
    """Return a dropout layer; unlike torch, refuse a probability of 1, which lets nothing through."""
    if not 0 <= probability < 1:
        raise ConfigurationError("dropout is no probability", got=probability, expected="0 <= dropout < 1")
    return nn.Dropout(probability)


def make_network(factory: NetworkFactory, *, in_channels: int, classes: int, stream: Stream) -> nn.Module:
    """Make a network whose initial weights depend on `stream` alone."""
    with seed_torch(stream):
        network = factory(in_channels=in_channels, classes=classes)
    if not isinstance(network, nn.Module):
        raise ConfigurationError(
            "the network factory did not make a torch module",
            got=type(network).__name__,
            expected="torch.nn.Module",
        )
    if lazy := [name for name, value in network.named_parameters() if isinstance(value, UninitializedParameter)]:
        raise ConfigurationError(
            "a lazy layer draws its weights only when it first sees images, from torch's global generator",
            got=", ".join(lazy),
            hint="give its input size",
        )
    return network
