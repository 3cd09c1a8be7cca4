"""Decode several files at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def map_in_threads(function: Callable[[T], U], items: Iterable[T]) -> Generator[U]:
    """Yield the results in the order of `items`; at most two items per thread are processed ahead.

    >>> list(map_in_threads(abs, [-1, 2]))
    [1, 2]
    """
    import joblib

    threads = min(8, joblib.cpu_count())
    with ThreadPoolExecutor(threads) as executor:
        remaining = iter(items)
        ahead = deque(executor.submit(function, item) for item in islice(remaining, 2 * threads))
        try:
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(executor.submit(function, item) for item in islice(remaining, 1))
        finally:
            executor.shutdown(cancel_futures=True)
