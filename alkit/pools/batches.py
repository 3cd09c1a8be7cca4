"""Batches of images that fit in memory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from alkit.errors import ConfigurationError, is_out_of_memory
from alkit.protocols import Pool

log = logging.getLogger(__name__)

R = TypeVar("R")


def batches(ids: Sequence[str], pool: Pool, at_once: int | None = None) -> Iterator[Sequence[str]]:
    """Yield `ids` in batches of about a million pixels and at most `at_once` images (default: 64)."""
    size = batch_size(ids, pool, at_once)
    for begin in range(0, len(ids), size):
        yield ids[begin : begin + size]


def map_batches(
    work: Callable[[Sequence[str]], R],
    ids: Sequence[str],
    pool: Pool,
    at_once: int | None = None,
    sufficed: list[int] | None = None,
) -> Iterator[tuple[Sequence[str], R]]:
    """Yield batches of `ids`, as :func:`batches` divides them, with the results of `work`.

    If the memory of the device does not suffice for a batch, the size of this batch and of later ones is halved.
    The result of an image must not depend on the other images of its batch. The smaller size is appended to `sufficed`,
    and later calls with the same list begin with it.

    Raises
    ------
    ConfigurationError
        The memory of the device does not suffice for one image.
    """
    size, begin = batch_size(ids, pool, at_once), 0
    if sufficed:
        size = min(size, sufficed[-1])
    while begin < len(ids):
        some = ids[begin : begin + size]
        try:
            result = work(some)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(some) == 1:
                raise ConfigurationError(
                    "the device must have enough memory for one image",
                    got=error,
                    hint="a smaller size=, or device='cpu'",
                ) from error
            size = len(some) // 2
            if sufficed is not None:
                sufficed.append(size)
        else:
            yield some, result
            begin += len(some)
            continue
        # After the except clause, whose error keeps the tensors of the failed batch alive.
        _release_memory()
        log.warning("the memory of the device does not suffice for %d images at once; trying %d", len(some), size)


def _release_memory() -> None:
    """Return the memory that torch keeps for later tensors to the device."""
    torch = sys.modules["torch"]
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def batch_size(ids: Sequence[str], pool: Pool, at_once: int | None) -> int:
    """Return the number of images in a batch.

    It depends on the shape of the images and on the model alone, so that a batch is the same wherever it is computed.
    """
    height, width = pool.read(ids[:1]).shape[-2:] if ids else (1, 1)
    size: int = max(1, min(2**20 // (height * width), at_once or 64))
    return size
