"""The audit set: draw it, mix it into the queries, and keep it and what belongs to it away from the training.

The images are a simple random sample, without replacement, of the images that the rules allow and that no model was
trained on. Whole groups would be a sample, too, but of few groups if these are large. So images are drawn, and the rest
of their groups is neither asked nor trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.experiment.holding_out import near_duplicates
from alkit.experiment.parts import Parts, next_round
from alkit.record.audit import AUDIT, AuditSet, audit_from, recorded_audit
from alkit.record.changing import dated
from alkit.record.reviewed import facts_of_reviews
from alkit.record.reviews import asked_again, place_of
from alkit.record.store import Store
from alkit.values.queries import Query
from alkit.values.shown import count

SHARE = 0.4
"""Greatest share of audit images among the queries, until all of them were asked. Most of a batch is still chosen."""

MOST_COMPARED = 4000
"""Pools of at most so many images are searched for near-duplicates of the audit set before the first query."""


FEW = 5
"""Number of images that a sentence names."""


def size_of_audit(store: Store) -> int:
    """Return the number of images in the audit set of a record."""
    return len(recorded_audit(store).ids)


def settle_audit(parts: Parts, wanted: int) -> None:
    """Draw the audit set of an experiment, or add images to it.

    Until the first query, another number draws it again. Afterwards its images stay, and more may be added.

    Raises
    ------
    ConfigurationError
        `wanted` is not an integer >= 0, is less than the number of images drawn, or leaves too few images.
    """
    wanted, store = check_integer("audit", wanted, least=0), parts.store
    if store.read_only or _is_settled(parts, wanted):
        return
    with store.exclusive():  # what was trained on must not change between the draw and its record
        parts.settings.agreed.check()
        if not _is_settled(parts, wanted):
            _draw(parts, wanted)


def _is_fixed(parts: Parts, drawn: AuditSet) -> bool:
    """Whether the images that were drawn stay."""
    store = parts.store
    asked = store.has_queries() and parts.representations.known_ids.issuperset(drawn.ids)
    return store.has_answers() or bool(store.rounds()) or asked


def _is_settled(parts: Parts, wanted: int) -> bool:
    """Whether as many images were drawn, and stay."""
    drawn = recorded_audit(parts.store)
    known = len(drawn.ids) if _is_fixed(parts, drawn) else 0 if parts.store.fact(AUDIT) is None else -1
    return wanted == known


def _draw(parts: Parts, wanted: int) -> None:
    """Draw images that are missing, or all of them before the first query. The caller holds the record's lock."""
    store = parts.store
    before = store.fact(AUDIT)
    fixed = _is_fixed(parts, audit_from(before))
    known = audit_from(before) if fixed else audit_from(None)
    if wanted < len(known.ids):
        raise ConfigurationError(
            f"audit must be at least {len(known.ids)}: so many images were drawn, and queries were made since",
            got=wanted,
            hint=f"audit={len(known.ids)}",
        )
    eligible = _eligible(parts, known.ids)
    more = wanted - len(known.ids)
    if wanted > (most := len(known.ids) + len(eligible) // 2):
        raise ConfigurationError(
            f"audit must be at most {most}, half of the images that can be drawn", got=wanted, hint=f"audit={most}"
        )
    draws = list(before["draws"]) if fixed and before is not None else []
    order = parts.stream.child("audit", len(draws)).numpy().permutation(len(eligible))
    ids = [eligible[row] for row in order[:more].tolist()]
    draw = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "round": next_round(store.rounds())}
    draw |= {"of": len(known.ids) + len(eligible), "ids": ids}
    if not fixed and before is not None and [{**old, "at": ""} for old in before["draws"]] == [{**draw, "at": ""}]:
        return
    now = {"draws": [*draws, draw], "near": sorted(known.near), "compared": False} if wanted else None
    lines = [f"audit: recorded {len(known.ids)}, now {wanted}"] if store.has_queries() else []
    store.revise_all({AUDIT: lambda recorded: now, **dated(lines)})


def _eligible(parts: Parts, drawn: Sequence[str]) -> list[str]:
    """Return the images that can be drawn, sorted: the rules allow them, and their group is free of models.

    No model was trained on it, and no model has sent a label of it back in a review.
    """
    snapshot = parts.store.snapshot()
    used = {answer.id for answer in snapshot.answers if answer.number in snapshot.consumed}
    held_out = parts.settings.held_out(sorted(used))
    trained = {id for id in used if not held_out(id)}
    trained.update(id for result in snapshot.rounds for id in parts.store.pseudo_labels(result.round))
    about = facts_of_reviews(parts.store)  # a label that a model sent back may have come to agree with it
    reviews = asked_again(snapshot.asked)
    trained.update(e.query.id for e in reviews if about.get(place_of(e.query), {}).get("why") == "model")
    barred, allowed = set(parts.groups_of(sorted(trained))), parts.allowed()
    taken = set(drawn)
    return [
        id
        for id, group in zip(parts.ids, parts.groups_of(parts.ids), strict=True)
        if id in allowed and group not in barred and id not in taken
    ]


