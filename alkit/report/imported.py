"""What is said of labels that nobody asked for. Figures about chosen labels leave them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from alkit.record.snapshot import Snapshot
from alkit.values.rounds import RoundResult


def unasked_sources(snapshot: Snapshot) -> Mapping[str, int]:
    """Return the number of labelled images that nobody asked for, by the sources of their labels."""
    known = (sorted({answer.source for answer in snapshot.known[id].labels}) for id in snapshot.unasked)
    return dict(sorted(Counter(" and ".join(sources) for sources in known).items()))


def unasked_untrained(snapshot: Snapshot, unusable: Collection[str]) -> int:
    """Return the number of images with such labels that the last model was neither trained on nor measured by."""
    return sum(
        any(answer.number not in snapshot.last_consumed for answer in snapshot.known[id].labels)
        for id in snapshot.unasked
        if id not in unusable
    )


def since_import(history: Sequence[RoundResult]) -> tuple[RoundResult, ...]:
    """Return the last rounds that were trained on equally many labels that nobody asked for.

    Rules about the gain per label assume that the strategy chose the labels between two rounds.

    >>> rounds = [RoundResult(0, (), 9), RoundResult(1, (), 59, n_unasked=40), RoundResult(2, (), 69, n_unasked=40)]
    >>> [result.round for result in since_import(rounds)]
    [1, 2]
    """
    begin = max((at for at in range(1, len(history)) if history[at].n_unasked != history[at - 1].n_unasked), default=0)
    return tuple(history[begin:])
