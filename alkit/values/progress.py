"""Progress reports of long computations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of something long: ``done`` of ``total`` units of ``stage`` are over.

    Stages are ``download``, ``read`` (images), ``pretext``, ``features``, ``scores``, ``predict``, ``ask``, ``tell``,
    ``fit``, ``evaluate`` and ``round``.
    """

    stage: str
    done: int
    total: int
    detail: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]
"""The one callback through which all progress is told."""


def quiet(progress: Progress) -> None:
    """Report to nobody."""
