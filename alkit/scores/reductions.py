"""Reductions: from the scores of an image's pixels to one number."""

from __future__ import annotations

import torch
from torch import Tensor

from alkit.arguments.checked import checked


@checked
def mean(maps: Tensor) -> Tensor:
    """Return the mean over the pixels of each image. It is comparable between images of different sizes.

    Parameters
    ----------
    maps:
        Scores of the pixels, ``(n, *space)``. One number per image, ``(n,)``, is returned as it is.

    Returns
    -------
    Tensor
        ``(n,)``, computed in float64 if the device supports it.

    Examples
    --------
    >>> mean(torch.tensor([[1.0, 3.0]]))
    tensor([2.], dtype=torch.float64)
    """
    return maps.flatten(1).mean(dim=1, dtype=_accurate(maps)) if maps.ndim > 1 else maps


@checked
def total(maps: Tensor) -> Tensor:
    """Return the sum over the pixels of each image, as in most papers.

    Parameters
    ----------
    maps:
        Scores of the pixels, ``(n, *space)``. One number per image, ``(n,)``, is returned as it is.

    Returns
    -------
    Tensor
        ``(n,)``, computed in float64 if the device supports it.

    Examples
    --------
    >>> total(torch.tensor([[1.0, 3.0]]))
    tensor([4.], dtype=torch.float64)
    """
    return maps.flatten(1).sum(dim=1, dtype=_accurate(maps)) if maps.ndim > 1 else maps


def _accurate(maps: Tensor) -> torch.dtype:
    """Return the type in which sums over many pixels do not drift."""
    return torch.float32 if maps.device.type == "mps" else torch.float64  # MPS has no float64
