"""Checks of ids and of images that come as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from alkit.errors import DataError
from alkit.pools.decoding import Pixels
from alkit.protocols import Pool


def check_pool(pool: Pool) -> None:
    """Check what every use of a pool relies on: ids that are different strings, and at least one.

    Raises
    ------
    DataError
        No ids, or ids that are not such.
    """
    if not unique_ids(pool.ids):
        raise DataError("the pool is empty", got="no ids", expected="at least one image")


class Items(Protocol):
    """A torch map-style dataset, or a list."""

    def __getitem__(self, index: int, /) -> Any:
        """Return one item."""

    def __len__(self) -> int:
        """Return how many there are."""


def unique_ids(ids: Iterable[str]) -> tuple[str, ...]:
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


def check_count(ids: Sequence[str], images: Items) -> None:
    """Raise a :class:`DataError` unless there are as many ids as images, and at least one."""
    if len(ids) != len(images):
        raise DataError("ids and images differ in number", got=f"{len(ids)} ids, {len(images)} images")
    if not ids:
        raise DataError("there are no images", got="0", expected="at least one")


def planes_of(image: Any, id: str) -> Pixels:
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


def shape_of(image: Pixels) -> tuple[int, int, int]:
    """Return the shape of an image as three numbers: channels, height, width."""
    channels, height, width = image.shape
    return channels, height, width


def check_alike(image: Pixels, first: Pixels, id: str, first_id: str) -> None:
    """Raise a :class:`DataError` unless an image has the shape and type of the first."""
    if image.shape != first.shape or image.dtype != first.dtype:
        raise DataError(
            "the images differ in shape or type",
            got=f"{first_id!r} {first.shape} {first.dtype}, {id!r} {image.shape} {image.dtype}",
            hint="resize them first",
        )


def check_range(image: Pixels, id: str) -> None:
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
