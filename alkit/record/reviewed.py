"""What a record keeps about its reviews beside their queries, and labels that a review has refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from alkit.errors import one_line
from alkit.record.states import Recorded
from alkit.record.store import Store

REVIEWS = "reviews"
"""Name of the fact that holds for each review, by the place of its query, why it was asked and about which answers."""


def facts_of_reviews(store: Store) -> Mapping[str, Mapping[str, Any]]:
    """Return by the place of each review ``why`` it was asked, ``first``, the numbers of the answers, and ``shown``."""
    return store.fact(REVIEWS) or {}


def sent_back_by_review(
    new: Iterable[Recorded], known: Iterable[Recorded], about: Mapping[str, Mapping[str, Any]]
) -> dict[int, str]:
    """Return by number the labels that skips of reviews send back, with a reason for the annotators who gave them.

    Parameters
    ----------
    new:
        The answers that are being recorded.
    known:
        The earlier answers to their images.
    about:
        What :func:`facts_of_reviews` returned.
    """
    by_number, found = {answer.number: answer for answer in known}, dict[int, str]()
    for skip in (answer for answer in new if answer.kind == "skip" and answer.query in about):
        why = f": {skip.reason}" if skip.reason else ""
        reason = one_line(f"{skip.annotator or 'a reviewer'} says that it cannot be labelled{why}")
        for number in about[skip.query or ""].get("first", ()):
            label = by_number.get(number)
            if label is not None and (label.kind, label.rejected) == ("label", None):
                found |= {} if label.annotator == skip.annotator else {number: reason}
    return found
