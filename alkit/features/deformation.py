"""Deformations of images that a pretext network learns to undo: flips, local shuffling, intensity curves, painting.

The probabilities and ranges are those of Models Genesis, reduced to two dimensions. Each deformation is a pure function
of a batch ``(n, c, h, w)`` and a random generator. It runs on the device of the images, decides independently for each
image, and returns a new tensor. Deformations that move pixels move all channels of a pixel together.
:class:`Deformation` applies all four.

References
----------
Z. Zhou et al., "Models Genesis: Generic Autodidactic Models for 3D Medical Image Analysis", MICCAI 2019
(arXiv 1908.06912), section 2, and its published code.
Z. Zhao et al., "Self-supervised Assisted Active Learning for Skin Lesion Segmentation", EMBC 2022
(arXiv 2205.07021), section II.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError, ImageError
from alkit.features.curves import bezier, interpolate
from alkit.features.windows import cells, draw_windows, overwrite, permute_within, uniform, union

MOST_FLIPS, MOST_WINDOWS = 1000, 10**6
"""Largest number of flips, and of windows that are shuffled, in an image: more would need hours."""

PAINTED_WINDOWS = 5
"""Largest number of windows in a painting."""

NEXT_WINDOW = 0.95
"""Probability that a painting has a further window."""


@checked_except("flip", "shuffle", "windows", "remap", "paint", "inward")
@dataclass(frozen=True, slots=True)
class Deformation:
    """Applies all four deformations in order: flips of input and target, shuffling, intensity curves, painting.

    Parameters
    ----------
    flip, shuffle, remap, paint:
        Probability of each deformation for an image, in [0, 1]. See :func:`flip`, :func:`shuffle_locally`,
        :func:`remap_intensity` and :func:`paint`.
    windows:
        Number of windows that are shuffled in an image, 0 to 10^6.
    inward:
        Probability that a painting covers windows, and not everything outside them, in [0, 1].

    Raises
    ------
    ConfigurationError
        A probability is not in [0, 1], or `windows` is not an integer in its range.

    Notes
    -----
    The probabilities are those of the code of Models Genesis. Deviation: that code shuffles 10,000 windows, because it
    deforms volumes.

    Examples
    --------
    >>> images = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> deformed, target = Deformation()(images, torch.Generator().manual_seed(1))
    >>> deformed.shape == target.shape == images.shape
    True
    """

    flip: float = 0.4
    shuffle: float = 0.5
    windows: int = 1000
    remap: float = 0.9
    paint: float = 0.9
    inward: float = 0.2

    def __post_init__(self) -> None:
        for name in ("flip", "shuffle", "remap", "paint", "inward"):
            check_number(name, getattr(self, name), 0, 1)
        check_integer("windows", self.windows, least=0, most=MOST_WINDOWS)

    @checked
    def __call__(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the input of a network and the target that it should restore, both of the shape of `images`.

        Parameters
        ----------
        images:
            ``(n, c, h, w)``, of a float type, in [0, 1].
        generator:
            Source of all random numbers, on the device of `images`.

        Raises
        ------
        ImageError
            `images` has another number of axes, is not of a float type, or has values outside [0, 1].
        ConfigurationError
            `generator` is on another device.
        """
        target = flip(images, generator, self.flip)
        deformed = shuffle_locally(target, generator, self.shuffle, self.windows)
        deformed = remap_intensity(deformed, generator, self.remap)
        return paint(deformed, generator, self.paint, self.inward), target


@checked_except("times")
def flip(images: Tensor, generator: torch.Generator, p: float = 0.4, times: int = 3) -> Tensor:
    """Reverse a random spatial axis of an image with probability `p`, and repeat this until a flip does not happen.

    Parameters
    ----------
    images:
        ``(n, c, h, w)``, of a float type, in [0, 1].
    generator:
        Source of all random numbers, on the device of `images`.
    p:
        Probability of the first flip, and of each further one after it, in [0, 1].
    times:
        Largest number of flips of an image, 0 to 1000. Two flips of the same axis cancel.

    Returns
    -------
    Tensor
        A new tensor of the shape of `images`. It is the target, and the input of the other deformations.

    Raises
    ------
    ConfigurationError, ImageError
        As in :class:`Deformation`.

    Examples
    --------
    >>> image = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])
    >>> flip(image, torch.Generator().manual_seed(0), p=1, times=1)
    tensor([[[[0.2000, 0.1000],
              [0.4000, 0.3000]]]])
    """
    _check(images, generator, p=p)
    check_integer("times", times, least=0, most=MOST_FLIPS)
    shape = (len(images), times)
    happens = (uniform(shape, generator) < p).cumprod(1)  # the first flip that does not happen ends the sequence
    is_row = uniform(shape, generator) < 0.5
    odd_rows, odd_columns = ((happens * axis).sum(1) % 2 == 1 for axis in (is_row, ~is_row))  # (n,) each
    flipped = torch.where(_per_sample(odd_rows), images.flip(2), images)
    return torch.where(_per_sample(odd_columns), flipped.flip(3), flipped)


