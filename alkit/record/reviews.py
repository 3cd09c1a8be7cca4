"""Reviews: queries that ask again for an image that has a label.

A review is a query with the purpose ``review``. It is closed by an answer that was given to it, also by one that equals
an earlier answer: the answer's row names the query. Reviews are no part of the states of other queries, and no training
waits for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from alkit.record.states import Answered, Asked, Recorded
from alkit.values.queries import Query

Why = Literal["model", "disputed", "random"]
"""Why an image is asked again: a model disagrees with its label, its annotators disagree, or it was drawn at random."""


def place_of(query: Query) -> str:
    """Return the round and the rank of a query, as its key begins.

    >>> place_of(Query("ward 3/0017", round=2, rank=4, sizes=((64, 64),)))
    'r02-0004'
    """
    return f"r{query.round:02}-{query.rank:04}"


def asked_again(asked: Iterable[Asked]) -> list[Asked]:
    """Return the reviews that were not withdrawn."""
    return [entry for entry in asked if entry.is_review and not entry.withdrawn]


def find_open_reviews(asked: Iterable[Asked], answers: Iterable[Recorded]) -> tuple[Asked, ...]:
    """Return the reviews that lack an answer, in the order of `asked`."""
    if not (reviews := asked_again(asked)):
        return ()
    given = answers_to_reviews(reviews, answers)
    return tuple(
        entry
        for entry in reviews
        if len({answer.annotator for answer in given[place_of(entry.query)]}) < entry.query.wanted
    )


def answers_to_reviews(reviews: Iterable[Asked], answers: Iterable[Recorded]) -> dict[str, list[Recorded]]:
    """Return by the place of each review the answers to it that count, in the order of recording."""
    found: dict[str, list[Recorded]] = {place_of(entry.query): [] for entry in reviews}
    for answer in answers:
        if answer.query in found and answer.counts:
            found[answer.query].append(answer)
    return found


def answered_review(
    answer_key: str, annotator: str, asked: Sequence[Asked], answers: Sequence[Recorded]
) -> Asked | None:
    """Return the open review of an image that somebody's answer is for; None if it is for another query.

    Parameters
    ----------
    answer_key:
        Key of the query that the answer names; empty if it names none.
    annotator:
        Who gives the answer.
    asked, answers:
        The queries of the image, and its answers so far.
    """
    reviews = find_open_reviews(asked, answers)
    given = answers_to_reviews(reviews, answers)
    for entry in reviews:
        query = entry.query
        by_others = annotator not in {answer.annotator for answer in given[place_of(query)]}
        asks = not query.assigned or annotator in query.assigned
        if by_others and asks and (not answer_key or answer_key in query.keys):
            return entry
    return None


def decided_by_review(
    asked: Iterable[Asked], answers: Iterable[Recorded], known: Mapping[str, Answered]
) -> dict[str, Recorded]:
    """Return by image the label that its last review gave: it counts alone, until somebody gives another label.

    A label that its annotator had given before the review, and that is read again, is not another one.

    Parameters
    ----------
    known:
        By id the answers that count.
    """
    places: dict[str, set[str]] = {}
    for entry in asked_again(asked):
        places.setdefault(entry.query.id, set()).add(place_of(entry.query))
    if not places:
        return {}
    last: dict[str, Recorded] = {}
    given: dict[tuple[str, str], set[str | None]] = {}  # by image and annotator the labels before the review
    new: set[str] = set()
    for answer in answers:
        if answer.id not in places or answer.kind != "label":
            continue
        own = given.setdefault((answer.id, answer.annotator), set())
        if answer.query in places[answer.id]:
            last[answer.id] = answer
            new.discard(answer.id)
        elif answer.label not in own:
            new.add(answer.id)
        own.add(answer.label)
    found: dict[str, Recorded] = {}
    for id, answer in last.items():
        current = [other for other in (known[id].labels if id in known else ()) if other.annotator == answer.annotator]
        if current and current[0].label == answer.label and id not in new:
            found[id] = current[0]
    return found
