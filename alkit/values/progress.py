"""Progress reports of long computations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alkit.arguments.checked import checked


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
    """

    stage: str
    done: int
    total: int
    detail: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]
"""Callback that receives all progress."""


@checked
def quiet(progress: Progress) -> None:
    """Ignore the progress."""
