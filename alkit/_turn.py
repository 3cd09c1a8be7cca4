"""Locks that a forked process finds free."""

from __future__ import annotations

import os
import threading


class Turn:
    """Gives one thread of a process its turn at a time. A thread of the parent process may hold a lock during a fork.

    >>> turn = Turn()
    >>> with turn(), turn():
    ...     pass
    """

    def __init__(self) -> None:
        self._locks: dict[int, threading.RLock] = {}  # by process

    def __call__(self) -> threading.RLock:
        """Return the lock of this process, which a thread may hold several times."""
        return self._locks.setdefault(os.getpid(), threading.RLock())