@checked_except("windows")
def shuffle_locally(images: Tensor, generator: torch.Generator, p: float = 0.5, windows: int = 1000) -> Tensor:
    """Permute the pixels inside many small windows, which destroys the texture but not the shape of an object.

    The sides of a window are uniform from 1 to a tenth of the image's sides (at least 1), its place in the image is
    uniform, and all permutations of its pixels are equally likely. Windows are read from the original and written to a
    copy, so a later window overwrites an earlier one.

    Parameters
    ----------
    images:
        ``(n, c, h, w)``, of a float type, in [0, 1].
    generator:
        Source of all random numbers, on the device of `images`.
    p:
        Probability that an image is shuffled, in [0, 1].
    windows:
        Number of windows in an image, 0 to 10^6.

    Returns
    -------
    Tensor
        A new tensor of the shape of `images`.

    Raises
    ------
    ConfigurationError, ImageError
        As in :class:`Deformation`.

    Notes
    -----
    The implementation is exact but has no loop over windows. All windows are read from the original, so only the last
    window that covers a pixel matters. The cells of all windows are listed in order, one sort draws all permutations,
    and each pixel takes the value of its last cell.

    With 1000 windows, 7 % of the pixels of a 64 x 64 image and 11 % of a 256 x 256 image are in no window. An image
    with both sides below 20 does not change, because its windows are single pixels.

    Examples
    --------
    >>> image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> shuffled = shuffle_locally(image, torch.Generator().manual_seed(1), p=1)
    >>> bool(torch.isin(shuffled, image).all()), bool((shuffled == image).all())
    (True, False)
    """
    _check(images, generator, p=p)
    check_integer("windows", windows, least=0, most=MOST_WINDOWS)
    chosen = (uniform((len(images),), generator) < p).nonzero().squeeze(1)  # (m,)
    size = _size(images)
    corners, sides = draw_windows(
        (len(chosen), windows), torch.ones_like(size), (size // 10).clamp(min=1), size, generator
    )
    pixel, window = cells(corners, sides, size)
    shuffled = images.clone()
    shuffled[chosen] = overwrite(images[chosen], pixel, pixel[permute_within(window, generator)])
    return shuffled


@checked
def remap_intensity(images: Tensor, generator: torch.Generator, p: float = 0.9) -> Tensor:
    """Map the intensities of an image by a smooth random curve, which falls with probability 1/2.

    A rising curve is a cubic Bezier curve from (0, 0) to (1, 1) whose two control points are uniform in the unit
    square, so both coordinates rise along it. A falling curve has the y coordinates in reverse order, so it leads from
    (0, 1) to (1, 0) and inverts the image. All channels of an image have the same curve.

    Parameters
    ----------
    images:
        ``(n, c, h, w)``, of a float type, in [0, 1].
    generator:
        Source of all random numbers, on the device of `images`.
    p:
        Probability that the intensities of an image are mapped, in [0, 1].

    Returns
    -------
    Tensor
        A new tensor of the shape of `images`.

    Raises
    ------
    ConfigurationError, ImageError
        As in :class:`Deformation`.

    Notes
    -----
    Deviation: the curve is computed at 1000 points and linear between them, while the published code has 100,000
    points. At the 256 levels of 8-bit images the difference from the exact curve is below 1e-5.

    Examples
    --------
    >>> ends = torch.tensor([[[[0.0, 1.0]]]])
    >>> remap_intensity(ends, torch.Generator().manual_seed(3), p=1)
    tensor([[[[1., 0.]]]])
    """
    _check(images, generator, p=p)
    chosen = (uniform((len(images),), generator) < p).nonzero().squeeze(1)  # (m,)
    exact = torch.promote_types(images.dtype, torch.float32)  # half precision has no room for the points
    x, y = bezier(uniform((2, len(chosen), 2), generator).to(exact))  # (m, KNOTS) each
    falls = uniform((len(chosen), 1), generator) < 0.5
    remapped = images.clone()
    curved = interpolate(images[chosen].to(exact), x, torch.where(falls, y.flip(1), y))
    remapped[chosen] = curved.to(images.dtype)
    return remapped


@checked
def paint(images: Tensor, generator: torch.Generator, p: float = 0.9, inward: float = 0.2) -> Tensor:
    """Replace some windows of an image by uniform noise (inward), or everything outside them (outward).

    Inward painting covers zero to five windows with sides from a sixth to a third of the image's. Outward painting
    keeps one to five windows with sides from 3/7 to 4/7 of the image's. The sides and places of the windows are
    uniform. Each further window has the probability 0.95; so has the first window of an inward painting. Each channel
    has its own noise.

    Parameters
    ----------
    images:
        ``(n, c, h, w)``, of a float type, in [0, 1].
    generator:
        Source of all random numbers, on the device of `images`.
    p:
        Probability that an image is painted, in [0, 1].
    inward:
        Probability that a painted image is painted inward, in [0, 1].

    Returns
    -------
    Tensor
        A new tensor of the shape of `images`.

    Raises
    ------
    ConfigurationError, ImageError
        As in :class:`Deformation`.

    Notes
    -----
    For images of height h, painted windows are h // 6 to h // 3 pixels high, but at least 1, and windows that are kept
    are h - 4h // 7 to h - 3h // 7 pixels high. Widths likewise.

    Deviation: in the published code, all windows are at least 3 pixels away from the border, which is impossible in
    small images.

    Examples
    --------
    >>> image = torch.full((1, 1, 60, 60), 2 / 3)
    >>> painted = paint(image, torch.Generator().manual_seed(0), p=1, inward=0)
    >>> int((painted == image).sum()) >= 26 * 26
    True
    """
    _check(images, generator, p=p, inward=inward)
    n, _, height, width = images.shape
    is_painted, is_inward = uniform((n,), generator) < p, uniform((n,), generator) < inward
    size = _size(images)
    least = torch.where(is_inward[:, None, None], (size // 6).clamp(min=1), size - 4 * size // 7)  # (n, 1, 2)
    most = torch.where(is_inward[:, None, None], (size // 3).clamp(min=1), size - 3 * size // 7)
    corners, sides = draw_windows((n, PAINTED_WINDOWS), least, most, size, generator)
    happens = uniform((n, PAINTED_WINDOWS), generator) < NEXT_WINDOW
    happens[:, 0] |= ~is_inward
    inside = union(corners, sides * happens.cumprod(1)[..., None], height, width)  # (n, h, w)
    covered = (inside == is_inward[:, None, None]) & is_painted[:, None, None]
    noise = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    return torch.where(covered[:, None], noise, images)


def _size(images: Tensor) -> Tensor:
    """Return height and width, ``(2,)``, on the device of the images."""
    return torch.tensor(images.shape[2:], device=images.device)


def _per_sample(decisions: Tensor) -> Tensor:
    """Reshape decisions ``(n,)`` to ``(n, 1, 1, 1)``, to broadcast with images."""
    return decisions[:, None, None, None]


def _check(images: Tensor, generator: torch.Generator, **probabilities: float) -> None:
    """Check a batch of images, the device of the generator, and probabilities."""
    if images.ndim != 4 or 0 in images.shape[1:] or not images.is_floating_point():
        raise ImageError(
            "images must be a tensor (n, c, h, w) of a float type, with c, h and w at least 1",
            got=f"shape {tuple(images.shape)} of {images.dtype}",
        )
    if generator.device.type != images.device.type:
        raise ConfigurationError(
            "generator must be on the device of the images", got=generator.device, expected=images.device
        )
    if images.numel() and not ((ends := images.aminmax()).min >= 0 and ends.max <= 1):
        raise ImageError(
            "images must have values in [0, 1]",
            got=f"{ends.min.item()} to {ends.max.item()}",
            hint="images scaled by their own minimum and maximum",
        )
    for name, probability in probabilities.items():
        check_number(name, probability, 0, 1)
