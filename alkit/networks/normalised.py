"""A warning about pre-trained networks that get images without the normalisation that their weights expect."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn

from alkit._logs import logger
from alkit.errors import ConfigurationError
from alkit.networks.outputs import input_type
from alkit.networks.smp_factories import encoder_name_of
from alkit.networks.training import evaluation_mode
from alkit.rng import keep_torch

log = logger(__name__)

LIBRARIES = ("segmentation_models_pytorch", "timm", "torchvision", "transformers")
"""Packages whose pre-trained weights expect normalised images."""

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def warn_if_not_normalised(factory: Any, one: nn.Module, other: nn.Module, images: Tensor) -> None:
    """Warn if two networks of a factory start from the same weights of a library and see pixels in [0, 1] as they are.

    Parameters
    ----------
    factory:
        The factory, for the message.
    one, other:
        Two networks of it, made from different random streams. Weights that are equal in both are pre-trained.
    images:
        An image of the pool, ``(1, c, h, w)``, on the CPU. Half of it is replaced by black and white.
    """
    tried = images.clone()
    tried[..., : images.shape[-1] // 4], tried[..., images.shape[-1] // 4 : images.shape[-1] // 2] = 0, 1
    first = _first_layer(one, tried)
    if first is None:
        return
    name, (least, greatest) = first
    same = _equal(one.get_submodule(name), other.get_submodule(name))
    if not same or not _is_of_library(one, name) or least < 0 or greatest > 1:
        return
    log.warning(
        "network %s starts from pre-trained weights, but its first layer gets the pixels in [0, 1] as they are; "
        "weights of ImageNet expect pixels minus their mean, divided by their standard deviation. Try: %s",
        type(one).__name__,
        _remedy(factory),
    )


def _remedy(factory: Any) -> str:
    inner = factory.args[0] if getattr(factory, "args", ()) and callable(factory.args[0]) else factory
    try:
        name = encoder_name_of(inner)
    except ConfigurationError:
        return "(images - mean) / std at the start of its forward"
    return (
        f"functools.partial(alkit.networks.SmpNetwork, {name!r}, weights='imagenet') for a U-Net, or the model "
        "in place of the name, which normalises inside the network"
    )


def _first_layer(network: nn.Module, image: Tensor) -> tuple[str, tuple[float, float]] | None:
    """Return the name of the first layer with weights that a network calls, and the range of what it gets."""
    found: list[tuple[str, tuple[float, float]]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                found.append((name, (float(inputs[0].min()), float(inputs[0].max()))))
                raise _FoundError  # the rest of the network is of no interest

        return hook

    device = next((value.device for value in network.parameters()), torch.device("cpu"))
    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if isinstance(module, LAYERS):
                hooks.callback(module.register_forward_pre_hook(note(name)).remove)
        # The network may refuse such images, and the check of its output says so.
        with suppress(Exception), evaluation_mode(network), keep_torch():
            network(image.to(device, input_type(network)))
    return found[0] if found else None


class _FoundError(Exception):
    """The first layer was called."""


def _equal(one: nn.Module, other: nn.Module) -> bool:
    weights, others = (getattr(module, "weight", None) for module in (one, other))
    return (
        isinstance(weights, Tensor)
        and isinstance(others, Tensor)
        and weights.cpu().equal(others.cpu())
        and bool(weights.std() > 0)
    )


def _is_of_library(network: nn.Module, name: str) -> bool:
    """Return whether a layer is inside a module of one of the :data:`LIBRARIES`."""
    parts = name.split(".")
    owners = [network.get_submodule(".".join(parts[:length])) for length in range(len(parts))]
    return any(type(owner).__module__.partition(".")[0] in LIBRARIES for owner in owners)
