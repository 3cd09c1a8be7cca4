"""The same seven small images in pools of every kind."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from alkit.pools import DatasetPool, ImagePool

IMAGES = np.random.default_rng(0).integers(256, size=(7, 1, 6, 5), dtype=np.uint8)
IDS = ("g", "c", "a", "f", "b", "e", "d")


def image_pool(tmp_path):
    (tmp_path / "images").mkdir(exist_ok=True)
    for id, image in zip(IDS, IMAGES, strict=True):
        Image.fromarray(image[0]).save(tmp_path / "images" / f"{id}.png")
    return ImagePool(tmp_path / "images", grayscale=True, scale="full", cache=tmp_path / "cache")


def dataset_pool(tmp_path):
    return DatasetPool(torch.utils.data.TensorDataset(torch.from_numpy(IMAGES), torch.arange(7)), list(IDS))
