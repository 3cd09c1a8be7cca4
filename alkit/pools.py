"""Pools: images that can be asked for by id, from a folder, from arrays, or from a torch dataset.

Every pool reads ``(n, c, h, w)`` float32 in [0, 1], whatever it keeps, and is cut in the same way: by
``subset(ids)`` and ``split(test, seed)``.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from alkit import imagecache
from alkit.declare import runtime
from alkit.errors import ConfigurationError, DataError
from alkit.files import cache_folder
from alkit.imagecache import Pixels, pixel_digest
from alkit.protocols import Pool
from alkit.rng import Stream
from alkit.types import Images, Report, Size, quiet

Scale = Literal["minmax", "full"]
"""How stored values become [0, 1].

``minmax``: for each image, all its channels together, the least value becomes 0 and the greatest 1; a
constant image becomes 0. ``full``: 0 stays 0 and the greatest value of the type, 255 or 65535, becomes 1;
floats stay as they are.
"""


class _Pool(ABC):
    """What all pools do, given where each image is kept and how to get it from there."""

    ids: Sequence[str]
    shape: tuple[int, int, int]
    scale: Scale
    _rows: Mapping[str, int]

    @abstractmethod
    def _pixels(self, rows: Sequence[int]) -> Pixels:
        """Return images as they are kept, ``(n, c, h, w)``."""

    def _pixel_digest(self, row: int) -> str:
        return pixel_digest(self._pixels([row])[0])

    def _sizes(self, row: int) -> tuple[Size, ...]:
        return (self.shape[1:],)

    def _file(self, row: int) -> Path | None:
        return None

    def _where(self, ids: Iterable[str]) -> list[int]:
        try:
            return [self._rows[id] for id in ids]
        except KeyError as error:
            raise DataError(
                "there is no such image in the pool",
                got=repr(error.args[0]),
                expected=f"one of {len(self)} ids such as {next(iter(self.ids), None)!r}",
            ) from None

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1], in the order asked.

        Raises
        ------
        DataError
            An id that is not in the pool.
        """
        return scaled(self._pixels(self._where(ids)), self.scale)

    def sizes(self, ids: Iterable[str]) -> list[tuple[Size, ...]]:
        """Return for each image the sizes its mask may have: the original size and the working size."""
        return [self._sizes(row) for row in self._where(ids)]

    def file(self, id: str) -> Path | None:
        """Return the file an image was decoded from; None where it comes from none."""
        return self._file(self._where([id])[0])

    def subset(self, ids: Iterable[str]) -> Subset:
        """Return a pool of these images only, in this order; no pixel is copied."""
        return Subset(self, tuple(ids))

    def split(self, test: int | float, seed: int) -> tuple[Subset, Subset]:
        """Return the images to learn from and a test set, each in the order of its ids.

        The test set is the first part of a seeded permutation of the sorted ids: it depends on which images
        there are and on `seed`, and not on the order of the pool.

        Parameters
        ----------
        test:
            How many images to set aside: a number, or a fraction in (0, 1), rounded to a number.
        seed:
            Which split.

        Raises
        ------
        ConfigurationError
            One side would be empty.

        Examples
        --------
        >>> pool, test = ArrayPool(np.zeros((10, 8, 8), np.uint8)).split(test=0.3, seed=0)
        >>> len(pool), len(test)
        (7, 3)
        """
        n = round(test * len(self)) if isinstance(test, float) and 0 < test < 1 else test
        if isinstance(n, float) or not 0 < n < len(self):
            raise ConfigurationError(
                "a split needs images on both sides",
                got=f"test={test} of {len(self)} images",
                expected=f"1 to {len(self) - 1}, or a fraction in (0, 1) that comes to as many",
            )
        ids = sorted(self.ids)
        shuffled = [ids[row] for row in Stream(seed).child("split").numpy().permutation(len(ids))]
        return self.subset(sorted(shuffled[n:])), self.subset(sorted(shuffled[:n]))

    def digests(self) -> dict[str, str]:
        """Return by id a SHA-256, in hexadecimal, of each image's pixels as they are kept."""
        return {id: self._pixel_digest(row) for id, row in self._rows.items()}

    def digest(self) -> str:
        """Return the pool's :func:`digest`; an :class:`ImagePool` knows it without reading its images."""
        return _digest(self.shape, self.scale, self.digests())


def digest(pool: Pool) -> str:
    """Return a SHA-256, in hexadecimal, of a pool's ids, their pixels, the shape and the scale.

    Neither the order of the ids counts nor where the images lie. A pool with a ``digest()`` of its own is
    asked for it; the images of any other are read one by one.

    >>> pool = ArrayPool(np.zeros((2, 8, 8), np.uint8), ids=["a", "b"])
    >>> digest(pool) == digest(pool.subset(["b", "a"]))
    True
    """
    if callable(own := getattr(pool, "digest", None)):
        return str(own())
    images = {id: pixel_digest(pool.read([id])[0]) for id in pool.ids}
    return _digest(pool.read(list(pool.ids)[:1]).shape[1:], "full", images)


