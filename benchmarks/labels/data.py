"""The images of the benchmark in memory, and an archive with which they travel.

    python -m benchmarks.labels.data --data DIR --out FILE

``DIR`` has the folders of the data sets, see :mod:`benchmarks.labels.split`. The archive has images, masks, kinds,
groups and features of each set and size. The features are those of :class:`alkit.features.Pretrained`, of images of
256 pixels per side (128 for slices), as in ``benchmarks/cold_start``.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from alkit._files import cache_folder
from benchmarks.cold_start.data import READERS, read
from benchmarks.cold_start.features import features_of

Key = tuple[str, int]
"""Name of a data set, and side of its images."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """A data set at one size. It is a pool of alkit too.

    Parameters
    ----------
    key:
        Name and side.
    ids:
        Ids of N images, sorted.
    images, masks:
        ``(N, 3, side, side)`` and ``(N, side, side)``, uint8; masks are 0 and 1.
    kinds, groups:
        Kind of each image, and what it shares with others: the volume of a slice, or the image itself.
    features:
        ``(N, d)``, by which strategies select.
    """

    key: Key
    ids: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    kinds: tuple[str, ...]
    groups: tuple[str, ...]
    features: npt.NDArray[np.float32]

    @cached_property
    def place(self) -> dict[str, int]:
        """Row of each id."""
        return {id: row for row, id in enumerate(self.ids)}

    def rows(self, ids: Sequence[str]) -> list[int]:
        """Return the rows of some ids."""
        return [self.place[id] for id in ids]

    def read(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return these images, float32 in [0, 1]."""
        return self.images[self.rows(ids)].astype(np.float32) / 255


def load(source: Path, keys: Iterable[Key], cache: Path | None = None) -> dict[Key, Pictures]:
    """Read data sets from an archive, or from the folder of all data sets."""
    if source.is_dir():
        return {key: _from_folder(source, key, cache or cache_folder() / "cold_start") for key in keys}
    with np.load(source, allow_pickle=False) as archive:
        return {key: _from_archive(archive, key) for key in keys}


def save(file: Path, sets: Iterable[Pictures]) -> None:
    """Write an archive."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for own in sets:
        name, size = own.key
        arrays[f"{name}-{size}-images"] = _as_png(own.images)
        arrays[f"{name}-{size}-masks"] = np.packbits(own.masks.astype(bool))
        arrays[f"{name}-ids"] = np.array(own.ids)
        arrays[f"{name}-kinds"] = np.array(own.kinds)
        arrays[f"{name}-groups"] = np.array(own.groups)
        arrays[f"{name}-features"] = own.features.astype(np.float16)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)


def _from_folder(folder: Path, key: Key, cache: Path) -> Pictures:
    name, size = key
    data = read(name, folder, size)
    features = features_of(read(name, folder), "pretrained", cache).astype(np.float16)  # as in an archive
    masks = data.masks.astype(np.uint8)
    return Pictures(key, data.ids, data.images, masks, data.kinds, data.groups, features.astype(np.float32))


def _from_archive(archive: np.lib.npyio.NpzFile, key: Key) -> Pictures:
    name, size = key
    ids, kinds, groups = (tuple(archive[f"{name}-{part}"].tolist()) for part in ("ids", "kinds", "groups"))
    images = _from_png(archive[f"{name}-{size}-images"], (len(ids), 3, size, size))
    masks = np.unpackbits(archive[f"{name}-{size}-masks"]).reshape(len(ids), size, size)
    return Pictures(key, ids, images, masks, kinds, groups, archive[f"{name}-features"].astype(np.float32))


def _as_png(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the bytes of one picture with all images side by side, which is smaller than the images in a zip."""
    n, c, height, width = images.shape
    side = math.ceil(math.sqrt(n))
    tiles = np.zeros((side * side, c, height, width), np.uint8)
    tiles[:n] = images
    sheet = tiles.reshape(side, side, c, height, width).transpose(0, 3, 1, 4, 2).reshape(side * height, side * width, c)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(sheet)).save(file, "PNG")
    return np.frombuffer(file.getvalue(), np.uint8)


def _from_png(data: npt.NDArray[np.uint8], shape: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    n, c, height, width = shape
    with Image.open(io.BytesIO(data.tobytes())) as image:
        sheet = np.asarray(image)
    side = sheet.shape[0] // height
    tiles = sheet.reshape(side, height, side, width, c).transpose(0, 2, 4, 1, 3).reshape(side * side, c, height, width)
    return np.ascontiguousarray(tiles[:n])


def main() -> None:
    """Write the archive, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64])
    parser.add_argument("--cache", type=Path, help="folder of features (default: alkit's cache)")
    options = parser.parse_args()
    keys = [(name, size) for name in READERS for size in options.sizes]
    save(options.out, load(options.data, keys, options.cache).values())
    print(f"{options.out}: {options.out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