def left_to_ask(parts: Parts) -> list[str]:
    """Return the images of the audit set that nobody was asked for and that have no label, in the order of the draw."""
    drawn = recorded_audit(parts.store).ids
    if not drawn:
        return []
    allowed, queries = parts.allowed(), parts.store.snapshot().queries
    taken = {query.id for query in queries} | parts.known().keys()
    return [id for id in drawn if id not in taken and id in allowed]


def audit_queries(parts: Parts, n: int, candidates: int) -> list[str]:
    """Return the images of the audit set that belong to the next `n` queries, in the order in which they were drawn.

    They are at most :data:`SHARE` of all queries since the last draw, or more if there are too few candidates.

    Parameters
    ----------
    candidates:
        Number of images that the strategy can choose from.
    """
    left = left_to_ask(parts)
    if not left or n < 1:
        return []
    audit = recorded_audit(parts.store)
    since = [query for query in parts.store.snapshot().queries if query.round >= audit.round]
    asked = sum(query.purpose == "audit" for query in since)
    due = math.floor(SHARE * (len(since) + n) + 1e-9) - asked
    fair = max(0, min(due, max(1, n // 2)))
    return left[: max(fair, min(n, n - candidates))]


def mix(chosen: Sequence[str], audit: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return both kinds of images in one order, in which the place of an image says nothing about its kind.

    >>> mix(["a", "b", "c"], ["x"], np.random.default_rng(1))
    ['a', 'x', 'b', 'c']
    """
    n = len(chosen) + len(audit)
    places = set(rng.choice(n, len(audit), replace=False).tolist())
    one, other = iter(chosen), iter(audit)
    return [next(other) if place in places else next(one) for place in range(n)]


def find_near_duplicates(parts: Parts, ids: Sequence[str] | None = None) -> frozenset[str]:
    """Return the near-duplicates of the audit set, after images that were not compared before were; record them.

    Parameters
    ----------
    ids:
        The images to compare. Default: the whole pool, if it is not too large, and only once.
    """
    audit = recorded_audit(parts.store)
    whole = ids is None
    usable = parts.representations.known_ids
    own = [id for id in audit.ids if id in usable]
    if not own or audit.compared or (ids is None and len(parts.ids) > MOST_COMPARED):
        return audit.near
    drawn = audit.near.union(audit.ids)
    others = [id for id in (parts.ids if ids is None else ids) if id not in drawn and id in usable]
    found = [id for id, _ in near_duplicates(parts.pool, others, parts.pool, own)] if others else []
    near = audit.near.union(found)
    if found or whole:

        def after(before: Any) -> Any:
            return {**before, "near": sorted(near), "compared": whole}

        parts.store.revise(AUDIT, after)
    return near


def set_apart(parts: Parts, ids: Sequence[str], notes: list[str]) -> tuple[list[str], Set[str]]:
    """Return those of the labelled images that models are measured on, and all that are not trained on.

    Parameters
    ----------
    ids:
        The labelled images, those with pseudo-labels included.
    notes:
        Gets a sentence if labels are not trained on because their images belong to one of the audit set.
    """
    drawn = set(recorded_audit(parts.store).ids)
    if not drawn:
        return [], frozenset()
    find_near_duplicates(parts, ids)
    apart = parts.apart(ids)
    if beside := [id for id in ids if id in apart and id not in drawn]:
        notes.append(
            f"{count(len(beside), 'label')} not trained on, because the images are in one group with an image of the "
            f"audit set, or nearly identical to one: {', '.join(map(repr, beside[:FEW]))}"
            f"{' ...' if len(beside) > FEW else ''}."
        )
    return [id for id in ids if id in drawn], apart


def blinded(parts: Parts, queries: Sequence[Query]) -> tuple[Query, ...]:
    """Return queries as annotators may see them: nothing tells the audit set from the images that were chosen.

    An image of the audit set has neither a score nor a reason, and may want more annotators. So no query of a round
    with such images shows a score or a reason, and each that is for anybody wants as many annotators as the one that
    wants most. The folder of a person shows one annotator for each.
    """
    audit = set(recorded_audit(parts.store).ids)
    rounds = {query.round for query in parts.store.snapshot().queries if query.id in audit} if audit else set()
    most = max((query.wanted for query in queries if query.round in rounds), default=1)
    return tuple(
        replace(query, score=None, stands_for="", purpose="train", wanted=query.wanted if query.assigned else most)
        if query.round in rounds and query.purpose != "review"
        else query
        for query in queries
    )
