"""Random changes of training images, batch by batch: flips, turns, deformations and changes of brightness."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from alkit.arguments.checked import checked
from alkit.checks import check_number
from alkit.errors import ConfigurationError

Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""From images, targets and a generator on the CPU to changed images and targets of the same shapes."""

KNOTS = 4
"""Random displacements along each side of an image; those between them are interpolated."""


@checked
@dataclass(frozen=True)
class Augment:
    """Changes each image of a batch at random, and its mask in the same way.

    Parameters
    ----------
    flips:
        Whether an image is mirrored, left to right and top to bottom, each in half of the cases.
    quarter_turns:
        Whether an image is turned by a random number of quarter turns. Images that are not square are turned by half a
        turn or not at all.
    affine:
        Strength of rotation, scaling and shift, in [0, 0.5]: an image is turned by at most this share of half a turn,
        scaled by at most this share, and shifted by at most this share of its side. 0 for none.
    elastic:
        Largest displacement of a smooth random deformation, as a share of the side, in [0, 0.5]. 0 for none.
    intensity:
        Largest change of brightness, and largest relative change of contrast, in [0, 1). 0 for none.

    Raises
    ------
    ConfigurationError
        `affine`, `elastic` or `intensity` is out of range.

    Notes
    -----
    Pixels that come from outside the image are its mirror image at the border, in images and masks alike. Masks take
    the nearest pixel, so no new class values arise. All random numbers are drawn on the CPU, so a seed means the same
    changes on every device.

    Leave a change out if it turns a right label into a wrong one: a mirrored or turned digit may be another digit.

    Examples
    --------
    >>> images, masks = torch.rand(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.long)
    >>> changed, same = Augment(affine=0.1)(images, masks, torch.Generator().manual_seed(0))
    >>> changed.shape, same.dtype
    (torch.Size([2, 1, 8, 8]), torch.int64)
    """

    flips: bool = True
    quarter_turns: bool = True
    affine: float = 0.0
    elastic: float = 0.0
    intensity: float = 0.0

    def __post_init__(self) -> None:
        check_number("affine", self.affine, 0, 0.5)
        check_number("elastic", self.elastic, 0, 0.5)
        check_number("intensity", self.intensity, 0, 1, open_ends=")")

    @checked
    def __call__(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return changed images and targets.

        Parameters
        ----------
        images:
            ``(n, c, h, w)``, on any device.
        targets:
            Masks ``(n, h, w)``; or classes, ``(n,)`` or ``(n, classes)``, which stay as they are.
        generator:
            Source of all random numbers, on the CPU.

        Raises
        ------
        ConfigurationError
            `images` or `targets` have another shape or kind of number.
        """
        _check(images, targets)
        masks = targets if targets.ndim == 3 else None
        images, masks = self._mirrored(images, masks, generator)
        if self.affine or self.elastic:
            images, masks = self._moved(images, masks, generator)
        if self.intensity:
            images = self._brightened(images, generator)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, targets if masks is None else masks

    def _mirrored(
        self, images: Tensor, masks: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Mirror at the axes and at the diagonal: together these are all flips and quarter turns."""
        n, _, height, width = images.shape
        tosses = torch.randint(0, 2, (5, n), generator=generator).bool()
        none = torch.zeros(n, dtype=torch.bool)
        across, down = (tosses[0], tosses[1]) if self.flips else (none, none)
        diagonal = none
        if self.quarter_turns:  # a quarter turn mirrors at the diagonal, then at one axis; half a turn at both axes
            half = tosses[2]
            diagonal = tosses[3] if height == width else none
            across, down = across ^ half ^ diagonal, down ^ half
        mirrors: list[tuple[Tensor, Callable[[Tensor], Tensor]]] = [
            (diagonal, lambda batch: batch.transpose(-1, -2)),
            (across, lambda batch: batch.flip(-1)),
            (down, lambda batch: batch.flip(-2)),
        ]
        for toss, mirror in mirrors:
            if toss.any():
                where = toss.to(images.device)
                images = torch.where(where[:, None, None, None], mirror(images), images)
                masks = masks if masks is None else torch.where(where[:, None, None], mirror(masks), masks)
        return images, masks

    def _moved(self, images: Tensor, masks: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Move pixels by a random affine map and a random deformation."""
        n, _, height, width = images.shape
        angle, scale, right, down = self.affine * (2 * torch.rand(4, n, generator=generator) - 1)
        angle, scale = math.pi * angle, 1 + scale
        cos, sin = scale * angle.cos(), scale * angle.sin()
        # The coordinates of grid_sample are -1 and 1 at the borders, so a rotation needs the ratio of the sides.
        rows = [cos, -sin * height / width, 2 * right, sin * width / height, cos, 2 * down]
        grid = F.affine_grid(torch.stack(rows, dim=1).reshape(n, 2, 3), [n, 1, height, width], align_corners=False)
        if self.elastic:
            knots = 2 * self.elastic * (2 * torch.rand(n, 2, KNOTS, KNOTS, generator=generator) - 1)
            smooth = F.interpolate(knots, size=(height, width), mode="bicubic", align_corners=True)
            grid = grid + smooth.permute(0, 2, 3, 1)
        grid = grid.to(images.device)
        moved = F.grid_sample(images, grid.to(images.dtype), "bilinear", "reflection", align_corners=False)
        if masks is None:
            return moved, None
        layers = F.grid_sample(masks[:, None].float(), grid, "nearest", "reflection", align_corners=False)
        return moved, layers[:, 0].to(masks.dtype)

    def _brightened(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change brightness and contrast of each image."""
        n = len(images)
        brightness, contrast = self.intensity * (2 * torch.rand(2, n, 1, 1, 1, generator=generator) - 1)
        brightness, contrast = brightness.to(images.device), 1 + contrast.to(images.device)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        changed: Tensor = (images - mean) * contrast + mean + brightness
        return changed


def _check(images: Tensor, targets: Tensor) -> None:
    """Check that these are images with their masks or classes."""
    if images.ndim != 4 or not images.numel() or not images.is_floating_point():
        raise ConfigurationError(
            "images must be numbers (n, c, h, w) with a fraction, and at least one pixel", got=_shown(images)
        )
    n, _, height, width = images.shape
    several = targets.ndim == 2 and len(targets) == n
    if not (several or targets.shape in ((n,), (n, height, width))) or targets.is_complex():
        raise ConfigurationError(
            "targets must be masks (n, h, w) or classes (n,) or (n, classes) of the images",
            got=_shown(targets),
            expected=f"the shape {(n, height, width)}, {(n,)} or ({n}, classes)",
        )


def _shown(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of the shape {tuple(tensor.shape)}"
