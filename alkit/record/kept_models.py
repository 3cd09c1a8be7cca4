"""Models of earlier rounds that a record still has."""

from __future__ import annotations

from alkit.errors import QueryError
from alkit.record.store import Store

KEEP = "keep"
"""Name of the fact that says which models are kept: ``best`` or ``all``; missing: the last one."""


def model_of(record: Store, round: int | None) -> tuple[int, str] | None:
    """Return the number of a round and the file of its model; None if there is no model yet.

    Parameters
    ----------
    round:
        The round; None: the last one.

    Raises
    ------
    QueryError
        The record does not have the model of that round.
    """
    found = record.models()
    if round is None:
        return max(found.items(), default=None)
    if round not in found:
        raise QueryError(
            f"the record {record.path} has no model of round {round}",
            got=f"models of rounds {', '.join(map(str, found))}" if found else "no model",
            hint="keep='all' or keep='best', which keeps models of later rounds, too",
        )
    return round, found[round]
