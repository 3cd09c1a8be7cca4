"""A limit on the time of a block, so that a hang is a failure."""

from __future__ import annotations

import signal
from contextlib import contextmanager


@contextmanager
def at_most(seconds):
    """End a block that takes longer, wherever it hangs."""

    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
