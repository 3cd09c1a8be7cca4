"""The learner: logistic regression of pixels on frozen maps, deterministic and trained in a fraction of a second."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

PENALTY = 0.01
"""Weight of half the squared norm of the coefficients, beside the mean loss over pixels.

Set before any strategy was run, by random start sets inside the pools of a split that the benchmark does not use.
"""

PIXELS = 128
"""Pixels of each image that the learner trains on."""

STEPS = 12
"""Most steps of Newton's method."""


def fit(values: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> Tensor:
    """Return the coefficients ``(d + 1,)``, the constant last.

    Parameters
    ----------
    values:
        Standardised channels of P pixels, ``(P, d)``.
    truth:
        Foreground or not, ``(P,)``.
    """
    x = torch.from_numpy(values)
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    y = torch.from_numpy(truth).float()
    penalty = torch.full((x.shape[1],), PENALTY)
    penalty[-1] = 1e-6  # the constant is free
    weights = torch.zeros(x.shape[1])
    for _ in range(STEPS):
        p = torch.sigmoid(x @ weights)
        slope = x.T @ (p - y) / len(x) + penalty * weights
        curvature = (x.T * (p * (1 - p) / len(x)).clamp_min(1e-9)) @ x + torch.diag(penalty)
        step = torch.linalg.solve(curvature.double(), slope.double()).float()
        weights = weights - step * min(1.0, 5.0 / float(step.norm()))
        if float(step.norm()) < 1e-3:
            break
    return weights


def predict(levels: list[Tensor], weights: Tensor) -> npt.NDArray[np.bool_]:
    """Return the foreground on the grid of the finest level, ``(n, h, w)``.

    A linear function of interpolated maps is the interpolation of linear functions of the maps, which is cheaper.
    """
    grid = levels[0].shape[2:]
    total, first = weights[-1].expand(len(levels[0]), 1, *grid), 0
    for level in levels:
        own = weights[first : first + level.shape[1]]
        first += level.shape[1]
        score = (own @ level.flatten(2)).unflatten(1, level.shape[2:])[:, None]
        total = total + F.interpolate(score, grid, mode="bilinear", align_corners=False)
    return (total[:, 0] > 0).numpy()


def dice(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the Dice of each image; 1 if neither mask has foreground."""
    both = (predicted & truth).sum((1, 2))
    size = predicted.sum((1, 2)) + truth.sum((1, 2))
    return np.where(size > 0, 2 * both / np.maximum(size, 1), 1.0)
