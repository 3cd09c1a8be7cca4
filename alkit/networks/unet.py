"""The classic U-Net, and the few questions alkit asks of any network.

A network is given as a *factory*, called with ``in_channels=`` and ``classes=``, so that ensembles, seeded
initialisation and the pretext each get a fresh one. :class:`UNet` is such a factory, and so is
``functools.partial(segmentation_models_pytorch.Unet, "resnet34")``.

References
----------
Ronneberger, Fischer, Brox. "U-Net: Convolutional Networks for Biomedical Image Segmentation". MICCAI 2015.
Zhao, Zeng, Xu, Chen, Guan. "DSAL: Deeply Supervised Active Learning From Strong and Weak Labelers for Biomedical
Image Segmentation". IEEE Journal of Biomedical and Health Informatics, 2021 (the heads of deep supervision).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alkit.errors import ConfigurationError
from alkit.networks.factory import dropout_layer
from alkit.networks.heads import Heads


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
    heads:
        Loss weights of heads of deep supervision by resolution divisor, 2 to 2^(levels - 2): ``{2: 0.1, 4: 0.3}``
        are heads on the decoder maps of half and quarter resolution, and the final output weighs 0.6. Initial weights
        of all other layers are the same with and without heads.

    Raises
    ------
    ConfigurationError
        Widths, dropout or heads that cannot be.

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
    >>> deep = UNet(in_channels=1, classes=2, widths=(4, 8, 16), heads={2: 0.4})
    >>> [tuple(logits.shape) for logits in deep.decode_all(deep.encode(torch.zeros(1, 1, 32, 32)))]
    [(1, 2, 32, 32), (1, 2, 32, 32)]
    >>> deep.head_weights
    (0.6, 0.4)
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        dropout: float = 0.5,
        heads: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ConfigurationError(
                "these widths make no U-Net", got=tuple(widths), expected="two or more, each positive"
            )
        ins = (in_channels, *widths[:-1])
        self.down = nn.ModuleList(_double_convolution(i, o) for i, o in zip(ins, widths, strict=True))
        self.dropout = dropout_layer(dropout)
        pairs = list(pairwise(widths))[::-1]  # (shallow, deep), the deepest first
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for shallow, deep in pairs)
        self.merge = nn.ModuleList(_double_convolution(2 * shallow, shallow) for shallow, _ in pairs)
        self.head = nn.Conv2d(widths[0], classes, 1)
        channels = {2**level: width for level, width in enumerate(widths[:-1]) if level}
        # Last, so that the layers above draw the same initial weights with and without them.
        self.heads = Heads(heads, channels, classes, f"a U-Net of {len(widths)} levels")

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
        """Return the final logits from the feature maps of :meth:`encode`."""
        for decoded in self._decoded(maps):
            finest = decoded
        return cast(Tensor, self.head(finest))

    def decode_all(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the final logits and those of each head, by rising divisor, all ``(n, classes, h, w)``."""
        finest_first = list(self._decoded(maps))[::-1]
        by_divisor = {2**level: decoded for level, decoded in enumerate(finest_first)}
        return cast("tuple[Tensor, ...]", self.heads(self.head(finest_first[0]), by_divisor))

    @property
    def head_weights(self) -> tuple[float, ...]:
        """Shares in the loss of what :meth:`decode_all` returns, in that order; they add up to 1."""
        return self.heads.weights

    @property
    def output_layers(self) -> tuple[str, ...]:
        """Names of the layers that make logits."""
        return ("head", *(f"heads.{divisor}" for divisor in self.heads))

    def _decoded(self, maps: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the decoder's map of each level, the deepest first."""
        x = self.dropout(maps[-1])
        for up, merge, skip in zip(self.up, self.merge, maps[-2::-1], strict=True):
            x = merge(torch.cat([up(x), skip], dim=1))
            yield x

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
