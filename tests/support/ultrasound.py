"""Pictures like breast ultrasound: layers of speckle, dark lesions with smooth or ragged borders, and some without."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Picture = npt.NDArray[np.uint8]

NORMAL = 0.15
"""Share of the pictures without a lesion."""


def ultrasound(n: int, seed: int = 0) -> list[tuple[Picture, Picture]]:
    """Return pictures of about 96 x 128 pixels, each of its own size, with their masks of 0 and 1."""
    rng = np.random.default_rng(seed)
    return [_picture(rng) for _ in range(n)]


def _picture(rng: np.random.Generator) -> tuple[Picture, Picture]:
    height, width = int(rng.integers(88, 105)), int(rng.integers(116, 141))
    down, across = np.mgrid[:height, :width].astype(float)
    layers = np.interp(down, np.sort(rng.uniform(0, height, 5)), rng.uniform(0.3, 0.8, 5))
    echo = layers + gaussian_filter(rng.normal(size=(height, width)), 8) * 1.5
    mask = np.zeros((height, width), bool)
    if rng.random() >= NORMAL:
        middle = rng.uniform(0.3, 0.65) * height, rng.uniform(0.25, 0.75) * width
        radius, flat = rng.uniform(0.12, 0.26) * height, rng.uniform(0.6, 0.95)
        ragged = rng.random() < 0.4
        angle = np.arctan2((down - middle[0]) / flat, across - middle[1])
        far = np.hypot((down - middle[0]) / flat, across - middle[1])
        waves = sum(
            rng.uniform(0, 0.12 if ragged else 0.03) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(2, 9)
        )
        mask = far < radius * (1 + waves)
        dark = gaussian_filter(mask.astype(float), 1.5 if ragged else 0.8)
        echo = echo * (1 - rng.uniform(0.45, 0.7) * dark)
        if ragged:  # it casts a shadow
            below = mask.any(axis=0) & (down > middle[0])
            echo = echo * (1 - 0.3 * gaussian_filter(below.astype(float), 3))
    speckle = gaussian_filter(rng.rayleigh(0.8, size=(height, width)), (0.6, 1.0))
    pixels = 255 * np.clip(echo, 0.05, 1) * np.clip(speckle, 0.2, 2) / 1.4
    return np.clip(pixels, 0, 255).astype(np.uint8), mask.astype(np.uint8)
