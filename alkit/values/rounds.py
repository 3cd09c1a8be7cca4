"""The result of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What one committed round came to.

    Parameters
    ----------
    round:
        0 for the start set.
    ids:
        The images this round asked for, in rank order.
    n_labels:
        Labels the model of this round was trained on, all rounds together.
    metrics:
        Such as ``{"dice": 0.71, "iou": 0.62}``, each in [0, 1]; empty before the round is evaluated.
    seconds:
        Wall time by stage: ``select``, ``fit``, ``evaluate``.
    n_pseudo:
        Pseudo-labels it was trained on besides, which are no labels and not counted as such.
    n_held_out:
        Labels held out from the training. Where there are any and no test set, the metrics are those of these images:
        chosen by the strategy as all others, and so no random sample of the pool.
    agreement:
        Cohen's kappa between this round's predictions and those of the round before on images of the pool, at most 1;
        None where it was not asked for, and in round 0.
    """

    round: int
    ids: tuple[str, ...]
    n_labels: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    n_pseudo: int = 0
    n_held_out: int = 0
    agreement: float | None = None


def measured_on(history: Sequence[RoundResult], *, tested: bool) -> Literal["hold-out", "test set"] | None:
    """Return what the metrics of some rounds were measured on; None where there are none.

    Parameters
    ----------
    tested:
        Whether a test set was declared.

    Examples
    --------
    >>> measured_on([RoundResult(0, (), 9, {"dice": 0.7}, n_held_out=3)], tested=False)
    'hold-out'
    """
    if not any(result.metrics for result in history):
        return None
    held = any(result.n_held_out and result.metrics for result in history)
    return "hold-out" if held and not tested else "test set"
