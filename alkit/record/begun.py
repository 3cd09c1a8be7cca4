"""Whether the call that creates a record has come to its end.

It records the settings first, then groups, rules, people and others, each for itself. A record whose creation was
killed lacks some of them, and would be a campaign with other rules. So it says that it was begun until the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from alkit.errors import StoreError
from alkit.record.facts import CREATORS
from alkit.record.store import Store

BEGUN = "begun"
"""Name of the fact that names the call that creates a record, until it has recorded everything."""

CALL = CREATORS[0]
"""What creates a record in Python."""

_call = ContextVar("_call", default=CALL)


@contextmanager
def created_by(call: str) -> Iterator[None]:
    """Let a call create the record that is begun inside the block; it says so when it has :func:`finished`."""
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)


def creator() -> str:
    """Return the call that creates a record now."""
    return _call.get()


def finished(store: Store, call: str = CALL) -> None:
    """Record that a call has recorded everything that it records; one in Python lacks what a command records."""
    told = store.fact(BEGUN)
    if told is not None and (call != CALL or told == CALL) and not store.read_only:
        store.revise(BEGUN, lambda before: None)


def is_created(store: Store) -> bool:
    """Return whether a record has settings, and everything else that the call which created it records."""
    return store.fact("configuration") is not None and store.fact(BEGUN) is None


def check_begun(store: Store) -> None:
    """Check that a record has everything that the call which creates it records.

    Raises
    ------
    StoreError
        The call was killed, or goes on.
    """
    if (call := store.fact(BEGUN)) is not None:
        raise StoreError(
            f"{store.path} is being created, or its creation was interrupted, so it may lack rules and other settings",
            got=f"a record begun by {call}",
            hint="the same call again, which completes it (if it ended in an error, first correct what that names)",
        )
