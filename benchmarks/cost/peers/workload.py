"""The work for every library: a pool of images and a network with dropout. Needs only torch.

Both sides of a comparison import it, each in its own environment.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Lesions:
    """Colour images with one elliptic lesion each, drawn when they are read, so that the pool needs no memory.

    Parameters
    ----------
    n:
        Number of images.
    size:
        Height and width, in pixels.
    seed:
        Seed of the pool. An image depends only on the seed and its position.

    Examples
    --------
    >>> image, mask = Lesions(3, size=32)[2]
    >>> tuple(image.shape), tuple(mask.shape)
    ((3, 32, 32), (32, 32))
    """

    def __init__(self, n: int, size: int = 96, seed: int = 0) -> None:
        self.n, self.size, self.seed = n, size, seed

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return an image, ``(3, size, size)`` in [0, 1], and its mask, ``(size, size)`` of 0 and 1."""
        if not 0 <= index < self.n:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(100_000 * self.seed + index)
        uniform = torch.rand(5, generator=generator)
        centre, radii = 0.3 + 0.4 * uniform[:2], 0.08 + 0.22 * uniform[2:4]
        at = (torch.arange(self.size) + 0.5) / self.size
        down, across = (at - centre[0]) / radii[0], (at - centre[1]) / radii[1]
        mask = (down[:, None] ** 2 + across[None, :] ** 2 < 1).long()
        skin = torch.tensor([0.85, 0.65, 0.55])[:, None, None]
        contrast = 0.1 + 0.4 * uniform[4]  # some lesions are clear and some faint, so that scores differ
        noise = 0.08 * torch.randn(3, self.size, self.size, generator=generator)
        return (skin * (1 - contrast * mask) + noise).clamp(0, 1), mask


class Network(nn.Module):
    """A U-Net of three levels, 16, 32 and 64 channels, that drops channels at the bottleneck and in the decoder.

    It is an ordinary network, without the methods that tell alkit where the encoder ends.

    Parameters
    ----------
    in_channels, classes:
        Channels of the images and of the logits.

    Examples
    --------
    >>> Network(in_channels=3, classes=2)(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 2, 32, 32])
    """

    def __init__(self, in_channels: int = 3, classes: int = 2) -> None:
        super().__init__()
        self.high, self.middle, self.low = _block(in_channels, 16), _block(16, 32), _block(32, 64)
        self.halve = nn.MaxPool2d(2)
        self.drop_low, self.drop_middle = nn.Dropout2d(0.5), nn.Dropout2d(0.5)
        self.to_middle, self.merge_middle = nn.ConvTranspose2d(64, 32, 2, stride=2), _block(64, 32)
        self.to_high, self.merge_high = nn.ConvTranspose2d(32, 16, 2, stride=2), _block(32, 16)
        self.logits = nn.Conv2d(16, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(n, classes, h, w)``, of images ``(n, in_channels, h, w)`` with sides divisible by 4."""
        high = self.high(images)
        middle = self.middle(self.halve(high))
        low = self.drop_low(self.low(self.halve(middle)))
        middle = self.drop_middle(self.merge_middle(torch.cat([self.to_middle(low), middle], dim=1)))
        return self.logits(self.merge_high(torch.cat([self.to_high(middle), high], dim=1)))


def _block(ins: int, outs: int) -> nn.Sequential:
    def layers(ins: int) -> list[nn.Module]:
        return [nn.Conv2d(ins, outs, 3, padding=1), nn.BatchNorm2d(outs), nn.ReLU()]

    return nn.Sequential(*layers(ins), *layers(outs))