def _digest(shape: Sequence[int], scale: Scale, images: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([shape, scale, sorted(images.items())]).encode()).hexdigest()


@dataclass(frozen=True)
class Some:
    """Some images of any pool, as a pool of their own."""

    pool: Pool
    ids: Sequence[str]

    def read(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1], in the order asked."""
        return self.pool.read(ids)


def mask_sizes(pool: Pool, ids: Sequence[str]) -> list[tuple[Size, ...]]:
    """Return for each image the heights and widths its mask may have.

    A pool with a method ``sizes(ids)`` is asked; for any other it is the size of its first image.

    >>> mask_sizes(ArrayPool(np.zeros((2, 8, 9), np.uint8)), ["0001"])
    [((8, 9),)]
    """
    if callable(own := getattr(pool, "sizes", None)):
        return list(own(ids))
    height, width = pool.read(list(pool.ids)[:1]).shape[-2:]
    return [((height, width),)] * len(ids)


def check_pool(pool: Pool) -> None:
    """Check what every use of a pool relies on: ids that are different strings, and at least one.

    Raises
    ------
    DataError
        No ids, or ids that are not such.
    """
    if not _different(pool.ids):
        raise DataError("the pool is empty", got="no ids", expected="at least one image")


def scaled(pixels: Pixels, scale: Scale) -> Images:
    """Return `pixels`, ``(n, c, h, w)``, as float32 in [0, 1]; see :data:`Scale`.

    >>> scaled(np.array([5, 10, 15], np.uint8).reshape(1, 1, 1, 3), "minmax").ravel().tolist()
    [0.0, 0.5, 1.0]
    """
    if scale == "minmax":
        low = pixels.min(axis=(1, 2, 3), keepdims=True).astype(np.float32)
        span = pixels.max(axis=(1, 2, 3), keepdims=True).astype(np.float32) - low
        images: Images = np.subtract(pixels, low, dtype=np.float32)
        images /= np.where(span > 0, span, np.float32(1))
        return images
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float32)
    return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)


@dataclass(frozen=True)
class Subset(_Pool):
    """Some images of a pool, in an order of their own. A subset of a subset is one of the pool below.

    Examples
    --------
    >>> pool = ArrayPool(np.zeros((5, 8, 8), np.uint8))
    >>> pool.subset(["0003", "0001"]).ids
    ('0003', '0001')
    """

    pool: _Pool
    ids: Sequence[str]

    def __post_init__(self) -> None:
        ids = _different(self.ids)
        rows = dict(zip(ids, self.pool._where(ids), strict=True))
        pool = self.pool.pool if isinstance(self.pool, Subset) else self.pool
        vars(self).update(pool=pool, ids=ids, shape=pool.shape, scale=pool.scale, _rows=rows)

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        return self.pool._pixels(rows)

    def _pixel_digest(self, row: int) -> str:
        return self.pool._pixel_digest(row)

    def _sizes(self, row: int) -> tuple[Size, ...]:
        return self.pool._sizes(row)

    def _file(self, row: int) -> Path | None:
        return self.pool._file(row)


@dataclass(frozen=True)
class ImagePool(_Pool):
    """A folder of images, decoded once into a cache from which any of them is read in microseconds.

    An image's id is its name relative to the folder without the suffix, such as ``"ward3/0017"``. Opening the
    pool decodes what the cache does not hold yet: new and changed images. A pool may be larger than memory:
    reading touches only the rows asked for.

    Parameters
    ----------
    path:
        The folder. Images end in png, jpg, jpeg, tif, tiff, bmp or webp; other files and hidden ones are
        passed over.
    size:
        The working size: (height, width), or one number for both. The whole frame is squashed to it by a
        bicubic filter, without a crop. None keeps the images as they are, if they are all of one size.
    grayscale:
        One channel (ITU-R 601-2 luma) instead of three. Gray images of 16 bits keep them, and need this.
    scale:
        How values become [0, 1] when they are read: ``"minmax"`` of each image, or ``"full"`` range of the
        type.
    pattern:
        Which files, as :func:`glob.glob` reads it; ``**`` stands for any folders.
    cache:
        The folder of caches; by default ``$ALKIT_CACHE``, else ``$XDG_CACHE_HOME/alkit``, else
        ``~/.cache/alkit``. It holds uncompressed images at the working size.
    report:
        Told of each image decoded, as stage ``read``.

    Raises
    ------
    DataError
        No such folder, no image in it, or two images with one id.
    ImageError
        Images that cannot be decoded (the others are, and stay so), that are transparent in places, have
        several frames, 16 bits in colour or 32 bits, or that do not fit together. The message names the file.
    StoreError
        The cache cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (60, 40), "navy").save(f"{folder}/a.png")
    ...     pool = ImagePool(folder, size=32, grayscale=True, cache=f"{folder}/cache")
    ...     pool.ids, pool.read(["a"]).shape, pool.sizes(["a"])
    (('a',), (1, 1, 32, 32), [((40, 60), (32, 32))])
    """

    path: str | Path
    size: int | Size | None = None
    grayscale: bool = False
    scale: Scale = "minmax"
    pattern: str = "**/*"
    cache: str | Path | None = runtime(None)
    report: InitVar[Report] = quiet
    ids: Sequence[str] = field(init=False, repr=False, compare=False)
    _kept: imagecache.Rows = field(init=False, repr=False, compare=False)
    _names: Sequence[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self, report: Report) -> None:
        _check_scale(self.scale)
        size, folder = _pair(self.size), Path(self.path).expanduser()
        files = imagecache.scan(folder, self.pattern)
        kept = imagecache.cached(
            folder,
            files,
            size=size,
            grayscale=self.grayscale,
            pattern=self.pattern,
            root=cache_folder(self.cache),
            report=report,
        )
        rows = {id: row for row, id in enumerate(files)}
        # The absolute path, so that a record that names it can be opened from any folder.
        vars(self).update(
            path=str(folder.absolute()), size=size, ids=tuple(files), shape=kept.shape, _rows=rows, _kept=kept
        )
        vars(self).update(_names=tuple(file.name for file in files.values()))

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        return self._kept.read(rows)

    def _pixel_digest(self, row: int) -> str:
        return self._kept.entries[row].digest

    def _sizes(self, row: int) -> tuple[Size, ...]:
        entry = self._kept.entries[row]
        return tuple(dict.fromkeys([(entry.height, entry.width), self.shape[1:]]))

    def _file(self, row: int) -> Path | None:
        return Path(self.path, self._names[row])


class ArrayPool(_Pool):
    """Images that are arrays already. They are kept by reference, so memory-mapped ones stay on disk.

    Parameters
    ----------
    images:
        One array ``(n, h, w)`` or ``(n, c, h, w)``, or a mapping from id to ``(h, w)`` or ``(c, h, w)``, all
        of one shape and type: uint8, uint16, or floats in [0, 1].
    ids:
        Their ids. By default the positions, ``"0000"`` and so on, or the keys of the mapping.
    scale:
        How values become [0, 1] when they are read: ``"full"`` range of the type, or ``"minmax"`` of each
        image.

    Raises
    ------
    DataError
        Ids that are no different strings or not as many as images; images of another shape or type, or out of
        range.

    Examples
    --------
    >>> pool = ArrayPool(np.full((3, 8, 8), 51, np.uint8))
    >>> images = pool.read(["0002"])
    >>> images.shape, round(float(images.max()), 3)
    ((1, 1, 8, 8), 0.2)
    """

    def __init__(
        self,
        images: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
        ids: Iterable[str] | None = None,
        scale: Scale = "full",
    ) -> None:
        _check_scale(scale)
        self.scale = scale
        self._kept: Pixels | list[Pixels]
        if isinstance(images, Mapping):
            self.ids = _different(images if ids is None else ids)
            if missing := [id for id in self.ids if id not in images]:
                raise DataError("some ids have no image", got=missing[:8], expected="keys of the mapping")
            self._kept = [_planes(images[id], id) for id in self.ids]
        else:
            images = np.asarray(images)
            if images.ndim not in (3, 4):
                raise DataError(
                    "these are no images", got=f"shape {images.shape}", expected="(n, h, w) or (n, c, h, w)"
                )
            width = max(4, len(str(len(images) - 1)))
            self.ids = _different((f"{n:0{width}}" for n in range(len(images))) if ids is None else ids)
            self._kept = images if images.ndim == 4 else images[:, None]
        _check_count(self.ids, self._kept)
        self._first = _planes(self._kept[0], self.ids[0])
        self.shape = _shape(self._first)
        self._rows = {id: row for row, id in enumerate(self.ids)}
        for id, image in zip(self.ids, self._kept, strict=True):
            _check_alike(image, self._first, id, self.ids[0])
            _check_range(image, id)

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        if not isinstance(self._kept, list):
            return self._kept[np.asarray(rows, np.intp)]
        return np.array([self._kept[row] for row in rows], self._first.dtype).reshape(-1, *self.shape)


class Items(Protocol):
    """A torch map-style dataset, or a list."""

    def __getitem__(self, index: int, /) -> Any:
        """Return one item."""

    def __len__(self) -> int:
        """Return how many there are."""


@dataclass(frozen=True, eq=False)
class DatasetPool(_Pool):
    """The images of a torch map-style dataset, read when they are asked for.

    Parameters
    ----------
    dataset:
        Its items are images, or tuples that begin with one: a tensor or array, ``(h, w)`` or ``(c, h, w)``,
        all of one shape and type: uint8, uint16, or floats in [0, 1]. An item must be the same each time: no
        augmentation.
    ids:
        One for each item, in the order of the dataset.
    scale:
        How values become [0, 1] when they are read: ``"full"`` range of the type, or ``"minmax"`` of each
        image.

    Raises
    ------
    DataError
        Ids that are no different strings or not as many as items; and, when it is read, an image of another
        shape or type than the first, or out of range.

    Examples
    --------
    >>> import torch
    >>> dataset = torch.utils.data.TensorDataset(torch.rand(3, 1, 8, 8), torch.zeros(3))
    >>> DatasetPool(dataset, ids=["a", "b", "c"]).read(["c", "a"]).shape
    (2, 1, 8, 8)
    """

    dataset: Items
    ids: Sequence[str]
    scale: Scale = "full"
    _first: Pixels = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_scale(self.scale)
        ids = _different(self.ids)
        _check_count(ids, self.dataset)
        vars(self).update(ids=ids, _rows={id: row for row, id in enumerate(ids)})
        vars(self).update(_first=self._image(0))
        vars(self).update(shape=_shape(self._first))

    def _image(self, row: int) -> Pixels:
        item = self.dataset[row]
        image = _planes(item[0] if isinstance(item, tuple | list) else item, self.ids[row])
        _check_range(image, self.ids[row])
        return image

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        images = np.empty((len(rows), *self.shape), self._first.dtype)
        for place, row in enumerate(rows):
            image = self._image(row)
            _check_alike(image, self._first, self.ids[row], self.ids[0])
            images[place] = image
        return images


def _check_scale(scale: str) -> None:
    if scale not in get_args(Scale):
        raise ConfigurationError("there is no such scale", got=repr(scale), expected=" or ".join(get_args(Scale)))


def _pair(size: int | Sequence[int] | None) -> Size | None:
    """Return `size` as (height, width)."""
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ConfigurationError("this is no size", got=size, expected="pixels, or (height, width) in pixels")
    return pair


def _different(ids: Iterable[str]) -> tuple[str, ...]:
    """Return `ids` as a tuple, after checking that they are different strings."""
    if isinstance(ids, str):
        raise DataError("ids is one string", got=repr(ids), expected="a sequence of strings")
    known: dict[str, None] = {}
    for id in ids:
        if not isinstance(id, str):
            raise DataError("an id is no string", got=f"{id!r} of type {type(id).__name__}", hint="str(...)")
        if id in known:
            raise DataError("two images have one id", got=repr(id), expected="different ids")
        known[id] = None
    return tuple(known)


def _check_count(ids: Sequence[str], images: Items) -> None:
    if len(ids) != len(images):
        raise DataError("ids and images differ in number", got=f"{len(ids)} ids, {len(images)} images")
    if not ids:
        raise DataError("there are no images", got="0", expected="at least one")


def _planes(image: Any, id: str) -> Pixels:
    """Return an image, tensor or array, as ``(c, h, w)``, after checking its shape and type."""
    array = np.asarray(image)
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(f"{id!r} is no image", got=f"shape {array.shape}", expected="(h, w) or (c, h, w)")
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.shape[0] > 4:
        raise DataError(
            f"the channels of {id!r} come last",
            got=f"shape {array.shape}",
            expected="(c, h, w)",
            hint="image.transpose(2, 0, 1)",
        )
    if array.dtype not in (np.uint8, np.uint16) and not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"{id!r} is of the wrong type", got=array.dtype, expected="uint8, uint16, or floats in [0, 1]")
    return array if array.ndim == 3 else array[None]


def _shape(image: Pixels) -> tuple[int, int, int]:
    channels, height, width = image.shape
    return channels, height, width


def _check_alike(image: Pixels, first: Pixels, id: str, first_id: str) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        raise DataError(
            "the images differ in shape or type",
            got=f"{first_id!r} {first.shape} {first.dtype}, {id!r} {image.shape} {image.dtype}",
            hint="resize them first",
        )


def _check_range(image: Pixels, id: str) -> None:
    """Refuse floats outside [0, 1], not-a-number among them."""
    if np.issubdtype(image.dtype, np.floating):
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= 1):
            raise DataError(
                f"the values of {id!r} are out of range",
                got=f"{low} to {high}",
                expected="0 to 1",
                hint="divide by the greatest value there can be",
            )
