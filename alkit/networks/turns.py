"""One thread at a time: passes over images switch a network's mode and hang hooks into it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

_turns: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_making = threading.Lock()


@contextmanager
def alone_with(network: nn.Module) -> Iterator[None]:
    """Let other threads that ask for the same network wait until the end of a ``with`` block; it may be nested."""
    with _making:
        turn = _turns.setdefault(network, threading.RLock())
    with turn:
        yield


def _forget() -> None:
    """Forget what other threads held before a fork: they are not in this process."""
    global _making
    _turns.clear()
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)
