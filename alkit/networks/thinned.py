"""Layers around dropout of whole channels, which compute no channel that a draw drops.

All images of a draw have the same masks (:mod:`alkit.networks.dropout`), so the channels that a draw drops are known
before the layers run: half of them for p = 0.5.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Thinned(nn.Module):
    """A transposed convolution after dropout of whole channels, and what comes before the dropout.

    Parameters
    ----------
    before:
        The convolution before the dropout; None if there is another layer.
    relu:
        Whether there is a ReLU between this convolution and the dropout.
    dropout:
        The dropout layer.
    after:
        The transposed convolution.
    """

    def __init__(self, before: nn.Conv2d | None, relu: bool, dropout: nn.Dropout2d, after: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.before, self.relu, self.dropout, self.after = before, relu, dropout, after

    def forward(self, images: Tensor) -> Tensor:
        """Return the output of the last layer."""
        # Masks of whole channels depend on the number of channels only, so a map of one pixel gets the same.
        factors = self.dropout(images.new_ones(len(images), self.after.in_channels, 1, 1))
        kept = factors[0, :, 0, 0].nonzero()[:, 0]
        one_draw = bool((factors == factors[:1]).all())
        if not one_draw or not len(kept):
            return self._after(self._maps(images, None) * factors, self.after.weight)
        weight = self.after.weight[kept] * factors[0, kept][:, None]
        return self._after(self._maps(images, kept), weight)

    def _maps(self, images: Tensor, kept: Tensor | None) -> Tensor:
        """Return the input of the dropout layer, some channels of it or all."""
        if self.before is None:
            return images if kept is None else images[:, kept]
        weight, bias = self.before.weight, self.before.bias
        if kept is not None:
            weight, bias = weight[kept], None if bias is None else bias[kept]
        maps = self.before._conv_forward(images, weight, bias)
        return torch.relu_(maps) if self.relu else maps

    def _after(self, maps: Tensor, weight: Tensor) -> Tensor:
        layer: Any = self.after
        return F.conv_transpose2d(
            maps, weight, layer.bias, layer.stride, layer.padding, layer.output_padding, 1, layer.dilation
        )


class Added(nn.Module):
    """Add the convolution of a constant map, which is the part of a bias, to maps.

    Parameters
    ----------
    layer:
        The convolution. Its bias counts, too.
    bias:
        The channels of the constant map.
    """

    def __init__(self, layer: nn.Conv2d, bias: Tensor) -> None:
        super().__init__()
        self.layer, self.bias = layer, bias

    def forward(self, maps: Tensor) -> Tensor:
        """Return the sum."""
        constant = self.bias[None, :, None, None].expand(1, -1, *maps.shape[2:])
        return cast(Tensor, maps + self.layer(constant))


def saves(first: nn.ConvTranspose2d, second: nn.Conv2d, kept: float) -> bool:
    """Return whether :func:`composed` takes clearly less arithmetic than both layers, for a share of kept channels."""
    if not _can_be_composed(first, second):
        return False
    inputs, middle, outputs = first.in_channels * kept, first.out_channels, second.out_channels
    taps = [-(-(s + k - 1) // s) for s, k in zip(first.stride, second.kernel_size, strict=True)]
    together = inputs * outputs * taps[0] * taps[1]
    return together < MUCH * (inputs * middle + middle * outputs * second.kernel_size[0] * second.kernel_size[1])


MUCH = 0.6
"""Transposed convolutions are slower for the same arithmetic, so that a small saving is none."""


def _can_be_composed(first: nn.ConvTranspose2d, second: nn.Conv2d) -> bool:
    around = tuple((k - 1) // 2 for k in second.kernel_size)
    return (
        first.kernel_size == first.stride
        and first.padding == first.output_padding == (0, 0)
        and first.dilation == second.dilation == second.stride == (1, 1)
        and all(k % 2 for k in second.kernel_size)
        and second.padding == around
        and second.padding_mode == "zeros"
        and first.groups == second.groups == 1
    )


def composed(first: nn.ConvTranspose2d, second: nn.Conv2d) -> nn.ConvTranspose2d:
    """Return the transposed convolution that equals two layers without their biases.

    Examples
    --------
    >>> first, second = nn.ConvTranspose2d(3, 4, 2, stride=2, bias=False), nn.Conv2d(4, 5, 3, padding=1, bias=False)
    >>> images = torch.rand(2, 3, 6, 7)
    >>> torch.allclose(composed(first, second)(images), second(first(images)), atol=1e-6)
    True
    """
    with torch.no_grad():
        around = [k - 1 for k in second.kernel_size]
        weight = F.conv2d(first.weight.double(), second.weight.double(), padding=around)
        made = nn.ConvTranspose2d(first.in_channels, second.out_channels, 1, bias=False)
        made.kernel_size, made.stride, made.padding = tuple(weight.shape[2:]), first.stride, second.padding
        made.weight = nn.Parameter(weight.to(first.weight), requires_grad=False)
    return made
