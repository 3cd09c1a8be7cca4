"""Deep supervision: output heads at coarser resolutions.

References
----------
Zhao, Zeng, Xu, Chen, Guan. "DSAL: Deeply Supervised Active Learning From Strong and Weak Labelers for Biomedical Image
Segmentation". IEEE Journal of Biomedical and Health Informatics, 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alkit.arguments.checked import check_argument, checked, checked_except
from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.networks.trial import without_gradients
from alkit.rng import keep_torch

MOST = 2**16
"""Greatest number of channels and classes."""

DEEP_SUPERVISION = {2: 0.1, 4: 0.3}
"""Loss weights of the heads of DSAL by resolution divisor; the final output has 0.6 (Zhao et al., JBHI 2021)."""


@checked_except("weights")
class Heads(nn.ModuleDict):
    """Heads of deep supervision: 1 x 1 convolutions on decoder maps, with their output resized to that of the network.

    Parameters
    ----------
    weights:
        Weight of each head in the loss, by resolution divisor. ``{2: 0.1, 4: 0.3}`` makes heads at half and quarter
        resolution, and the final output has the remaining weight 0.6. None or an empty mapping makes no heads.
    channels:
        Channels of each decoder map, by resolution divisor.
    classes:
        Channels of the logits.
    owner:
        Name of the network, for messages.

    Attributes
    ----------
    weights: tuple of float
        Weights in the loss of the final output and then of each head, by ascending divisor. Their sum is 1.

    Raises
    ------
    ConfigurationError
        The decoder has no map for a divisor, a weight is not positive, or the sum of the weights is not below 1.

    Examples
    --------
    >>> import torch
    >>> heads = Heads({4: 0.3, 2: 0.1}, channels={2: 16, 4: 32}, classes=2, owner="U-Net")
    >>> heads.weights
    (0.6, 0.1, 0.3)
    >>> maps = {2: torch.zeros(1, 16, 4, 4), 4: torch.zeros(1, 32, 2, 2)}
    >>> [tuple(logits.shape) for logits in heads(torch.zeros(1, 2, 8, 8), maps)]
    [(1, 2, 8, 8), (1, 2, 8, 8), (1, 2, 8, 8)]
    """

    def __init__(
        self, weights: Mapping[int, float] | None, channels: Mapping[int, int], classes: int, owner: str
    ) -> None:
        super().__init__()
        check_argument("heads", weights, Mapping | None)
        wanted, classes = dict(weights or {}), check_integer("classes", classes, least=1, most=MOST)
        # The type matters: 2.0 would find the map of 2, but have another name in the state dict.
        if unknown := [divisor for divisor in wanted if divisor not in channels or not isinstance(divisor, int)]:
            raise ConfigurationError(
                f"heads must be at the resolutions of the decoder's maps in {owner}",
                got=f"1/{unknown[0]}",
                expected=", ".join(f"1/{divisor}" for divisor in sorted(channels)) or "no heads",
                hint=None if channels else "a network of more levels, with more widths=",
            )
        for divisor, weight in wanted.items():
            check_argument(f"heads[{divisor}]", weight, float)
        final = 1.0 - sum(wanted[divisor] for divisor in sorted(wanted))
        if not all(weight > 0 for weight in wanted.values()) or not final > 0:
            raise ConfigurationError(
                "heads must have positive loss weights with a sum below 1, because the final output gets the rest",
                got=wanted,
            )
        self.weights = (final, *(float(wanted[divisor]) for divisor in sorted(wanted)))
        for divisor in sorted(wanted):
            width = check_integer(f"channels[{divisor}]", channels[divisor], least=1, most=MOST)
            self[str(divisor)] = nn.Conv2d(width, classes, 1)

    @checked
    def forward(self, final: Tensor, maps: Mapping[int, Tensor]) -> tuple[Tensor, ...]:
        """Return the final logits and those of each head by ascending divisor, all ``(n, classes, h, w)``.

        Parameters
        ----------
        final:
            The final logits.
        maps:
            Decoder maps by resolution divisor, at least one for each head.
        """
        size = final.shape[-2:]
        logits = [
            F.interpolate(head(maps[int(divisor)]), size=size, mode="bilinear", align_corners=False)
            for divisor, head in self.items()
        ]
        return (final, *logits)


def check_heads(network: nn.Module, image: Tensor) -> None:
    """Check that the outputs by which a network with heads is trained are those that it predicts by.

    Heads are trained by ``decode_all(encode(images))``. A forward that does something else, such as to normalise the
    images first, would predict by other images than those of the training.

    Parameters
    ----------
    network:
        Any network; one without heads is not looked at.
    image:
        ``(1, c, h, w)``, on the device of the network.

    Raises
    ------
    ConfigurationError
        The final output of ``decode_all(encode(image))`` is not that of the network.
    """
    if len(getattr(network, "head_weights", ())) < 2:
        return
    parts: Any = network
    # Not in inference mode: if a network stores tensors in its first pass, training could not use them.
    with without_gradients(network), keep_torch():
        whole, again = network(image.clone()), network(image.clone())
        final = parts.decode_all(parts.encode(image.clone()))[0]
    random = not torch.allclose(whole, again, 1e-3, 1e-4, equal_nan=True)
    if not random and not (whole.shape == final.shape and torch.allclose(whole, final, 1e-3, 1e-4, equal_nan=True)):
        raise ConfigurationError(
            f"forward of {type(network).__name__} must return decode_all(encode(images))[0], because a network with "
            "heads is trained by them",
            got="other logits",
            hint="what forward does with the images in encode, such as their normalisation; or heads=None",
        )


def output_layers(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers that compute logits.

    The network's attribute ``output_layers`` lists them. Without it, the last module with parameters is the only one.

    Raises
    ------
    ConfigurationError
        The attribute is not a tuple of names of modules.

    Examples
    --------
    >>> from alkit.networks import UNet
    >>> output_layers(UNet(in_channels=1, classes=2, widths=(4, 8, 16), heads={2: 0.4}))
    ('head', 'heads.2')
    >>> output_layers(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Upsample(scale_factor=2)))
    ('2',)
    """
    modules = dict(network.named_modules())
    names = getattr(network, "output_layers", None)
    if names is None:
        return tuple([name for name, module in modules.items() if list(module.parameters(recurse=False))][-1:])
    if not isinstance(names, tuple) or not all(name in modules for name in names):
        raise ConfigurationError(
            f"output_layers of {type(network).__name__} must be a tuple of names of its modules",
            got=repr(names),
            hint="names from named_modules()",
        )
    return names
