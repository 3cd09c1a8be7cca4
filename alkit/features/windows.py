"""Random windows of images, as the deformations use them: drawn, united, listed by pixel, and permuted."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return uniform random numbers in [0, 1), on the device of the generator."""
    return torch.rand(shape, generator=generator, device=generator.device)


def draw_windows(
    shape: tuple[int, int], least: Tensor, most: Tensor, size: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw windows inside an image. Their sides are uniform between `least` and `most`, their places uniform.

    Parameters
    ----------
    shape:
        Numbers of images and of windows per image.
    least, most:
        Smallest and largest height and width, both included; tensors that broadcast to ``(*shape, 2)``.
    size:
        Height and width of the images, ``(2,)``.
    generator:
        Source of the random numbers.

    Returns
    -------
    corners, sides:
        Upper left corners, and heights and widths, ``(*shape, 2)`` each.
    """
    sides = least + (uniform((*shape, 2), generator) * (most - least + 1)).long()
    return (uniform((*shape, 2), generator) * (size - sides + 1)).long(), sides


def union(corners: Tensor, sides: Tensor, height: int, width: int) -> Tensor:
    """Return a mask of the pixels inside any of the windows ``(n, k, 2)``: ``(n, height, width)``, bool."""
    rows, columns = (
        (along >= corners[..., axis, None]) & (along < (corners + sides)[..., axis, None])  # (n, k, length)
        for axis, along in enumerate(torch.arange(length, device=sides.device) for length in (height, width))
    )
    return (rows[..., :, None] & columns[..., None, :]).any(1)


def cells(corners: Tensor, sides: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixel and the window of each cell of the windows ``(m, k, 2)``.

    A cell is a pixel of a window, so windows that overlap have several cells at the same pixel. Pixels are numbered
    through all m images, and so are windows. The cells are ordered by window, then by row, then by column.
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
    """Return the start of each section in a sequence of sections of these lengths."""
    return lengths.cumsum(0) - lengths


def permute_within(window: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random permutation of the cells within each window. All permutations are equally likely.

    `window` is the window of each cell, in ascending order. A random order of all cells is sorted by window, which
    keeps the order within each window random.
    """
    order = torch.randperm(len(window), generator=generator, device=window.device)
    return order[window[order].argsort(stable=True)]


def overwrite(images: Tensor, pixel: Tensor, source: Tensor) -> Tensor:
    """Return `images` after the original value at ``source[i]`` was written to ``pixel[i]``, for each i in order."""
    m, channels, height, width = images.shape
    cells = torch.arange(len(pixel), device=pixel.device)
    last = cells.new_full((m * height * width,), -1).scatter_reduce(0, pixel, cells, "amax")
    covered = last >= 0
    comes_from = torch.arange(len(last), device=last.device)
    comes_from[covered] = source[last[covered]]
    local = (comes_from % (height * width)).view(m, 1, height * width).expand(-1, channels, -1)
    return images.flatten(2).gather(2, local).view_as(images)
