"""Choose which models of earlier rounds a record keeps. The last one always stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from alkit.errors import ConfigurationError
from alkit.evaluation.meanings import DIRECTIONS
from alkit.record.kept_models import KEEP
from alkit.record.store import Store
from alkit.report.best import best_round
from alkit.report.truth import by_truth
from alkit.values.rounds import RoundResult

Keep = Literal["last", "best", "all"]
"""Which models are kept."""

KEEPS: tuple[Keep, ...] = ("last", "best", "all")
"""The choices."""


def change_keep(record: Store, keep: Keep | None) -> list[str]:
    """Record which models are kept from now on; None leaves the record as it is. Return a line if that differs.

    Raises
    ------
    ConfigurationError
        `keep` is something else.
    """
    if keep is None:
        return []
    if keep not in KEEPS:
        raise ConfigurationError(f"keep must be {', '.join(KEEPS[:-1])} or {KEEPS[-1]}", got=repr(keep))
    before = record.fact(KEEP) or "last"
    if keep == before or record.read_only:
        return []
    record.revise(KEEP, lambda last: None if keep == "last" else keep)
    return [f"keep: {keep}, before {before}"]


def models_to_keep(record: Store, rounds: Sequence[RoundResult]) -> frozenset[int]:
    """Return the rounds whose models a record keeps, besides the last one.

    Parameters
    ----------
    rounds:
        The committed rounds, and the new one.
    """
    match record.fact(KEEP):
        case "all":
            return frozenset(result.round for result in rounds)
        case "best":
            there = {*record.models(), rounds[-1].round}  # others were deleted before this choice was made
            directions, found = record.fact(DIRECTIONS), set[int]()
            for alike in by_truth(rounds):  # the best one of others may be better than it seems
                best = best_round([result for result in alike if result.round in there], directions)
                found |= set() if best is None else {best}
            return frozenset(found)
    return frozenset()
