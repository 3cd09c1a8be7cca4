"""The images of ``alkit demo``: cells under four kinds of microscope, one of them common and three rare.

People's pools are often like this: most images come from one device, and some from others. In the nuclei of the Data
Science Bowl 2018 (BBBC038), for instance, 81 % of the images are fluorescence and 2 % brightfield. The shares and looks
here were fixed before any strategy was run on these images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from alkit.rng import Stream

Plane = npt.NDArray[np.float64]

SHARES = {"fluorescence": 0.80, "stained": 0.08, "brightfield": 0.07, "phase contrast": 0.05}
"""Kinds of image, and the share of each in a pool."""


@dataclass(frozen=True)
class Cells:
    """Images with their masks and kinds.

    Attributes
    ----------
    images:
        ``(n, 3, size, size)``, uint8.
    masks:
        ``(n, size, size)``, uint8, 1 on cells.
    kinds:
        A key of :data:`SHARES` for each image.
    """

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    kinds: tuple[str, ...]


def draw_cells(n: int, size: int, seed: int = 0) -> Cells:
    """Return `n` images of `size` x `size` pixels. Image `i` depends only on `seed`, `i` and `size`."""
    images, masks = np.empty((n, 3, size, size), np.uint8), np.empty((n, size, size), np.uint8)
    kinds = []
    for i in range(n):
        rng = Stream(seed).child("cells", i).numpy()
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        depth, tone = _cells(rng, size)
        colours = _LOOKS[kind](rng, depth, tone)
        noise = rng.uniform(1.0, 4.0) * rng.standard_normal((1, size, size))
        images[i] = np.clip(np.rint(255 * colours + noise), 0, 255)
        masks[i] = depth > 0
        kinds.append(kind)
    return Cells(images, masks, tuple(kinds))


def _cells(rng: np.random.Generator, size: int) -> tuple[Plane, Plane]:
    """Return the depth of each pixel inside cells (0 at the outline), and a random tone for each cell, 0 to 1."""
    grid = (np.arange(size) + 0.5) / size
    depth, tone = np.full((size, size), -10.0), np.zeros((size, size))
    radius = np.exp(rng.uniform(np.log(0.04), np.log(0.11)))
    for _ in range(int(rng.integers(4, 20))):
        x, y = rng.uniform(0, 1, 2)
        long, turn = radius * rng.uniform(0.8, 1.4), rng.uniform(0, np.pi)
        short = long * rng.uniform(0.6, 1.0)
        across, down = grid - x, grid[:, None] - y
        u, v = np.cos(turn) * across + np.sin(turn) * down, np.cos(turn) * down - np.sin(turn) * across
        own = 1 - np.hypot(u / long, v / short)
        tone = np.where(own > depth, rng.uniform(0, 1), tone)
        depth = np.maximum(depth, own)
    return depth, tone


def _fluorescence(rng: np.random.Generator, depth: Plane, tone: Plane) -> Plane:
    """Return bright cells on a dark background, in grey."""
    light = rng.uniform(0.2, 0.8) * (0.4 + 0.6 * tone) * _inside(depth, 0.1)
    haze = rng.uniform(0.02, 0.10) * (1 + 0.3 * _clouds(rng, depth.shape[0], 0.2))
    return np.stack([_blur(light, rng.uniform(0, 0.012)) + haze] * 3)


def _stained(rng: np.random.Generator, depth: Plane, tone: Plane) -> Plane:
    """Return violet cells in pink tissue, with pale gaps, in colour."""
    size = depth.shape[0]
    tissue = _inside(_clouds(rng, size, 0.12) + rng.uniform(-0.2, 0.8), 0.3) * (1 + 0.2 * _clouds(rng, size, 0.02))
    nuclei = _inside(depth, 0.15) * (0.7 + 0.5 * tone) * (1 + 0.2 * _clouds(rng, size, 0.015))
    pink, violet = np.array([0.10, 0.55, 0.25])[:, None, None], np.array([0.9, 1.2, 0.5])[:, None, None]
    strength = rng.uniform(0.6, 1.3, 2)
    absorbed: Plane = 0.08 + strength[0] * pink * np.maximum(tissue, 0) + strength[1] * violet * np.maximum(nuclei, 0)
    return np.exp(-absorbed)


def _brightfield(rng: np.random.Generator, depth: Plane, tone: Plane) -> Plane:
    """Return cells with a dark outline and a faint inside on a bright background, in grey."""
    size = depth.shape[0]
    lamp = rng.uniform(0.75, 0.92) * (1 + 0.03 * _clouds(rng, size, 0.3))
    outline = np.exp(-((depth / 0.12) ** 2)) * (0.6 + 0.4 * tone)
    inside = _inside(depth, 0.1) * (0.4 + 0.2 * _clouds(rng, size, 0.02))
    return np.stack([lamp * np.exp(-rng.uniform(0.3, 0.8) * outline - rng.uniform(0.1, 0.35) * inside)] * 3)


def _phase_contrast(rng: np.random.Generator, depth: Plane, tone: Plane) -> Plane:
    """Return dark cells with a bright halo on a middle grey."""
    size = depth.shape[0]
    ground = rng.uniform(0.42, 0.55) * (1 + 0.06 * _clouds(rng, size, 0.3) + 0.04 * _clouds(rng, size, 0.015))
    halo = np.exp(-(((depth + 0.25) / 0.2) ** 2)) * rng.uniform(0.15, 0.35)
    inside = _inside(depth, 0.1) * rng.uniform(0.12, 0.3) * (0.5 + 0.5 * tone)
    return np.stack([ground + halo - inside] * 3)


_LOOKS = {
    "fluorescence": _fluorescence,
    "stained": _stained,
    "brightfield": _brightfield,
    "phase contrast": _phase_contrast,
}


def _inside(depth: Plane, width: float) -> Plane:
    """Return a smooth step from 0 for negative `depth` to 1 for positive."""
    return 0.5 + 0.5 * np.tanh(depth / width)


def _clouds(rng: np.random.Generator, size: int, scale: float) -> Plane:
    """Return smooth noise of mean 0 and standard deviation 1, with patches about `scale` frames wide."""
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), scale * size / 2, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def _blur(plane: Plane, width: float) -> Plane:
    return np.asarray(ndimage.gaussian_filter(plane, width * plane.shape[0]))
