"""The page of a campaign that goes on: made again when somebody looks at it, but not more often than it pays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from alkit.pages.campaign import Memory

REST = 5.0
"""Least seconds between two pages."""

SHARE = 10
"""A page that took one second is made again after so many seconds at the earliest."""


class LivePage:
    """The latest page of a campaign. It may be asked for by several threads.

    Parameters
    ----------
    make:
        Makes a page. It gets what earlier pages have made, so that only what has changed takes time.
    clock:
        Seconds, which only grow.
    """

    def __init__(self, make: Callable[[Memory], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._clock = make, clock
        self._memory, self._lock = Memory(), threading.Lock()
        self._page: bytes | None = None
        self._due = float("-inf")

    def html(self) -> bytes:
        """Return the page. While another thread makes it, the former one is returned.

        Raises
        ------
        AlkitError
            The record cannot be read.
        """
        page = self._page
        if page is not None and (self._clock() < self._due or self._lock.locked()):
            return page
        with self._lock:
            if self._page is not None and self._clock() < self._due:
                return self._page  # another thread has just made it
            begun = self._clock()
            self._page = self._make(self._memory)
            self._due = self._clock() + max(REST, SHARE * (self._clock() - begun))
            return self._page
