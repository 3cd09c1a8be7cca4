"""Send answers back, and withdraw queries. Only the record is needed, not the images."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from alkit.arguments.checked import check_argument
from alkit.errors import ConfigurationError, QueryError, nearest, one_line
from alkit.record.assigning import changed_since, due_of, time_now
from alkit.record.people import recorded_people
from alkit.record.snapshot import Snapshot
from alkit.record.store import Store
from alkit.values.queries import Query


def reject(store: Store, id: str, reason: str, annotator: str | None = None) -> None:
    """Send an image's answers back: see :meth:`alkit.Experiment.reject`."""
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigurationError(
            "reason must say what is wrong with the answer, because the annotator sees this text", got=repr(reason)
        )
    reason, done = one_line(reason), False
    while not done:
        snapshot = store.snapshot()
        known = snapshot.known.get(id)
        back = [answer for answer in known.counted if annotator in (None, answer.annotator)] if known else []
        if not back:
            own = [answer for answer in snapshot.answers if answer.id == id and annotator in (None, answer.annotator)]
            if any(answer.rejected == reason for answer in own):
                return  # the same call was killed, or reported an error, after its change was written
            whose = "" if annotator is None else f" of {annotator!r}"
            raise QueryError(
                f"{id!r} has no answer{whose} to send back",
                hint="Experiment.answers(), which lists the ids and annotators",
            )
        # First, because a call that is made again after it was killed stops above. Others may write between the two.
        done = _give_time(store, snapshot, id) and store.reject([answer.number for answer in back], reason) > 0


def _give_time(store: Store, snapshot: Snapshot, id: str) -> bool:
    """Give the people of an image the usual time, if it has a deadline; return False if the record has changed."""
    queries = [entry.query for entry in snapshot.asked if entry.query.id == id and not entry.is_review]
    due = due_of(recorded_people(store), time_now(store))
    if not queries or queries[-1].due is None or due is None:
        return True
    return store.revise_queries([replace(queries[-1], due=due)], unless=changed_since(store, snapshot))


def withdraw(store: Store, ids: Collection[str] | None = None) -> tuple[Query, ...]:
    """Close open queries, or reviews that are named, and return them: see :meth:`alkit.Experiment.withdraw`."""
    snapshot = store.snapshot()
    still_open = {entry.query.id: entry.query for entry in snapshot.open}
    reviewed = {entry.query.id: entry.query for entry in snapshot.open_reviews}
    if isinstance(ids, str):
        raise ConfigurationError("ids must be a list of ids", got=repr(ids), hint=f"withdraw([{ids!r}])")
    check_argument("ids", ids, Collection[str] | None)
    named = set(ids or ())
    if others := [id for id in ids or () if id not in still_open and id not in reviewed]:
        raise QueryError(
            f"{others[0]!r} has no open query",
            hint=nearest(others[0], {**still_open, **reviewed}) if still_open or reviewed else None,
        )
    queries = tuple(query for id, query in still_open.items() if ids is None or id in named)
    reviews = tuple(query for id, query in reviewed.items() if id in named and id not in still_open)
    store.withdraw([query.id for query in queries], reviews=[query.id for query in reviews])
    return (*queries, *reviews)
