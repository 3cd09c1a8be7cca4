"""The state of a record at one moment: its rows, read in one transaction, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property

from alkit.record.reviews import decided_by_review, find_open_reviews
from alkit.record.states import (
    Answered,
    Asked,
    Recorded,
    Standing,
    count_missing,
    find_standings,
    find_unasked,
    group_by_image,
)
from alkit.values.queries import Query, State
from alkit.values.rounds import RoundResult


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All queries, answers and rounds of a record at one moment. What follows from them is computed at most once.

    Parameters
    ----------
    asked:
        All queries by round and rank, withdrawn ones included.
    answers:
        All answers in the order in which they were recorded.
    rounds:
        The committed rounds.
    last_model:
        The file of the last round's model and the stamp of its labels; None before the first round.
    consumed:
        Numbers of the answers that any model was trained on or measured by.
    last_consumed:
        Numbers of those that the last model was trained on or measured by.
    """

    asked: tuple[Asked, ...]
    answers: tuple[Recorded, ...]
    rounds: tuple[RoundResult, ...]
    last_model: tuple[str, str] | None
    consumed: Set[int]
    last_consumed: Set[int]

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        """All queries that were not withdrawn, by round and rank, without reviews."""
        return tuple(entry.query for entry in self.asked if not entry.withdrawn and not entry.is_review)

    @cached_property
    def known(self) -> Mapping[str, Answered]:
        """By id the answers that count, of each image that has any: see :func:`group_by_image`."""
        return group_by_image(self.asked, self.answers)

    @cached_property
    def unasked(self) -> frozenset[str]:
        """Ids of the labelled images that nobody asked for."""
        return find_unasked(self.asked, self.known)

    @cached_property
    def open(self) -> tuple[Asked, ...]:
        """The queries that wait for an annotator, without reviews."""
        return tuple(entry for entry in self.asked if not entry.is_review and count_missing(entry, self.known))

    @cached_property
    def open_reviews(self) -> tuple[Asked, ...]:
        """The reviews that wait for an annotator: see :mod:`alkit.record.reviews`."""
        return find_open_reviews(self.asked, self.answers)

    @cached_property
    def standings(self) -> tuple[Standing, ...]:
        """The state of each query, by round and rank, without reviews."""
        found, again = find_standings(self.asked, self.answers, self.consumed, self.last_consumed), self._decided_since
        return tuple(
            replace(one, state=State.STALE) if one.state is State.CONSUMED and one.query.id in again else one
            for one in found
        )

    @cached_property
    def _decided_since(self) -> frozenset[str]:
        """Ids of images of several labels of which a review has chosen another one since the last model was trained."""
        if not self.last_consumed or not (now := decided_by_review(self.asked, self.answers, self.known)):
            return frozenset()
        told = [answer for answer in self.answers if answer.number <= max(self.last_consumed)]
        before = decided_by_review(self.asked, told, group_by_image(self.asked, told))
        several = (id for id in now if len(self.known[id].labels) > 1)
        return frozenset(id for id in several if id not in before or before[id].label != now[id].label)
