"""The classic U-Net.

Learners and the pretext take a *factory* of networks, which they call with ``in_channels=`` and ``classes=``, because
each member of an ensemble and each initialisation needs a new network. :class:`UNet` is a factory, and so is
``functools.partial(segmentation_models_pytorch.Unet, "resnet34")``.

References
----------
Ronneberger, Fischer, Brox. "U-Net: Convolutional Networks for Biomedical Image Segmentation". MICCAI 2015.
Zhao, Zeng, Xu, Chen, Guan. "DSAL: Deeply Supervised Active Learning From Strong and Weak Labelers for Biomedical
Image Segmentation". IEEE Journal of Biomedical and Health Informatics, 2021 (the heads of deep supervision).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.networks.factory import dropout_layer
from alkit.networks.heads import MOST, Heads
from alkit.networks.sizes import fitting_size
from alkit.values.label_spec import size_text


@checked_except("widths", "heads")
class UNet(nn.Module):
    """U-Net with batch normalisation, transposed convolutions and dropout at the bottleneck.

    Parameters
    ----------
    in_channels, classes:
        Channels of the image and of the logits.
    widths:
        Channels of each level, the bottleneck last. Every level but the first halves the height and width. With the
        default, the deepest map of a 256 x 256 image is 512 x 16 x 16, as in the EMBC 2022 paper, section II.
    dropout:
        Dropout probability at the bottleneck, in [0, 1).
    heads:
        Loss weights of heads of deep supervision by resolution divisor, 2 to 2^(levels - 2). ``{2: 0.1, 4: 0.3}``
        makes heads on the decoder maps of half and quarter resolution, and the final output has the weight 0.6. The
        initial weights of the other layers do not depend on the heads.

    Raises
    ------
    ConfigurationError
        `widths` has less than two entries or one below 1, `dropout` is not in [0, 1), or `heads` are at other
        resolutions or have weights that are not positive or have a sum of 1 or more.

    Notes
    -----
    Deviations from Ronneberger et al., both usual today: convolutions are padded, so that the mask has the size of the
    image, and batch normalisation follows each convolution.

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
        check_integer("in_channels", in_channels, least=1, most=MOST)
        check_integer("classes", classes, least=1, most=MOST)
        if (
            isinstance(widths, str)
            or not isinstance(widths, Collection)
            or isinstance(widths, set | Mapping)
            or len(widths) < 2
        ):
            raise ConfigurationError(
                "widths must be two or more positive integers", got=repr(widths), hint="widths=(8, 16)"
            )
        widths = tuple(check_integer("each of widths", width, least=1, most=MOST) for width in widths)
        ins = (in_channels, *widths[:-1])
        self.down = nn.ModuleList(_double_convolution(i, o) for i, o in zip(ins, widths, strict=True))
        self.dropout = dropout_layer(dropout)
        pairs = list(pairwise(widths))[::-1]  # (shallow, deep), deepest first
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for shallow, deep in pairs)
        self.merge = nn.ModuleList(_double_convolution(2 * shallow, shallow) for shallow, _ in pairs)
        self.head = nn.Conv2d(widths[0], classes, 1)
        channels = {2**level: width for level, width in enumerate(widths[:-1]) if level}
        # Heads come last, so that the initial weights of the other layers do not depend on them.
        self.heads = Heads(heads, channels, classes, f"a U-Net of {len(widths)} levels")

    @checked
    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the feature map of each level, the deepest last.

        Raises
        ------
        ConfigurationError
            The height or width of the images is not divisible by 2^(levels - 1), or in training the batch has a single
            pixel at the bottleneck.
        """
        factor = 2 ** (len(self.down) - 1)
        if images.shape[-2] % factor or images.shape[-1] % factor:
            raise ConfigurationError(
                f"images for a U-Net of {len(self.down)} levels must have sides divisible by {factor}",
                got=size_text(tuple(images.shape[-2:])),
                hint=f"{fitting_size(images.shape[-2], images.shape[-1], factor)} for the pool, or fewer widths=",
            )
        if self.training and images.shape[0] * images.shape[2] * images.shape[3] == factor**2:
            raise ConfigurationError(
                "batch normalisation needs more than one pixel at the bottleneck",
                got=f"one image of {size_text((factor, factor))}",
                hint="more labels, a larger size= of the pool, or fewer widths=",
            )
        maps: list[Tensor] = []
        for level in self.down:
            maps.append(level(F.max_pool2d(maps[-1], 2) if maps else images))
        return maps

    @checked
    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the final logits from the feature maps of :meth:`encode`."""
        for decoded in self._decoder_maps(maps):
            finest = decoded
        return cast(Tensor, self.head(finest))

    @checked
    def decode_all(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the final logits and those of each head by ascending divisor, all ``(n, classes, h, w)``."""
        finest_first = list(self._decoder_maps(maps))[::-1]
        by_divisor = {2**level: decoded for level, decoded in enumerate(finest_first)}
        return cast("tuple[Tensor, ...]", self.heads(self.head(finest_first[0]), by_divisor))

    @property
    def head_weights(self) -> tuple[float, ...]:
        """Loss weights of the outputs of :meth:`decode_all`, in that order. Their sum is 1."""
        return self.heads.weights

    @property
    def output_layers(self) -> tuple[str, ...]:
        """Names of the layers that compute logits."""
        return ("head", *(f"heads.{divisor}" for divisor in self.heads))

    def _decoder_maps(self, maps: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the decoder map of each level, the deepest first."""
        x = self.dropout(maps[-1])
        for up, merge, skip in zip(self.up, self.merge, maps[-2::-1], strict=True):
            x = merge(torch.cat([up(x), skip], dim=1))
            yield x

    @checked
    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, classes, h, w)``, of images ``(n, in_channels, h, w)``."""
        return self.decode(self.encode(images))


def _double_convolution(ins: int, outs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (ins, outs):
        # No bias, because the batch normalisation after it would subtract it.
        layers += [
            nn.Conv2d(channels, outs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
