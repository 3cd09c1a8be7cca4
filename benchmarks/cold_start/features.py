"""Features of images by which the strategies select, computed once for each data set and kept in a cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

import alkit
from alkit.features import Pretrained
from alkit.protocols import FeatureExtractor
from benchmarks.cold_start.data import DataSet

WIDTHS = (8, 16, 32, 64, 128)
SMALL = 64
"""Side of the images for the reconstruction network and for the real network."""


def features_of(data: DataSet, name: str, cache: Path) -> npt.NDArray[np.float32]:
    """Return one row for each image, by one of :data:`protocol.FEATURES`.

    The extractors see no mask. The reconstruction network is trained once on all images of the data set, including
    those that are test images for some seed.
    """
    file = cache / data.name / f"{name.replace(' ', '-')}.npy"
    if not file.exists():
        extractor, pool = _extractor(name), small(data) if name == "reconstruction" else data
        fitted = extractor.fit(pool, np.random.default_rng(17))
        rows = [fitted.features(pool.read(pool.ids[start : start + 16])) for start in range(0, len(pool.ids), 16)]
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.concatenate(rows))
    return np.load(file, allow_pickle=False)


@dataclass(frozen=True)
class SmallImages:
    """Images of :data:`SMALL` pixels per side, as a pool."""

    ids: tuple[str, ...]
    images: npt.NDArray[np.float32]

    def read(self, ids: list[str]) -> npt.NDArray[np.float32]:
        """Return these images, float32 in [0, 1]."""
        return self.images[np.searchsorted(self.ids, ids)]


def small(data: DataSet) -> SmallImages:
    """Return the images of a data set, reduced."""
    n, c, side, _ = data.images.shape
    step = side // SMALL
    cells = data.images.reshape(n, c, SMALL, step, SMALL, step).mean((3, 5), dtype=np.float32) / 255
    return SmallImages(data.ids, cells)


def _extractor(name: str) -> FeatureExtractor:
    match name:
        case "pretrained":
            return Pretrained()
        case "reconstruction":
            return alkit.Reconstruction(partial(alkit.UNet, widths=WIDTHS), epochs=20)
        case _:
            return Pretrained(weights="random")
