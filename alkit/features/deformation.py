"""Spoil images in the ways a pretext network learns to undo: flip, local shuffling, intensity map, painting.

The rates and ranges are those of Models Genesis, reduced to two dimensions. Each deformation is a pure
function of a batch ``(n, c, h, w)`` and a generator: it runs on the images' device, decides for each sample
apart, and returns a new tensor. The channels of a pixel stay together. :class:`Deformation` runs all four.

References
----------
Z. Zhou et al., "Models Genesis: Generic Autodidactic Models for 3D Medical Image Analysis", MICCAI 2019
(arXiv 1908.06912), section 2, and its published code.
Z. Zhao et al., "Self-supervised Assisted Active Learning for Skin Lesion Segmentation", EMBC 2022
(arXiv 2205.07021), section II.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from alkit.errors import ConfigurationError, ImageError

KNOTS = 1000
"""Points computed on a Bezier curve; between them the intensity map is linear."""

MOST_PAINTED = 5
"""Windows painted in, or kept when painting out, at most."""

NEXT_PAINTED = 0.95
"""Probability that a painting goes on to its next window."""


@dataclass(frozen=True, slots=True)
class Deformation:
    """All four deformations, in order: flip of input and target, shuffling, intensity map, painting.

    Parameters
    ----------
    flip, shuffle, remap, paint:
        Probability of each for a sample, in [0, 1]; see :func:`flip`, :func:`shuffle_locally`,
        :func:`remap_intensity` and :func:`paint`.
    windows:
        Windows shuffled in an image, 0 or more.
    inward:
        Share of paintings that paint windows in rather than everything else out, in [0, 1].

    Raises
    ------
    ConfigurationError
        A rate outside [0, 1], or a number of windows below 0.

    Notes
    -----
    Rates as in the code of Models Genesis; only the number of windows differs: 10,000 there, for volumes.

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
            _check_rate(name, getattr(self, name))
        _check_count("windows", self.windows)

    def __call__(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return what a network is shown and what it should restore, each like `images`.

        Parameters
        ----------
        images:
            ``(n, c, h, w)``, of a float type, in [0, 1].
        generator:
            Where all chance comes from; on the device of `images`.

        Raises
        ------
        ImageError
            Another number of axes, a type that is not float, or values outside [0, 1].
        ConfigurationError
            A generator on another device.
        """
        target = flip(images, generator, self.flip)
        deformed = shuffle_locally(target, generator, self.shuffle, self.windows)
        deformed = remap_intensity(deformed, generator, self.remap)
        return paint(deformed, generator, self.paint, self.inward), target


def flip(images: Tensor, generator: torch.Generator, p: float = 0.4, times: int = 3) -> Tensor:
    """Reverse a spatial axis drawn at random, with probability `p`; then perhaps another, and so on.

    Parameters
    ----------
    images:
        ``(n, c, h, w)``, of a float type, in [0, 1].
    generator:
        Where all chance comes from; on the device of `images`.
    p:
        Probability of the first flip, and of each further one after it, in [0, 1].
    times:
        Flips of one sample at most, 0 or more. Two flips of the same axis cancel.

    Returns
    -------
    Tensor
        A new tensor like `images`: the input of the other deformations, and the target.

    Raises
    ------
    ConfigurationError, ImageError
        As for :class:`Deformation`.

    Examples
    --------
    >>> image = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])
    >>> flip(image, torch.Generator().manual_seed(0), p=1, times=1)
    tensor([[[[0.2000, 0.1000],
              [0.4000, 0.3000]]]])
    """
    _check(images, generator, p=p)
    _check_count("times", times)
    shape = (len(images), times)
    happens = (_uniform(shape, generator) < p).cumprod(1)  # one that does not happen ends the row
    is_row = _uniform(shape, generator) < 0.5
    odd_rows, odd_columns = ((happens * axis).sum(1) % 2 == 1 for axis in (is_row, ~is_row))  # (n,) each
    flipped = torch.where(_per_sample(odd_rows), images.flip(2), images)
    return torch.where(_per_sample(odd_columns), flipped.flip(3), flipped)


def shuffle_locally(images: Tensor, generator: torch.Generator, p: float = 0.5, windows: int = 1000) -> Tensor:
    """Permute the pixels inside many small windows; the object stays, its texture goes.

    Each window has sides drawn evenly from 1 to a tenth of the image's (at least 1), a place anywhere inside
    the image, and a permutation of its pixels, all equally likely. It is read from the original and written
    over the copy, so a later window covers an earlier one.

    Parameters
    ----------
    images:
        ``(n, c, h, w)``, of a float type, in [0, 1].
    generator:
        Where all chance comes from; on the device of `images`.
    p:
        Probability that a sample is shuffled, in [0, 1].
    windows:
        Windows in an image, 0 or more.

    Returns
    -------
    Tensor
        A new tensor like `images`.

    Raises
    ------
    ConfigurationError, ImageError
        As for :class:`Deformation`.

    Notes
    -----
    Exact, and without a loop over windows: as all are read from the original, only the last one that covers
    a pixel matters. The cells of all windows are listed in order, one sort draws all permutations, and each
    pixel looks up the last cell that lies on it.

    With 1000 windows, 7 % of the pixels of a 64 x 64 image and 11 % of a 256 x 256 one lie in none. An image
    with both sides below 20 stays as it is: its windows are single pixels.

    Examples
    --------
    >>> image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> shuffled = shuffle_locally(image, torch.Generator().manual_seed(1), p=1)
    >>> bool(torch.isin(shuffled, image).all()), bool((shuffled == image).all())
    (True, False)
    """
    _check(images, generator, p=p)
    _check_count("windows", windows)
    chosen = (_uniform((len(images),), generator) < p).nonzero().squeeze(1)  # (m,)
    size = _size(images)
    corners, sides = _windows((len(chosen), windows), torch.ones_like(size), (size // 10).clamp(min=1), size, generator)
    pixel, window = _cells(corners, sides, size)
    shuffled = images.clone()
    shuffled[chosen] = _rewritten(images[chosen], pixel, pixel[_permuted(window, generator)])
    return shuffled


def remap_intensity(images: Tensor, generator: torch.Generator, p: float = 0.9) -> Tensor:
    """Send the intensities of a sample through a smooth random curve, one that falls half of the time.

    The curve is a cubic Bezier one from (0, 0) to (1, 1), with two control points drawn evenly from the unit
    square: both coordinates rise along it. A falling curve takes the second one backwards, so that it leads
    from (0, 1) to (1, 0) and inverts the image. All channels of a sample go through the same curve.

    Parameters
    ----------
    images:
        ``(n, c, h, w)``, of a float type, in [0, 1].
    generator:
        Where all chance comes from; on the device of `images`.
    p:
        Probability that a sample is remapped, in [0, 1].

    Returns
    -------
    Tensor
        A new tensor like `images`.

    Raises
    ------
    ConfigurationError, ImageError
        As for :class:`Deformation`.

    Notes
    -----
    A choice: the curve is computed at 1000 points, where the published code takes 100,000, and is linear
    between them. At the 256 levels of 8-bit images that is within 1e-5 of the curve.

    Examples
    --------
    >>> ends = torch.tensor([[[[0.0, 1.0]]]])
    >>> remap_intensity(ends, torch.Generator().manual_seed(3), p=1)
    tensor([[[[1., 0.]]]])
    """
    _check(images, generator, p=p)
    chosen = (_uniform((len(images),), generator) < p).nonzero().squeeze(1)  # (m,)
    exact = torch.promote_types(images.dtype, torch.float32)  # half precision has no room for the points
    x, y = _bezier(_uniform((2, len(chosen), 2), generator).to(exact))  # (m, KNOTS) each
    falls = _uniform((len(chosen), 1), generator) < 0.5
    remapped = images.clone()
    curved = _interpolated(images[chosen].to(exact), x, torch.where(falls, y.flip(1), y))
    remapped[chosen] = curved.to(images.dtype)
    return remapped


def paint(images: Tensor, generator: torch.Generator, p: float = 0.9, inward: float = 0.2) -> Tensor:
    """Paint even noise over some windows of a sample (in), or over everything but some windows (out).

    In: up to five windows, with sides drawn evenly from a sixth to a third of the image's; after each, and
    before the first, it goes on with probability 0.95. Out: one to five windows are kept, with sides drawn
    evenly from 3/7 to 4/7 of the image's; after each it goes on with probability 0.95. Windows lie anywhere
    inside the image. Every channel has noise of its own.

    Parameters
    ----------
    images:
        ``(n, c, h, w)``, of a float type, in [0, 1].
    generator:
        Where all chance comes from; on the device of `images`.
    p:
        Probability that a sample is painted, in [0, 1].
    inward:
        Share of the painted samples that are painted in, in [0, 1].

    Returns
    -------
    Tensor
        A new tensor like `images`.

    Raises
    ------
    ConfigurationError, ImageError
        As for :class:`Deformation`.

    Notes
    -----
    With h the image's height, windows painted in are h // 6 to h // 3 high, at least 1, and windows kept
    h - 4h // 7 to h - 3h // 7; widths likewise.

    Deviation: the published code keeps all windows 3 pixels clear of the border, for which small images have
    no room.

    Examples
    --------
    >>> image = torch.full((1, 1, 60, 60), 2 / 3)
    >>> painted = paint(image, torch.Generator().manual_seed(0), p=1, inward=0)
    >>> int((painted == image).sum()) >= 26 * 26
    True
    """
    _check(images, generator, p=p, inward=inward)
    n, _, height, width = images.shape
    painted, goes_in = _uniform((n,), generator) < p, _uniform((n,), generator) < inward
    size = _size(images)
    least = torch.where(goes_in[:, None, None], (size // 6).clamp(min=1), size - 4 * size // 7)  # (n, 1, 2)
    most = torch.where(goes_in[:, None, None], (size // 3).clamp(min=1), size - 3 * size // 7)
    corners, sides = _windows((n, MOST_PAINTED), least, most, size, generator)
    happens = _uniform((n, MOST_PAINTED), generator) < NEXT_PAINTED
    happens[:, 0] |= ~goes_in
    inside = _union(corners, sides * happens.cumprod(1)[..., None], height, width)  # (n, h, w)
    covered = (inside == goes_in[:, None, None]) & painted[:, None, None]
    noise = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    return torch.where(covered[:, None], noise, images)


def _windows(
    shape: tuple[int, int], least: Tensor, most: Tensor, size: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return upper left corners and sides, ``(*shape, 2)`` each: first even sides, then an even place."""
    sides = least + (_uniform((*shape, 2), generator) * (most - least + 1)).long()
    return (_uniform((*shape, 2), generator) * (size - sides + 1)).long(), sides


