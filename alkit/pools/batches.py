"""Batches of images that fit in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from alkit._logs import logger
from alkit.errors import ConfigurationError, is_of_machine, is_out_of_memory
from alkit.protocols import Pool
from alkit.values.label_spec import size_text

log = logger(__name__)

T = TypeVar("T")
R = TypeVar("R")


def batches(ids: Sequence[str], pool: Pool, at_once: int | None = None) -> Iterator[Sequence[str]]:
    """Yield `ids` in batches of about a million pixels and at most `at_once` images (default: 64)."""
    size = batch_size(ids, pool, at_once)
    for begin in range(0, len(ids), size):
        yield ids[begin : begin + size]


def map_batches(
    work: Callable[[Sequence[str]], R], ids: Sequence[str], pool: Pool, at_once: int | None = None
) -> Iterator[tuple[Sequence[str], R]]:
    """Yield batches of `ids`, as :func:`batches` divides them, with the results of `work`. See :func:`map_fitting`."""
    return map_fitting(work, ids, batch_size(ids, pool, at_once), size_of=lambda: pool.read(ids[:1]).shape[-2:])


def map_fitting(
    work: Callable[[Sequence[T]], R],
    items: Sequence[T],
    most: int,
    sufficed: list[int] | None = None,
    size_of: Callable[[], Sequence[int]] = tuple,
) -> Iterator[tuple[Sequence[T], R]]:
    """Yield batches of at most so many items, such as ids of images, with the results of `work`.

    If the memory does not suffice for a batch, the size of this batch and of later ones is halved. The result of an
    item must not depend on the other items of its batch. The smaller size is appended to `sufficed`, and later calls
    with the same list begin with it.

    Parameters
    ----------
    size_of:
        Returns the height and width of an image, for the message of an error.

    Raises
    ------
    ConfigurationError
        The memory does not suffice for one item.
    """
    sufficed, begin = [] if sufficed is None else sufficed, 0
    while begin < len(items):
        some = items[begin : begin + min([most, *sufficed[-1:]])]
        try:
            result = work(some)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(some) == 1:
                size: Sequence[int] = ()
                with suppress(Exception):  # the image may not fit either
                    size = size_of()
                raise too_large(error, size) from error
            sufficed.append(len(some) // 2)
        else:
            yield some, result
            begin += len(some)
            continue
        # After the except clause, whose error keeps the tensors of the failed batch alive.
        _release_memory()
        log.warning("the memory does not suffice for %d images at once; trying %d", len(some), sufficed[-1])


def too_large(error: BaseException, size: Sequence[int] = ()) -> ConfigurationError:
    """Return the error that one image, of some height and width, needs more memory than there is.

    >>> print(too_large(MemoryError("9 GiB are too much"), (4096, 8192)))  # doctest: +ELLIPSIS
    the machine must have enough memory for one image of 8192 x 4096 pixels: got 9 GiB are too much. Try: a smaller...
    """
    where, way = "device", "device='cpu'"
    if is_of_machine(error):
        where, way = "machine", "tile=512, which cuts images into tiles"
    return ConfigurationError(
        f"the {where} must have enough memory for one image{f' of {size_text(size)}' if size else ''}",
        got=str(error).strip() or type(error).__name__,
        hint=f"a smaller size=, or {way}",
    )


def _release_memory() -> None:
    """Return the memory that torch keeps for later tensors to the device."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def batch_size(ids: Sequence[str], pool: Pool, at_once: int | None) -> int:
    """Return the number of images in a batch.

    It depends on the shape of the images and on the model alone, so that a batch is the same wherever it is computed.
    """
    height, width = pool.read(ids[:1]).shape[-2:] if ids else (1, 1)
    size: int = max(1, min(2**20 // (height * width), at_once or 64))
    return size
