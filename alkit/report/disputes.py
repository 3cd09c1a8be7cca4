"""Disputed images for which one more person is asked."""

from __future__ import annotations

from dataclasses import replace

from alkit.record.disputes import ASKED_MORE, recorded_disputes
from alkit.record.people import recorded_people
from alkit.record.store import Store
from alkit.report.annotators import recorded_agreement
from alkit.values.queries import Query


def ask_about_disputes(store: Store) -> tuple[str, ...]:
    """Ask one more person about each disputed image, if the record says so; return the images.

    Each image is asked about once. Its query is open again, for the senior; or for the person who has a share and has
    not answered, or for anybody.
    """
    disputes = recorded_disputes(store)
    if disputes.decided not in ("third", "senior"):
        return ()
    snapshot = store.snapshot()
    if not any(len(known.labels) > 1 for known in snapshot.known.values()):
        return ()
    queries = {query.id: query for query in snapshot.queries}
    waiting = {entry.query.id for entry in snapshot.open}
    before = set(store.fact(ASKED_MORE) or ())
    changed: list[Query] = []
    for id in recorded_agreement(store, disputes.below).disputed:
        names = {answer.annotator for answer in snapshot.known[id].counted}
        if id in before or id in waiting or id not in queries or disputes.senior in names - {""}:
            continue
        others = [name for name in recorded_people(store).shares if name not in names]
        asked = [disputes.senior] if disputes.senior else others[:1]
        assigned = tuple(dict.fromkeys((*queries[id].assigned, *asked))) if asked else ()
        changed.append(replace(queries[id], wanted=len(names) + 1, assigned=assigned))
    if changed:
        now = sorted(before | {query.id for query in changed})
        store.revise_queries(changed, {ASKED_MORE: lambda former: now})
    return tuple(query.id for query in changed)