def _union(corners: Tensor, sides: Tensor, height: int, width: int) -> Tensor:
    """Return which pixels lie in any of the windows ``(n, k, 2)``: ``(n, height, width)``, boolean."""
    rows, columns = (
        (along >= corners[..., axis, None]) & (along < (corners + sides)[..., axis, None])  # (n, k, length)
        for axis, along in enumerate(torch.arange(length, device=sides.device) for length in (height, width))
    )
    return (rows[..., :, None] & columns[..., None, :]).any(1)


def _cells(corners: Tensor, sides: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """List the cells of the windows ``(m, k, 2)``: the pixel each lies on, and the window it belongs to.

    Pixels are numbered through all m images, and so are windows. Cells come window by window and row by row:
    windows are unrolled into rows, and rows into cells.
    """
    height, width = size.unbind()
    sample = torch.arange(len(corners), device=corners.device)[:, None]
    corner = ((sample * height + corners[..., 0]) * width + corners[..., 1]).flatten()
    heights, widths = sides.flatten(0, 1).unbind(1)

    window = torch.repeat_interleave(heights)  # of each row
    row = torch.arange(len(window), device=window.device) - _starts(heights)[window]
    start, lengths = corner[window] + row * width, widths[window]

    line = torch.repeat_interleave(lengths)  # of each cell
    pixel = (start - _starts(lengths))[line] + torch.arange(len(line), device=line.device)
    return pixel, window.int()[line]


def _starts(lengths: Tensor) -> Tensor:
    """Return where each stretch begins when stretches of these lengths are laid end to end."""
    return lengths.cumsum(0) - lengths


def _permuted(window: Tensor, generator: torch.Generator) -> Tensor:
    """Return for each cell one of the same window, every permutation equally likely; `window` never falls.

    All cells are put in a random order, then sorted by window, which leaves the order within a window random.
    """
    order = torch.randperm(len(window), generator=generator, device=window.device)
    return order[window[order].argsort(stable=True)]


def _rewritten(images: Tensor, pixel: Tensor, source: Tensor) -> Tensor:
    """Return `images` after giving ``pixel[i]`` the original value at ``source[i]``, one i after another."""
    m, channels, height, width = images.shape
    cells = torch.arange(len(pixel), device=pixel.device)
    last = cells.new_full((m * height * width,), -1).scatter_reduce(0, pixel, cells, "amax")
    covered = last >= 0
    comes_from = torch.arange(len(last), device=last.device)
    comes_from[covered] = source[last[covered]]
    local = (comes_from % (height * width)).view(m, 1, height * width).expand(-1, channels, -1)
    return images.flatten(2).gather(2, local).view_as(images)


def _bezier(controls: Tensor) -> tuple[Tensor, Tensor]:
    """Return x and y, ``(m, KNOTS)`` each, along the rising curves from (0, 0) to (1, 1).

    `controls`, ``(2, m, 2)``, holds the x, then the y, of the two control points of each curve.
    """
    t = torch.linspace(0, 1, KNOTS, device=controls.device, dtype=controls.dtype)
    first, second = controls[..., :1], controls[..., 1:]
    curve = 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3  # (2, m, KNOTS)
    x, y = curve.clamp(0, 1).cummax(2).values.unbind()  # against rounding in level stretches
    return x, y


def _interpolated(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return for each value v of sample i the height at v of the line through the points ``(x[i], y[i])``."""
    values = images.flatten(1).contiguous()
    right = torch.searchsorted(x, values).clamp(1, x.shape[1] - 1)
    x0, x1, y0, y1 = (knots.gather(1, at) for knots in (x, y) for at in (right - 1, right))
    weight = ((values - x0) / (x1 - x0).clamp(min=torch.finfo(x.dtype).tiny)).clamp(0, 1)
    return torch.lerp(y0, y1, weight).view_as(images)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return numbers drawn evenly from [0, 1), on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)


def _size(images: Tensor) -> Tensor:
    """Return height and width as a tensor on the images' device."""
    return torch.tensor(images.shape[2:], device=images.device)


def _per_sample(decisions: Tensor) -> Tensor:
    """Return ``(n,)`` decisions as ``(n, 1, 1, 1)``, to go with images."""
    return decisions[:, None, None, None]


def _check(images: Tensor, generator: torch.Generator, **rates: float) -> None:
    """Raise unless these are images, on the generator's device, and rates."""
    if images.ndim != 4 or not images.is_floating_point():
        raise ImageError(
            "this is no batch of images",
            got=f"shape {tuple(images.shape)}, {images.dtype}",
            expected="(n, c, h, w) of a float type",
        )
    if generator.device.type != images.device.type:
        raise ConfigurationError(
            "the generator is on another device than the images", got=generator.device, expected=images.device
        )
    if images.numel() and not ((ends := images.aminmax()).min >= 0 and ends.max <= 1):
        raise ImageError(
            "the images hold values that are no intensities",
            got=f"{ends.min.item()} to {ends.max.item()}",
            expected="0 to 1",
            hint="scale them first, for example by their own minimum and maximum",
        )
    for name, rate in rates.items():
        _check_rate(name, rate)


def _check_rate(name: str, rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ConfigurationError(f"{name} is no probability", got=rate, expected="0 to 1")


def _check_count(name: str, count: int) -> None:
    if not isinstance(count, Integral) or count < 0:
        raise ConfigurationError(f"{name} is no number of times", got=count, expected="a whole number, 0 or more")
