"""Network factories, and new networks made by them."""

from __future__ import annotations

from typing import Protocol

from torch import nn
from torch.nn.parameter import UninitializedParameter

from alkit.arguments.checked import checked
from alkit.checks import check_number
from alkit.errors import AlkitError, ConfigurationError
from alkit.networks.smp_factories import are_left_out, downloads, without_download
from alkit.rng import Stream, seed_torch


class NetworkFactory(Protocol):
    """Makes a new network.

    It maps images ``(n, in_channels, h, w)`` to logits: ``(n, classes, h, w)`` for masks, or ``(n, classes)``.
    """

    def __call__(self, *, in_channels: int, classes: int) -> nn.Module:
        """Make a network."""


@checked
def dropout_layer(probability: float) -> nn.Dropout:
    """Return a dropout layer. Unlike in torch, the probability 1 is an error, because it would drop everything.

    Raises
    ------
    ConfigurationError
        `probability` is not in [0, 1).

    Examples
    --------
    >>> dropout_layer(0.5)
    Dropout(p=0.5, inplace=False)
    >>> dropout_layer(1)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: dropout must be a number in [0, 1): got 1
    """
    return nn.Dropout(check_number("dropout", probability, 0, 1, open_ends=")"))


@checked
def make_network(factory: NetworkFactory, *, in_channels: int, classes: int, stream: Stream) -> nn.Module:
    """Make a network whose initial weights depend on `stream` alone.

    Parameters
    ----------
    factory:
        Makes the network.
    in_channels, classes:
        Arguments of the factory.
    stream:
        Random stream of the initial weights.

    Raises
    ------
    ConfigurationError
        The factory fails or did not return a torch module, or the network has lazy layers or weights without values.

    Examples
    --------
    >>> from alkit import UNet
    >>> one, other = (make_network(UNet, in_channels=1, classes=2, stream=Stream(0)) for _ in range(2))
    >>> one.head.weight.equal(other.head.weight)
    True
    """
    made_by = without_download(factory) if are_left_out() else factory
    with seed_torch(stream):
        try:
            network = made_by(in_channels=in_channels, classes=classes)
        except AlkitError:
            raise
        except Exception as reason:  # a factory may do anything
            raise ConfigurationError(
                f"the network factory fails with in_channels={in_channels} and classes={classes} "
                f"({type(reason).__name__}: {reason})",
                hint="alkit.networks.SmpNetwork with weights=, whose error says how to get the weights, or "
                "encoder_weights=None"
                if downloads(factory)
                else "a function or class called as factory(in_channels=..., classes=...)",
            ) from reason
    if not isinstance(network, nn.Module):
        raise ConfigurationError("the network factory must return a torch.nn.Module", got=type(network).__name__)
    if lazy := [name for name, value in network.named_parameters() if isinstance(value, UninitializedParameter)]:
        raise ConfigurationError(
            "the network must not have lazy layers, because their initial weights would not depend on the seed",
            got=", ".join(lazy),
            hint="layers with a given input size",
        )
    if meta := [name for name, value in network.named_parameters() if value.is_meta]:
        raise ConfigurationError(
            "the network must have weights on a device",
            got=f"{meta[0]} on the device meta, without values",
            hint="the network without device='meta'",
        )
    return network


def check_apart(one: nn.Module, two: nn.Module) -> None:
    """Raise a :class:`ConfigurationError` if two networks of a factory share weights that are trained."""
    own = {id(weights) for weights in one.parameters() if weights.requires_grad}
    shared = one is two or any(id(weights) in own for weights in two.parameters())
    if shared:
        raise ConfigurationError(
            "the network factory must return a new network at each call",
            got=f"the same {type(one).__name__} twice" if one is two else "two networks that share weights",
            hint="a class or a function that makes the network, not a network that exists already",
        )
