"""Checks of pools and of images given as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alkit.arguments.arrays import array_of
from alkit.arguments.returned import check_returned
from alkit.errors import DataError
from alkit.pools.channels import Channels, find_channels
from alkit.pools.decoding import Pixels
from alkit.pools.index import DTYPES
from alkit.protocols import HasStored, Pool
from alkit.values.ids import check_ids
from alkit.values.label_spec import size_text

BLOCK = 2**22
"""Bytes of images that are checked at once."""


def check_pool(pool: Pool, name: str = "pool") -> None:
    """Check that an argument is a pool with at least one image, and that its ids are distinct strings.

    Parameters
    ----------
    pool:
        The argument.
    name:
        Its name, for the message.

    Raises
    ------
    DataError
        It is not a pool, it has no image, or its ids are not distinct strings.
    """
    if isinstance(pool, type) or not hasattr(pool, "ids"):
        raise _not_a_pool(pool, name)
    if not check_ids(pool.ids):
        raise DataError(f"{name} must contain at least one image", got="no ids")
    if not hasattr(pool, "read"):
        raise _not_a_pool(pool, name)


def image_shape(pool: Pool) -> tuple[int, int, int]:
    """Return the channels, height and width of a pool's images, after a check of the form of the first image.

    Raises
    ------
    DataError
        The pool returned something else than an array ``(n, c, h, w)``.
    """
    images = pool.read(list(pool.ids)[:1])
    check_returned(pool, "read", images, npt.NDArray[Any], DataError)
    if images.ndim != 4 or len(images) != 1:
        raise DataError(
            f"{type(pool).__name__}.read must return an array (n, channels, height, width), one entry for each id",
            got=f"shape {images.shape} for 1 id",
        )
    return shape_of(images[0])


def _not_a_pool(thing: object, name: str) -> DataError:
    if isinstance(thing, str | os.PathLike):
        got, hint = repr(os.fspath(thing)), f"alkit.ImagePool({os.fspath(thing)!r})"
    else:
        got = f"the class {thing.__name__}" if isinstance(thing, type) else f"an object of type {type(thing).__name__}"
        hint = "alkit.ArrayPool(images)" if isinstance(thing, np.ndarray | list | tuple) else ""
    return DataError(f"{name} must be a pool, an object with ids and a method read(ids)", got=got, hint=hint or None)


class Items(Protocol):
    """A torch map-style dataset, or a list."""

    def __getitem__(self, index: int, /) -> Any:
        """Return one item."""

    def __len__(self) -> int:
        """Return the number of items."""


def check_count(ids: Sequence[str], images: Items) -> None:
    """Check that there are as many ids as images, and at least one image.

    Raises
    ------
    DataError
        The numbers differ, or there are no images.
    """
    if len(ids) != len(images):
        raise DataError("ids and images must have the same length", got=f"{len(ids)} ids, {len(images)} images")
    if not ids:
        raise DataError("images must contain at least one image", got="none")


def as_planes(image: Any, id: str, channels: Channels | None = None) -> Pixels:
    """Return an image, tensor or array, as ``(c, h, w)``, after a check of its shape and type.

    Parameters
    ----------
    image:
        ``(h, w)``, ``(c, h, w)`` or ``(h, w, c)``.
    id:
        The image's id, for messages.
    channels:
        Place of the channel axis; None to find it by :func:`alkit.pools.channels.find_channels`.

    Raises
    ------
    DataError
        The array is not an image, its channel axis is not clear, or it has values of an unknown type.
    """
    array = array_of(image, f"image {id!r}", DataError)
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(f"image {id!r} must have the shape (h, w), (c, h, w) or (h, w, c)", got=array.shape)
    if array.dtype not in (np.uint8, np.uint16) and not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"image {id!r} must have the type uint8, uint16 or floats in [0, 1]", got=array.dtype)
    if array.ndim == 2:
        return array[None]
    return array if find_channels(array.shape, channels) == "first" else np.moveaxis(array, -1, 0)


def shape_of(image: Pixels) -> tuple[int, int, int]:
    """Return the shape of an image as three integers: channels, height, width."""
    channels, height, width = image.shape
    return channels, height, width


def check_alike(image: Pixels, first: Pixels, id: str, first_id: str) -> None:
    """Check that an image has the shape and type of the first image.

    Raises
    ------
    DataError
        It has another shape or type.
    """
    if image.shape != first.shape or image.dtype != first.dtype:
        raise DataError(
            "all images must have the same shape and type",
            got=f"{first_id!r} {first.shape} {first.dtype}, {id!r} {image.shape} {image.dtype}",
            hint="resize them first",
        )


def check_range(image: Pixels, id: str) -> None:
    """Check that floats are in [0, 1].

    Raises
    ------
    DataError
        A value is outside, or not a number.
    """
    if np.issubdtype(image.dtype, np.floating):
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= 1):
            raise DataError(
                f"image {id!r} must have values from 0 to 1",
                got=f"{low} to {high}",
                hint="subtract the lowest value that is possible, and divide by the range"
                if low < 0
                else "divide by the greatest value that is possible",
            )


def check_ranges(images: Pixels, ids: Sequence[str]) -> None:
    """Check that the floats of images ``(n, c, h, w)`` are in [0, 1], in blocks, because they may be on disk.

    Raises
    ------
    DataError
        A value is outside, or not a number. The message names the first image with one.
    """
    if not np.issubdtype(images.dtype, np.floating):
        return
    step = max(1, BLOCK // images[0].nbytes)
    for start in range(0, len(images), step):
        block = images[start : start + step]
        if not (block.min() >= 0 and block.max() <= 1):
            for id, image in zip(ids[start : start + step], block, strict=True):
                check_range(image, id)


def reads_otherwise(pool: Pool, other: Pool, name: str) -> Iterator[str]:
    """Yield a sentence for each difference in how two pools read images: a model of one sees other images in the other.

    Parameters
    ----------
    pool:
        The pool that a model is trained on.
    other:
        A pool that it predicts.
    name:
        The other pool in words.

    Examples
    --------
    >>> from alkit import ArrayPool
    >>> images = np.zeros((2, 8, 8), np.uint8)
    >>> list(reads_otherwise(ArrayPool(images, scale="minmax"), ArrayPool(images), "the test set"))
    ["The images of the test set are scaled by scale='full' and those of the pool by scale='minmax', ..."]
    """
    ours, theirs = _scale_of(pool), _scale_of(other)
    own, stored = (stored_type(one) if ours == theirs == "full" else None for one in (pool, other))
    if ours != theirs and None not in (ours, theirs):
        yield (
            f"The images of {name} are scaled by scale={theirs!r} and those of the pool by scale={ours!r}, so the "
            f"model sees other values than in its training. Try: scale={ours!r}."
        )
    elif own is not None and stored is not None and own != stored:
        yield (
            f"The images of {name} have the type {np.dtype(stored)} and those of the pool have {np.dtype(own)}. "
            "scale='full' divides each by the greatest value of its type, so the model may see other values than in "
            f"its training. Try: images of the type {np.dtype(own)}."
        )
    (_, *size), (_, *found) = image_shape(pool), image_shape(other)
    if size != found:
        yield (
            f"The images of {name} are read at {size_text(found)} pixels and those of the pool at {size_text(size)}, "
            "so the model sees objects of other sizes than in its training. Try: the same size=."
        )


def stored_type(pool: Pool) -> str | None:
    """Return the type of a pool's pixels before they are scaled, by its text in NumPy; None if it is not known.

    It is that of 8 or 16 bits, or of 32-bit floating-point numbers.

    >>> from alkit import ArrayPool
    >>> stored_type(ArrayPool(np.zeros((1, 8, 8), np.uint8)))
    '|u1'
    """
    found = pool.stored(list(pool.ids)[:1]) if isinstance(pool, HasStored) and len(pool.ids) else None
    return None if found is None or found[0].dtype.str not in DTYPES else str(found[0].dtype.str)


def _scale_of(pool: Pool) -> str | None:
    """Return how a pool scales its images; None if it does not say, or if they are numbers that stay as they are."""
    found = pool.stored(list(pool.ids)[:1]) if isinstance(pool, HasStored) else None
    if found is None:
        return None
    pixels, scale = found
    return None if pixels.dtype.kind == "f" and scale == "full" else scale
