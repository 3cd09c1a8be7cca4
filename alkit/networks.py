"""The classic U-Net, and the few questions alkit asks of any network.

A network is given as a *factory*, called with ``in_channels=`` and ``classes=``, so that ensembles, seeded
initialisation and the pretext each get a fresh one. :class:`UNet` is such a factory, and so is
``functools.partial(segmentation_models_pytorch.Unet, "resnet34")``.

References
----------
Ronneberger, Fischer, Brox. "U-Net: Convolutional Networks for Biomedical Image Segmentation". MICCAI 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alkit.errors import ConfigurationError
from alkit.rng import Stream, forked


class NetworkFactory(Protocol):
    """Makes a fresh network that maps images ``(n, in_channels, h, w)`` to logits ``(n, classes, h, w)``."""

    def __call__(self, *, in_channels: int, classes: int) -> nn.Module:
        """Make one."""


class UNet(nn.Module):
    """U-Net with batch normalisation, transposed convolutions and dropout at the bottleneck.

    Parameters
    ----------
    in_channels, classes:
        Channels of the image and of the logits.
    widths:
        Channels of each level, the bottleneck last; every level but the first halves the image. The default
        turns 256 x 256 into a last feature of 512 x 16 x 16, as in the paper (EMBC 2022, section II).
    dropout:
        Probability at the bottleneck, in [0, 1).

    Notes
    -----
    Two deviations from Ronneberger et al., both usual today: convolutions are padded, so that the mask has the size
    of the image, and each is followed by batch normalisation.

    Examples
    --------
    >>> network = UNet(in_channels=1, classes=2, widths=(4, 8, 16))
    >>> network(torch.zeros(1, 1, 32, 32)).shape
    torch.Size([1, 2, 32, 32])
    >>> network.encode(torch.zeros(1, 1, 32, 32))[-1].shape
    torch.Size([1, 16, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ConfigurationError(
                "these widths make no U-Net", got=tuple(widths), expected="two or more, each positive"
            )
        if not 0 <= dropout < 1:
            raise ConfigurationError("dropout is no probability", got=dropout, expected="0 <= dropout < 1")
        ins = (in_channels, *widths[:-1])
        self.down = nn.ModuleList(_double_convolution(i, o) for i, o in zip(ins, widths, strict=True))
        self.dropout = nn.Dropout(dropout)
        pairs = list(pairwise(widths))[::-1]  # (shallow, deep), the deepest first
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for shallow, deep in pairs)
        self.merge = nn.ModuleList(_double_convolution(2 * shallow, shallow) for shallow, _ in pairs)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the feature map of each level, the deepest last."""
        factor = 2 ** (len(self.down) - 1)
        if images.shape[-2] % factor or images.shape[-1] % factor:
            raise ConfigurationError(
                f"a U-Net of {len(self.down)} levels halves its images {len(self.down) - 1} times",
                got=f"images of {images.shape[-2]} x {images.shape[-1]}",
                expected=f"sides divisible by {factor}",
                hint="choose another size= for the pool, or fewer widths",
            )
        if self.training and images.shape[0] * images.shape[2] * images.shape[3] == factor**2:
            raise ConfigurationError(
                "batch normalisation needs more than one number of a kind",
                got=f"one image of {factor} x {factor}, a single pixel at the bottleneck",
                hint="more labels, a larger size, or fewer widths",
            )
        maps: list[Tensor] = []
        for level in self.down:
            maps.append(level(F.max_pool2d(maps[-1], 2) if maps else images))
        return maps

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits from the feature maps of :meth:`encode`."""
        x = self.dropout(maps[-1])
        for up, merge, skip in zip(self.up, self.merge, maps[-2::-1], strict=True):
            x = merge(torch.cat([up(x), skip], dim=1))
        return cast(Tensor, self.head(x))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, classes, h, w)``, of images ``(n, in_channels, h, w)``."""
        return self.decode(self.encode(images))


def _double_convolution(ins: int, outs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (ins, outs):
        # No bias: the batch normalisation that follows would take it away again.
        layers += [
            nn.Conv2d(channels, outs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def fresh(factory: NetworkFactory, *, in_channels: int, classes: int, stream: Stream) -> nn.Module:
    """Make a network whose initial weights depend on `stream` alone."""
    with forked(stream):
        network = factory(in_channels=in_channels, classes=classes)
    if not isinstance(network, nn.Module):
        raise ConfigurationError(
            "the network factory did not make a torch module",
            got=type(network).__name__,
            expected="torch.nn.Module",
        )
    return network


def deepest(network: nn.Module, images: Tensor) -> Tensor:
    """Return the last feature map of the network's encoder, ``(n, c, h', w')``.

    Asks a method ``encode`` that returns the maps, the deepest last (:class:`UNet`), or else a submodule ``encoder``
    that does (segmentation-models-pytorch).
    """
    encode = getattr(network, "encode", None) or getattr(network, "encoder", None)
    if encode is None:
        raise ConfigurationError(
            f"{type(network).__name__} has no encoder to take features from",
            expected="a method encode(images) or a submodule encoder, returning feature maps with the deepest last",
        )
    return cast(Tensor, encode(images)[-1])


def output_layer(network: nn.Module) -> str:
    """Name the last module that holds parameters of its own: the layer that makes the logits.

    >>> output_layer(UNet(in_channels=1, classes=2, widths=(4, 8)))
    'head'
    """
    names = [name for name, module in network.named_modules() if list(module.parameters(recurse=False))]
    return str(names[-1])


def warm_start(network: nn.Module, source: nn.Module) -> None:
    """Copy the weights of `source` into `network`, all but those of the output layer.

    Raises
    ------
    ConfigurationError
        The two differ in more than the output layer.
    """
    kept = output_layer(network) + "."
    theirs = {name: value for name, value in source.state_dict().items() if not name.startswith(kept)}
    ours = {name: value for name, value in network.state_dict().items() if not name.startswith(kept)}
    differing = sorted(theirs.keys() ^ ours.keys()) or [n for n in ours if ours[n].shape != theirs[n].shape]
    if differing:
        raise ConfigurationError(
            "the pretext's network and the learner's differ in more than the output layer",
            got=f"different {', '.join(differing[:3])}{' ...' if len(differing) > 3 else ''}",
            hint="give both the same network factory",
        )
    network.load_state_dict(theirs, strict=False)
