"""Rounds that were measured by the same labels of the test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alkit.record.testsets import OTHER_TRUTH
from alkit.values.rounds import RoundResult


def by_truth(rounds: Sequence[RoundResult]) -> list[list[RoundResult]]:
    """Return rounds in order, apart as far as the labels of the test set have changed between them.

    >>> changed = RoundResult(1, (), 8, {"dice": 0.6}, warnings=(OTHER_TRUTH,))
    >>> [len(part) for part in by_truth([RoundResult(0, (), 4, {"dice": 0.7}), changed, RoundResult(2, (), 9)])]
    [1, 2]
    """
    parts: list[list[RoundResult]] = []
    for result in rounds:
        if not parts or OTHER_TRUTH in result.warnings:
            parts.append([])
        parts[-1].append(result)
    return parts


def truth_in_words(rounds: Sequence[RoundResult]) -> Iterator[str]:
    """Yield a sentence for each change of the labels of the test set; the warnings of the last round tell of its own.

    >>> rounds = [RoundResult(0, (), 4), RoundResult(1, (), 8, warnings=(OTHER_TRUTH,)), RoundResult(2, (), 9)]
    >>> list(truth_in_words(rounds))
    ['Before round 1, the labels of the test set were other ones, so metrics before and after cannot be compared.']
    """
    for part in by_truth(rounds[:-1])[1:]:
        yield (
            f"Before round {part[0].round}, the labels of the test set were other ones, so metrics before and after "
            "cannot be compared."
        )
