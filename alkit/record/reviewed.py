"""What a record keeps about its reviews beside their queries, and labels that a review has refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from alkit.errors import one_line
from alkit.record.reviews import answers_to_reviews, asked_again, place_of
from alkit.record.store import Store
from alkit.values.answers import Answer, Skip

REVIEWS = "reviews"
"""Name of the fact that holds for each review, by the place of its query, why it was asked and about which answers."""


def facts_of_reviews(store: Store) -> Mapping[str, Mapping[str, Any]]:
    """Return by the place of each review ``why`` it was asked, ``first``, the numbers of the answers, and ``shown``."""
    return store.fact(REVIEWS) or {}


def labels_refused_by_review(store: Store) -> Iterator[tuple[list[int], str]]:
    """Yield numbers of answers that still count although a review found that the image cannot be labelled.

    Each comes with a reason, for the annotators who gave them.
    """
    snapshot = store.snapshot()
    if not (reviews := asked_again(snapshot.asked)):
        return
    about, given = facts_of_reviews(store), answers_to_reviews(reviews, snapshot.answers)
    by_number = {answer.number: answer for answer in snapshot.answers}
    for entry in reviews:
        place = place_of(entry.query)
        for skip in (answer for answer in given[place] if answer.kind == "skip"):
            first = [by_number[number] for number in about.get(place, {}).get("first", ()) if number in by_number]
            numbers = [
                answer.number
                for answer in first
                if answer.kind == "label" and answer.rejected is None and answer.annotator != skip.annotator
            ]
            if numbers:
                why = f": {skip.reason}" if skip.reason else ""
                yield numbers, one_line(f"{skip.annotator or 'a reviewer'} says that it cannot be labelled{why}")


def settle_reviews(store: Store, told: Iterable[Answer]) -> None:
    """Send back the labels that a review refused, if a skip is among some answers."""
    if any(isinstance(answer.label, Skip) for answer in told):
        for numbers, reason in list(labels_refused_by_review(store)):
            store.reject(numbers, reason)
