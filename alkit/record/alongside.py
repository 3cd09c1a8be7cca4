"""What a command records together with the settings of its experiment: all of it, or nothing if it is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from alkit.record.store import Store

_works: ContextVar[Callable[[Store], None] | None] = ContextVar("_works", default=None)


@contextmanager
def alongside(work: Callable[[Store], None]) -> Iterator[None]:
    """Let an experiment that is made inside the block call a function with its record, after it has its settings."""
    token = _works.set(work)
    try:
        yield
    finally:
        _works.reset(token)


def work_alongside() -> Callable[[Store], None] | None:
    """Return this function; None outside such a block."""
    return _works.get()
