"""Deep supervision: output heads at coarser resolutions."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from alkit.errors import ConfigurationError

DEEP_SUPERVISION = {2: 0.1, 4: 0.3}
"""Heads of DSAL: loss weights by resolution divisor; the final output has 0.6 (Zhao et al., JBHI 2021)."""


class Heads(nn.ModuleDict):
    """Heads of deep supervision: a 1 x 1 convolution on each of some decoder maps, brought to full size.

    Parameters
    ----------
    weights:
        Share of each head in the loss, by resolution divisor: ``{2: 0.1, 4: 0.3}`` are heads at half and quarter
        resolution, and the final output has the rest, 0.6. None or an empty mapping: no heads.
    channels:
        Channels of the decoder maps there are, by resolution divisor.
    classes:
        Channels of the logits.
    owner:
        Name of the network, for messages.

    Attributes
    ----------
    weights: tuple of float
        Share in the loss of the final output, then of each head by rising divisor; they add up to 1.

    Raises
    ------
    ConfigurationError
        There is no decoder map for a divisor; a weight is not positive; nothing is left for the final output.

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
        wanted = dict(weights or {})
        # By type too: 2.0 would find the map of 2, and then be another name in the state dict.
        if strange := [divisor for divisor in wanted if divisor not in channels or not isinstance(divisor, int)]:
            raise ConfigurationError(
                f"{owner} has no decoder map for a head there",
                got=f"a head at resolution 1/{strange[0]}",
                expected=", ".join(f"1/{divisor}" for divisor in sorted(channels)) or "no heads",
            )
        final = 1.0 - sum(wanted[divisor] for divisor in sorted(wanted))
        if not all(weight > 0 for weight in wanted.values()) or not final > 0:
            raise ConfigurationError(
                "these are no loss weights of heads",
                got=wanted,
                expected="each positive, and a sum below 1, the rest being the final output's",
            )
        self.weights = (final, *(float(wanted[divisor]) for divisor in sorted(wanted)))
        for divisor in sorted(wanted):
            self[str(divisor)] = nn.Conv2d(channels[divisor], classes, 1)

    def forward(self, final: Tensor, maps: Mapping[int, Tensor]) -> tuple[Tensor, ...]:
        """Return the final logits ``(n, classes, h, w)``, then those of each head by rising divisor, of the same size.

        `maps` are decoder maps by resolution divisor; there may be more than there are heads.
        """
        size = final.shape[-2:]
        logits = [
            F.interpolate(head(maps[int(divisor)]), size=size, mode="bilinear", align_corners=False)
            for divisor, head in self.items()
        ]
        return (final, *logits)


def output_layers(network: nn.Module) -> tuple[str, ...]:
    """Name the layers that make logits.

    They are what the network's attribute ``output_layers`` names, or else the last module that holds parameters of
    its own.

    Raises
    ------
    ConfigurationError
        The attribute is no tuple of names of modules.

    Examples
    --------
    >>> from alkit.networks import UNet
    >>> output_layers(UNet(in_channels=1, classes=2, widths=(4, 8, 16), heads={2: 0.4}))
    ('head', 'heads.2')
    >>> output_layers(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Upsample(scale_factor=2)))
    ('2',)
    """
    modules = dict(network.named_modules())
    said = getattr(network, "output_layers", None)
    if said is None:
        return tuple([name for name, module in modules.items() if list(module.parameters(recurse=False))][-1:])
    if not isinstance(said, tuple) or not all(name in modules for name in said):
        raise ConfigurationError(
            f"the output_layers of {type(network).__name__} are not layers of it",
            got=repr(said),
            expected="a tuple of names as in named_modules()",
        )
    return said
