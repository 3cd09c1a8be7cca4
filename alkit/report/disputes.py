"""Disputed images for which one more person is asked."""

from __future__ import annotations

from dataclasses import replace

from alkit.record.assigning import changed_since, due_of, time_now
from alkit.record.disputes import ASKED_MORE, recorded_disputes
from alkit.record.people import recorded_people
from alkit.record.snapshot import Snapshot
from alkit.record.store import RemovedMeanwhileError, Store
from alkit.report.annotators import recorded_agreement
from alkit.values.queries import Query

ASKING = ("third", "senior")
"""Choices by which one more person is asked."""


def ask_about_disputes(store: Store) -> tuple[str, ...]:
    """Ask one more person about each disputed image, if the record says so; return the images.

    Each image is asked about once, and once more if a senior decides since then. Its query is open again, for the
    senior; or for the person who has a share and has not answered, or for anybody. They get the usual time. The senior
    takes the place of the person who was asked as the one more and has not answered.
    """
    if recorded_disputes(store).decided not in ASKING:
        return ()
    while True:
        try:
            with store.moment():
                snapshot = store.snapshot()
                changed, told = _one_more(store, snapshot)
        except RemovedMeanwhileError:
            continue
        if not changed:
            return ()
        facts = {ASKED_MORE: lambda former, told=told: told}
        if store.revise_queries(changed, facts, unless=changed_since(store, snapshot)):
            return tuple(query.id for query in changed)


def _one_more(store: Store, snapshot: Snapshot) -> tuple[list[Query], list[str]]:
    """Return the queries of images about which one more person is asked now, and the images that were ever asked so."""
    disputes = recorded_disputes(store)
    if disputes.decided not in ASKING:
        return [], []
    if not any(len(known.labels) > 1 for known in snapshot.known.values()):
        return [], []
    queries = {query.id: query for query in snapshot.queries}
    waiting = {entry.query.id for entry in snapshot.open}
    before = set(store.fact(ASKED_MORE) or ())
    people, now, senior = recorded_people(store), time_now(store), disputes.senior
    changed: list[Query] = []
    for id in recorded_agreement(store, disputes.below).disputed:
        if id not in queries or (id in waiting and not (senior and id in before)):
            continue
        names = {answer.annotator for answer in snapshot.known[id].counted}
        query = queries[id]
        if senior in {*names, *query.assigned} if senior else id in before:
            continue
        asked = [senior] if senior else [name for name in people.shares if name not in names][:1]
        assigned = (*(name for name in query.assigned if name in names), *asked) if asked else ()
        due = due_of(people, now) or query.due
        changed.append(replace(query, wanted=len(names) + 1, assigned=assigned, due=due))
    return changed, sorted(before | {query.id for query in changed})
