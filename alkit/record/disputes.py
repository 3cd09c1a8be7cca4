"""What a record says about disputed images."""

from __future__ import annotations

from dataclasses import asdict

from alkit.record.changing import DISPUTES, dated
from alkit.record.store import Store
from alkit.values.disputes import Disputes

ASKED_MORE = "asked_more"
"""Name of the fact that lists the images about which one more person was asked."""


def recorded_disputes(store: Store) -> Disputes:
    """Return what becomes of disputed images."""
    fact = store.fact(DISPUTES)
    return Disputes() if fact is None else Disputes(**fact)


def change_disputes(store: Store, disputes: Disputes) -> list[str]:
    """Record what becomes of disputed images from now on; return a line for each value that differs.

    If labels were given already, the record keeps the date of the change.
    """
    with store.exclusive():  # a training goes by them from its beginning to its end
        before = asdict(recorded_disputes(store))
        after = asdict(disputes)
        lines = [
            f"disputes.{name}: recorded {before[name]!r}, now {after[name]!r}"
            for name in after
            if before[name] != after[name]
        ]
        if lines:
            fact = after if disputes != Disputes() else None
            store.revise_all({DISPUTES: lambda former: fact, **dated(lines if store.has_answers() else ())})
    return lines
