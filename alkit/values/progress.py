"""Progress reports of long computations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alkit.arguments.checked import checked
from alkit.values.rounds import RoundResult


@checked
@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a long computation: `done` of `total` units of a stage are complete.

    Parameters
    ----------
    stage:
        One of ``download``, ``read`` (images), ``pretext``, ``features``, ``scores``, ``predict``, ``ask``, ``tell``,
        ``fit``, ``evaluate``, ``check`` (masks), ``rehearse`` and ``round``.
    done, total:
        Numbers of units, such as images, epochs or rounds.
    detail:
        Figures by name, such as the loss of an epoch.
    result:
        In the stage ``round``, the result of the round that was committed.
    """

    stage: str
    done: int
    total: int
    detail: Mapping[str, float] = field(default_factory=dict)
    result: RoundResult | None = None


Report = Callable[[Progress], None]
"""Callback that receives all progress."""


@checked
def quiet(progress: Progress) -> None:
    """Ignore the progress."""
