"""Rounds that were measured by the same labels of the test set, or by the same held-out labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alkit.record.testsets import OTHER_LABELS
from alkit.values.rounds import RoundResult


def by_truth(rounds: Sequence[RoundResult]) -> list[list[RoundResult]]:
    """Return rounds in order, apart as far as the labels that they are measured by have changed between them.

    >>> from alkit.record.testsets import OTHER_TRUTH
    >>> changed = RoundResult(1, (), 8, {"dice": 0.6}, warnings=(OTHER_TRUTH,))
    >>> [len(part) for part in by_truth([RoundResult(0, (), 4, {"dice": 0.7}), changed, RoundResult(2, (), 9)])]
    [1, 2]
    """
    parts: list[list[RoundResult]] = []
    for result in rounds:
        if not parts or other_labels(result):
            parts.append([])
        parts[-1].append(result)
    return parts


def other_labels(result: RoundResult) -> str | None:
    """Return which labels have changed since the round before, by which a round was measured; None if none have."""
    return next((OTHER_LABELS[warning] for warning in result.warnings if warning in OTHER_LABELS), None)


def truth_in_words(rounds: Sequence[RoundResult]) -> Iterator[str]:
    """Yield a sentence for each change of the labels; the warnings of the last round tell of its own.

    >>> from alkit.record.testsets import OTHER_TRUTH
    >>> rounds = [RoundResult(0, (), 4), RoundResult(1, (), 8, warnings=(OTHER_TRUTH,)), RoundResult(2, (), 9)]
    >>> list(truth_in_words(rounds))
    ['Before round 1, the labels of the test set were other ones, so metrics before and after cannot be compared.']
    """
    for part in by_truth(rounds[:-1])[1:]:
        yield (
            f"Before round {part[0].round}, the {other_labels(part[0])} were other ones, so metrics before and after "
            "cannot be compared."
        )
