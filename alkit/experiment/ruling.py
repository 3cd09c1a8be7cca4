"""Keep the rules of a record in every selection, whatever the strategy.

The strategy sees only the images that it may select. For images that come first, and if the strategy exceeds a limit,
it is called again: what it has picked so far counts as labelled, and full groups are no candidates any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.experiment.parts import Parts
from alkit.pools.groups import parents_of
from alkit.record.grouping import named_first, recorded_rules, rules_in_words
from alkit.rng import Stream
from alkit.values.limit import Limit
from alkit.values.rules import CAPS, SelectionRules
from alkit.values.selection import Selection

Select = Callable[[Sequence[str], Sequence[str], int, np.random.Generator], Selection]
"""From the candidates, the images picked so far, a number and random numbers to the selection of a strategy."""


@dataclass
class Picked:
    """The images of a query, the most wanted first, with what the strategy says of each."""

    ids: list[str] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    meanings: list[str] = field(default_factory=list)
    pseudo_labels: dict[str, None] = field(default_factory=dict)
    most_pseudo: int = 0

    def add(self, selection: Selection, taken: Collection[str]) -> None:
        """Add those images of a selection that are taken."""
        scores, meanings = (
            selection.scores or [None] * len(selection.ids),
            selection.stands_for or [""] * len(selection.ids),
        )
        for id, score, meaning in zip(selection.ids, scores, meanings, strict=True):
            if id in taken:
                self.ids.append(id)
                self.scores.append(score)
                self.meanings.append(meaning)
        self.pseudo_labels.update(dict.fromkeys(selection.pseudo_labels))
        self.most_pseudo = max(self.most_pseudo, len(selection.pseudo_labels))

    @property
    def columns(self) -> tuple[list[str], list[float | None], list[str]]:
        """The ids, the scores and what each image stands for."""
        return self.ids, self.scores, self.meanings

    def pseudo(self) -> list[str]:
        """Return the images that get a pseudo-label: not those picked, and no more than one call has asked for."""
        picked = set(self.ids)
        return [id for id in self.pseudo_labels if id not in picked][: self.most_pseudo]


class Room:
    """How many more images of each group and each parent the limits allow in a round."""

    def __init__(self, parts: Parts, rules: SelectionRules, number: int) -> None:
        names: dict[str, Callable[[Sequence[str]], list[str]]]
        names = {"max_per_group": parts.groups_of, "max_per_parent": partial(parents_of, parts.pool)}
        self.limits = [
            Limit(dict(zip(parts.ids, names[name](parts.ids), strict=True)), most)
            for name in CAPS
            if (most := getattr(rules, name)) is not None
        ]
        self._counts = [Counter[str]() for _ in self.limits]
        snapshot = parts.store.snapshot()
        for query in snapshot.queries:
            if query.round == number and query.id not in snapshot.unasked:
                self.take(query.id)

    def take(self, id: str) -> bool:
        """Count an image, unless its group or its parent is full; return whether it was counted."""
        if not self.has(id):
            return False
        for limit, counts in zip(self.limits, self._counts, strict=True):
            if id in limit.groups:
                counts[limit.groups[id]] += 1
        return True

    def has(self, id: str) -> bool:
        """Whether there is room for an image."""
        return all(
            counts[limit.groups[id]] < limit.most
            for limit, counts in zip(self.limits, self._counts, strict=True)
            if id in limit.groups
        )

    def most(self, ids: Sequence[str]) -> int:
        """Return how many of these images there is room for. A parent lies in one group, so any order will do."""
        kept = [counts.copy() for counts in self._counts]
        taken = sum(self.take(id) for id in ids)
        self._counts = kept
        return taken


def pick(parts: Parts, candidates: Sequence[str], n: int, number: int, stream: Stream, select: Select) -> Picked:
    """Have a strategy select `n` candidates by the rules.

    Parameters
    ----------
    candidates:
        Images that can be queried and that the rules allow.
    number:
        Number of the round. Images of the round that were queried before count for the limits.
    stream:
        Random numbers of the selection. The first call of the strategy gets the numbers of a selection without rules.
    select:
        Calls the strategy.

    """
    with parts.store.one_connection():
        rules = recorded_rules(parts.store)
        room = Room(parts, rules, number)
        first = named_first(rules, candidates, parts.groups_of(candidates), parts.metadata_of(candidates))
    picked, generators = Picked(), _generators(stream)
    for wanted in ([id for id in candidates if id in first], candidates):
        while (missing := n - len(picked.ids)) and (
            left := [id for id in wanted if id not in set(picked.ids) and room.has(id)]
        ):
            selection = select(left, picked.ids, min(missing, room.most(left)), next(generators))
            picked.add(selection, {id for id in selection.ids if room.take(id)})
    return picked


def limits_of(parts: Parts) -> tuple[Limit, ...]:
    """Return the limits for a strategy that keeps them by itself."""
    return tuple(Room(parts, recorded_rules(parts.store), -1).limits)


def _generators(stream: Stream) -> Iterator[np.random.Generator]:
    yield stream.numpy()
    call = 0
    while True:
        call += 1
        yield stream.child("rules", call).numpy()


def most_by_rules(parts: Parts, candidates: Sequence[str], number: int) -> int:
    """Return how many of these candidates the rules leave in a round."""
    rules = recorded_rules(parts.store)
    return Room(parts, rules, number).most(candidates) if rules else len(candidates)


def check_number(parts: Parts, candidates: Sequence[str], n: int, number: int, audit: int = 0) -> int:
    """Return `n` as an integer, after a check that so many candidates can be selected in a round.

    Parameters
    ----------
    audit:
        How many of the `n` images belong to the audit set, which no strategy selects.

    Raises
    ------
    ConfigurationError
        `n` is not an integer >= 1, or there are fewer candidates, or the rules do not leave so many.
    """
    if not (rules := recorded_rules(parts.store)):
        if not candidates and not audit:
            raise ConfigurationError("no candidate is left: every image is labelled, skipped or queried", got=f"n={n}")
        return check_integer("n", n, least=1, most=len(candidates) + audit)
    n, most = check_integer("n", n, least=1), Room(parts, rules, number).most(candidates) + audit
    if n > most:
        raise ConfigurationError(
            f"n must be at most {most}, because the rules leave no more in this round",
            got=f"{n}, {len(candidates)} candidates, and the rules {rules_in_words(rules)}",
            hint=f"n={most}, or Experiment(..., rules=...)" if most else "Experiment(..., rules=...)",
        )
    return n
