"""Images in the form that a pre-trained network was trained on: its channels, size, mean and standard deviation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet, for models that state none."""

MODES = {"bicubic": "bicubic", "bilinear": "bilinear", "nearest": "nearest-exact"}
"""Interpolations by name, and as torch calls them."""


@dataclass(frozen=True)
class Inputs:
    """What a network expects.

    Parameters
    ----------
    size:
        None for images as they are; an int for the length of the shorter side; or height and width.
    interpolation:
        One of :data:`MODES`.
    mean, std:
        One number per channel of the network, for images in [0, 1].
    """

    size: int | tuple[int, int] | None
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def images_of(self, channels: int) -> int:
        """Return the number of images that the network sees of one image with these channels."""
        return 1 if channels in (1, len(self.mean)) else channels

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width to which an image is resized.

        >>> Inputs(224, "bicubic", (0.5,) * 3, (0.5,) * 3).size_of(600, 800)
        (224, 299)
        """
        if self.size is None:
            return height, width
        if isinstance(self.size, tuple):
            return self.size
        factor = self.size / min(height, width)
        return max(self.size, round(height * factor)), max(self.size, round(width * factor))

    def prepare(self, images: Tensor) -> Tensor:
        """Return images ``(n, c, h, w)`` in [0, 1] as the network expects them.

        A single channel is repeated. If the channels are neither one nor those of the network, each channel is an image
        of its own, repeated: ``(n * c, ...)``, the channels of one image next to each other.
        """
        n, c, *space = images.shape
        wanted = len(self.mean)
        if self.images_of(c) > 1:
            images = images.reshape(n * c, 1, *space)
        size = self.size_of(*space)
        if list(size) != space:
            smooth = self.interpolation != "nearest"
            images = F.interpolate(
                images,
                size,
                mode=MODES[self.interpolation],
                antialias=smooth,
                **({"align_corners": False} if smooth else {}),
            ).clamp_(0, 1)  # bicubic interpolation overshoots at edges
        if images.shape[1] != wanted:
            images = images.expand(-1, wanted, -1, -1)
        shape = 1, wanted, 1, 1
        mean, std = (torch.tensor(values, device=images.device).reshape(shape) for values in (self.mean, self.std))
        return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
