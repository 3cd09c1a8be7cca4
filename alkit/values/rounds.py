"""The result of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from alkit.arguments.checked import checked
from alkit.checks import check_integer
from alkit.values.shown import html_table, short, short_repr


@checked
@dataclass(frozen=True, slots=True)
class RoundResult:
    """The result of one committed round.

    Parameters
    ----------
    round:
        Number of the round; the start set is round 0.
    ids:
        Ids of the images queried in this round, in rank order.
    n_labels:
        Number of labels that the model of this round was trained on, from all rounds. An image about which its
        annotators disagree evenly does not count.
    metrics:
        Metrics by name, such as ``{"dice": 0.71, "hd95": 4.2}``; empty if the round is not evaluated. The first one is
        the main metric. They are finite; not all lie in [0, 1], and some fall while a model improves, see
        :func:`alkit.evaluation.lower_is_better`.
    seconds:
        Wall time in seconds by stage: ``select``, ``fit``, ``evaluate``.
    n_pseudo:
        Number of pseudo-labels that the model was trained on in addition; `n_labels` does not count them.
    n_held_out:
        Number of labels held out from training. If there are any and no test set, metrics are measured on them. The
        strategy selected these images, so they are not a random sample of the pool.
    agreement:
        Cohen's kappa, at most 1, between the predictions of this round's model and the previous one on images of the
        pool; None if it was not measured, and in round 0.
    warnings:
        What may be wrong with the round, in sentences.
    n_unasked:
        Number of labels among `n_labels` that nobody asked for, such as labels of an earlier project.
    stability:
        Figures of the model on the stop set by name, which stopping rules read; empty if they were not measured.

    Raises
    ------
    ConfigurationError
        A number is negative.

    Examples
    --------
    >>> RoundResult(0, ("b", "a"), n_labels=2, metrics={"dice": 0.71}).metrics["dice"]
    0.71
    """

    round: int
    ids: tuple[str, ...]
    n_labels: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    n_pseudo: int = 0
    n_held_out: int = 0
    agreement: float | None = None
    warnings: tuple[str, ...] = ()
    n_unasked: int = 0
    stability: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("round", "n_labels", "n_pseudo", "n_held_out", "n_unasked"):
            check_integer(name, getattr(self, name), least=0)

    __repr__ = short_repr

    def _repr_html_(self) -> str:
        facts = {"labels": self.n_labels, **self.metrics, "agreement": self.agreement}
        facts |= {f"seconds of {stage}": seconds for stage, seconds in self.seconds.items()}
        facts |= {"pseudo-labels": self.n_pseudo or None, "held out": self.n_held_out or None}
        facts |= {"labels that nobody asked for": self.n_unasked or None}
        known = [(name, value) for name, value in facts.items() if value is not None]
        return html_table(f"Round {self.round}: images {short(self.ids)}", ("", "value"), known, notes=self.warnings)


def measured_on(history: Sequence[RoundResult], *, tested: bool) -> Literal["hold-out", "test set"] | None:
    """Return whether the metrics of some rounds were measured on a hold-out or a test set; None if there are none.

    Parameters
    ----------
    history:
        Committed rounds.
    tested:
        Whether the campaign has a test set.

    Examples
    --------
    >>> measured_on([RoundResult(0, (), 9, {"dice": 0.7}, n_held_out=3)], tested=False)
    'hold-out'
    """
    if not any(result.metrics for result in history):
        return None
    held = any(result.n_held_out and result.metrics for result in history)
    return "hold-out" if held and not tested else "test set"
