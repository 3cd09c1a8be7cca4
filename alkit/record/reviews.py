"""Reviews: queries that ask again for an image that has a label.

A review is a query with the purpose ``review``. It is closed by an answer that was given to it, also by one that equals
an earlier answer: the answer's row names the query. So does the row of an answer by which its annotator replaces it.
Reviews are no part of the states of other queries, and no training waits for them.
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


def find_open_reviews(asked: Iterable[Asked], answers: Sequence[Recorded]) -> tuple[Asked, ...]:
    """Return the reviews that lack an answer, in the order of `asked`."""
    if not (reviews := asked_again(asked)):
        return ()
    given = answers_to_reviews(reviews, answers)
    return tuple(
        entry
        for entry in reviews
        if len({answer.annotator for answer in given[place_of(entry.query)]}) < entry.query.wanted
    )


def answers_to_reviews(reviews: Iterable[Asked], answers: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    """Return by the place of each review the answers to it that count, in the order of recording.

    Those that were taken back do not count.
    """
    found: dict[str, list[Recorded]] = {place_of(entry.query): [] for entry in reviews}
    if not found:
        return found
    until: dict[tuple[str, str], int] = {}
    for answer in answers:
        if answer.kind == "withdrawal":
            key = answer.id, answer.annotator
            until[key] = max(answer.revision, until.get(key, answer.revision))
    for answer in answers:
        taken_back = answer.revision < until.get((answer.id, answer.annotator), answer.revision)
        if answer.query in found and answer.counts and not taken_back:
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


def corrected_review(answer_key: str, last: Recorded, asked: Iterable[Asked]) -> Asked | None:
    """Return the review that somebody's last answer to an image was for, if a new answer replaces it; None otherwise.

    Parameters
    ----------
    answer_key:
        Key of the query that the new answer names; empty if it names none.
    asked:
        The queries of the image.
    """
    for entry in asked_again(asked):
        if last.counts and place_of(entry.query) == last.query and (not answer_key or answer_key in entry.query.keys):
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
    labels = [answer for answer in answers if answer.id in places and answer.kind == "label"]
    last = {answer.id: answer for answer in labels if answer.query in places[answer.id]}
    before: dict[tuple[str, str], set[str | None]] = {}  # by image and annotator the labels before the review's
    for answer in labels:
        if answer.id in last and answer.number < last[answer.id].number:
            before.setdefault((answer.id, answer.annotator), set()).add(answer.label)
    found: dict[str, Recorded] = {}
    for id, answer in last.items():
        counted = known[id].labels if id in known else ()
        current = [other for other in counted if other.annotator == answer.annotator]
        is_new = any(
            other.number > answer.number and other.label not in before.get((id, other.annotator), ())
            for other in counted
            if other.annotator != answer.annotator
        )
        if current and current[0].label == answer.label and not is_new:
            found[id] = current[0]
    return found
