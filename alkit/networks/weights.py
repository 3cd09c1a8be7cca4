"""Copy weights from one network to another, and read the deepest encoder map."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from alkit.errors import ConfigurationError
from alkit.networks.encoder_maps import encoder_name, encoder_output
from alkit.networks.heads import output_layers


def deepest_map(network: nn.Module, images: Tensor) -> Tensor:
    """Return the last feature map of the network's encoder, ``(n, c, h', w')``.

    The encoder is a method ``encode``, as of :class:`alkit.UNet`, or a submodule ``encoder``, as in
    segmentation-models-pytorch. It returns a list of maps, the deepest last, and gets what the network gives it:
    :func:`alkit.networks.encoder_maps.encoder_output`.

    Raises
    ------
    ConfigurationError
        The network has neither.
    """
    if encoder_name(network) is None:
        raise ConfigurationError(
            f"{type(network).__name__} has no encoder",
            expected="a method encode(images) or a submodule encoder that returns feature maps, the deepest last",
        )
    return cast(Tensor, encoder_output(network, images)[-1])


def warm_start(network: nn.Module, source: nn.Module) -> None:
    """Copy the weights of `source` into `network`, except those of the output layers of either.

    One of them may have heads of deep supervision that the other does not have.

    Raises
    ------
    ConfigurationError
        The networks differ in more than the output layers.

    Examples
    --------
    >>> from alkit.networks import UNet
    >>> source = UNet(in_channels=1, classes=1, widths=(2, 4, 8))
    >>> network = UNet(in_channels=1, classes=2, widths=(2, 4, 8), heads={2: 0.4})
    >>> warm_start(network, source)
    >>> network.down[0][0].weight.equal(source.down[0][0].weight)
    True
    """
    theirs, ours = _without_outputs(source), _without_outputs(network)
    differing = sorted(theirs.keys() ^ ours.keys()) or [n for n in ours if ours[n].shape != theirs[n].shape]
    if differing:
        raise ConfigurationError(
            "the networks of the pretext and of the learner may differ in their output layers only",
            got=f"different {', '.join(differing[:3])}{' ...' if len(differing) > 3 else ''}",
            hint="the same network factory for both",
        )
    network.load_state_dict(theirs, strict=False)


def _without_outputs(network: nn.Module) -> dict[str, Tensor]:
    """Return weights and buffers by name, without those of the output layers."""
    # A network that is a single layer has an empty name, and no dot in the names of its weights.
    below = tuple(f"{name}." if name else "" for name in output_layers(network))
    return {name: value for name, value in network.state_dict().items() if not name.startswith(below)}
