"""One thread at a time: passes over images switch a network's mode and hang hooks into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

from alkit._turn import Turn

_turns: WeakKeyDictionary[nn.Module, Turn] = WeakKeyDictionary()
_making = Turn()


@contextmanager
def alone_with(network: nn.Module) -> Iterator[None]:
    """Let other threads that ask for the same network wait until the end of a ``with`` block; it may be nested."""
    with _making():
        turn = _turns.setdefault(network, Turn())
    with turn():
        yield
