"""What a network sees before its head: one row of features for each image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from alkit.errors import AlkitError, ConfigurationError, is_out_of_memory
from alkit.networks.encoder_maps import encoder_output
from alkit.networks.heads import output_layers
from alkit.networks.training import evaluation_mode


def features_before_head(network: nn.Module, images: Tensor) -> Tensor:
    """Return what a network sees before its head, averaged over the pixels or tokens, ``(n, d)``, float32.

    If the head is a convolution and the network has an encoder, that is the encoder's deepest map. The encoder is a
    method ``encode`` or a submodule ``encoder`` that returns a list of maps, the deepest last; it gets what the network
    gives it. Otherwise it is the input of the head, the first of :func:`alkit.networks.output_layers`.

    Parameters
    ----------
    network:
        Maps images to logits.
    images:
        ``(n, c, h, w)``, on the device of the network.

    Raises
    ------
    ConfigurationError
        The network has no encoder and does not call its output layer as a module, or not once for all images.

    Examples
    --------
    >>> import torch
    >>> from alkit.networks import UNet
    >>> features_before_head(UNet(in_channels=1, classes=2, widths=(2, 4, 8)), torch.zeros(3, 1, 16, 16)).shape
    torch.Size([3, 8])
    >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 2))
    >>> features_before_head(classifier, torch.zeros(3, 1, 4, 4)).shape
    torch.Size([3, 5])
    """
    name = output_layers(network)[0]
    head = network.get_submodule(name)
    with evaluation_mode(network):
        deepest = None if isinstance(head, nn.Linear) else _deepest_map(network, images)
        seen = _input_of(head, name, network, images) if deepest is None else deepest
        if seen.ndim > 2:  # a linear layer has the features on the last axis, a convolution on the second
            seen = seen.flatten(1, -2).mean(1) if isinstance(head, nn.Linear) else seen.flatten(2).mean(2)
        return seen.float()


def _deepest_map(network: nn.Module, images: Tensor) -> Tensor | None:
    """Return the deepest map of the network's encoder; None if it has none, or one that returns something else."""
    try:
        maps = encoder_output(network, images)
    except AlkitError:
        raise
    except Exception as reason:
        if is_out_of_memory(reason):  # the features of a smaller batch must not be others
            raise
        return None  # a member of this name may have nothing to do with images
    last = maps[-1] if isinstance(maps, list | tuple) and maps else None
    return last if isinstance(last, Tensor) and last.ndim == 4 and len(last) == len(images) else None


def _input_of(head: nn.Module, name: str, network: nn.Module, images: Tensor) -> Tensor:
    """Run the network and return the input of its head."""
    seen: list[Any] = []
    if isinstance(head, torch.jit.ScriptModule):
        raise ConfigurationError(
            f"the output layer {name!r} of network {type(network).__name__} must not be scripted, because the strategy "
            "uses what the model sees before its head",
            hint="torch.jit.script for other parts of the network only, or another strategy",
        )
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0] if inputs else None))
    try:
        network(images)
    finally:
        handle.remove()
    if len(seen) != 1 or not isinstance(seen[0], Tensor) or seen[0].ndim < 2 or len(seen[0]) != len(images):
        found = f"{len(seen)} calls" if len(seen) != 1 else f"an input of shape {tuple(getattr(seen[0], 'shape', ()))}"
        raise ConfigurationError(
            f"network {type(network).__name__} must call its output layer {name!r} once, as a module, with one row for "
            "each image, because the strategy uses what the model sees before its head",
            got=f"{found} for {len(images)} image{'s' if len(images) != 1 else ''}",
            hint="an attribute output_layers with the names of the layers that compute logits",
        )
    return seen[0]
