"""What stopping rules read of the stop set."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alkit import RoundResult


def last_figures(history: Sequence[RoundResult], name: str, rounds: int) -> list[float] | str:
    """Return a figure on the stop set in the last rounds, or why it is not known, as a sentence without a full stop.

    Parameters
    ----------
    name:
        A key of :attr:`alkit.RoundResult.stability`.
    rounds:
        Number of last rounds that must have the figure.

    Examples
    --------
    >>> last_figures([RoundResult(0, (), 10, stability={"changed": 0.2})], "changed", 1)
    [0.2]
    >>> last_figures([], "changed", 2)
    'the rule needs 2 rounds with the figure, and there are 0'
    """
    known = [result for result in history if name in result.stability]
    if len(history) > 1 and not known:
        return "nothing was measured on a stop set: the rule needs one"
    if len(known) < rounds:
        what = "1 round" if rounds == 1 else f"{rounds} rounds"
        return f"the rule needs {what} with the figure, and there are {len(known)}"
    for result in history[-rounds:]:
        if not math.isfinite(result.stability.get(name, math.nan)):
            return f"round {result.round} has no such figure on the stop set"
    return [result.stability[name] for result in history[-rounds:]]
