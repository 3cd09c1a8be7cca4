"""Smooth random curves of intensities."""

from __future__ import annotations

import torch
from torch import Tensor

KNOTS = 1000
"""Points that are computed on a Bezier curve. Between them the curve is linear."""


def bezier(controls: Tensor) -> tuple[Tensor, Tensor]:
    """Return x and y, ``(m, KNOTS)`` each, of points along rising cubic Bezier curves from (0, 0) to (1, 1).

    Parameters
    ----------
    controls:
        x, then y, of the two control points of each curve, ``(2, m, 2)``, in [0, 1].
    """
    t = torch.linspace(0, 1, KNOTS, device=controls.device, dtype=controls.dtype)
    first, second = controls[..., :1], controls[..., 1:]
    curve = 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3  # (2, m, KNOTS)
    x, y = curve.clamp(0, 1).cummax(2).values.unbind()  # rounding may make a flat section fall
    return x, y


def interpolate(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the linear interpolation of the points ``(x[i], y[i])`` at each value of image i."""
    values = images.flatten(1).contiguous()
    right = torch.searchsorted(x, values).clamp(1, x.shape[1] - 1)
    x0, x1, y0, y1 = (knots.gather(1, at) for knots in (x, y) for at in (right - 1, right))
    weight = ((values - x0) / (x1 - x0).clamp(min=torch.finfo(x.dtype).tiny)).clamp(0, 1)
    return torch.lerp(y0, y1, weight).view_as(images)
