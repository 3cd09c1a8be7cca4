"""Send answers back, and withdraw queries. Only the record is needed, not the images."""

from __future__ import annotations

from alkit.errors import ConfigurationError, QueryError
from alkit.record.columns import storable_text
from alkit.record.store import Store
from alkit.values.queries import Query


def reject(store: Store, id: str, reason: str, annotator: str | None = None) -> None:
    """Send an image's answers back: see :meth:`alkit.Experiment.reject`."""
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigurationError(
            "reason must say what is wrong with the answer, because the annotator sees this text", got=repr(reason)
        )
    known = store.snapshot().known.get(id)
    back = [answer for answer in known.counted if annotator in (None, answer.annotator)] if known else []
    if not back:
        whose = "" if annotator is None else f" of {annotator!r}"
        raise QueryError(
            f"{id!r} has no answer{whose} to send back", hint="alkit status --json, which lists the ids and annotators"
        )
    store.reject([answer.number for answer in back], storable_text(reason))


def withdraw(store: Store) -> tuple[Query, ...]:
    """Close the open queries and return them: see :meth:`alkit.Experiment.withdraw`."""
    queries = tuple(entry.query for entry in store.snapshot().open)
    store.withdraw([query.id for query in queries])
    return queries
