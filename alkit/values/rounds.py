"""The result of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from alkit.arguments.checked import checked
from alkit.checks import check_integer
from alkit.values.audit import AuditFigures
from alkit.values.interval import Interval
from alkit.values.shown import html_table, short, short_repr

FEW_IMAGES = 20
"""Figures from fewer images are shown with an interval, or not at all."""


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
    audit:
        Figures on the audit set, with intervals; None if none of its images is labelled, or there is none.
    intervals:
        Intervals of metrics that were measured on another set: on labels held out, or on a small test set.
    n_tested:
        Number of images of the test set, if the metrics were measured on one; 0 if they were not, or if it is unknown.

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
    audit: AuditFigures | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    n_tested: int = 0

    def __post_init__(self) -> None:
        for name in ("round", "n_labels", "n_pseudo", "n_held_out", "n_unasked", "n_tested"):
            check_integer(name, getattr(self, name), least=0)

    __repr__ = short_repr

    @property
    def measured_on(self) -> Literal["audit set", "hold-out", "test set"] | None:
        """What the metrics were measured on; None if there are none."""
        if not self.metrics:
            return None
        if self.audit is not None and self.audit.main:
            return "audit set"
        return "hold-out" if self.n_held_out and not self.n_tested and self.audit is None else "test set"

    @checked
    def interval(self, name: str) -> Interval | None:
        """Return the interval of a metric; None if it was not computed."""
        if self.audit is not None and self.audit.main:
            return self.audit.figures.get(name)
        return self.intervals.get(name)

    @checked
    def figure_text(self, name: str, *, tested: bool = False) -> str | None:
        """Return a metric as it may be shown: from fewer than 20 images with its interval, or not at all.

        Parameters
        ----------
        name:
            Name of the metric.
        tested:
            Whether the campaign has a test set: a record of an earlier version does not tell what was measured on it.

        Examples
        --------
        >>> result = RoundResult(0, (), 9, {"dice": 0.7}, n_held_out=3)
        >>> result.figure_text("dice") is None
        True
        >>> RoundResult(0, (), 9, {"dice": 0.7}).figure_text("dice")
        '0.700'
        """
        if name not in self.metrics:
            return None
        if (found := self.interval(name)) is not None and found.low is not None:
            return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
        n = (
            self.n_tested or self.n_held_out
            if self.measured_on != "audit set" or self.audit is None
            else self.audit.measured
        )
        on_few = 0 < n < FEW_IMAGES and not (tested and self.measured_on == "hold-out")
        return None if on_few else f"{self.metrics[name]:.3f}"

    def _repr_html_(self) -> str:
        shown = {name: self.figure_text(name) for name in self.metrics}
        facts: dict[str, Any] = {"labels": self.n_labels}
        facts |= {
            name: self.metrics[name] if self.interval(name) is None else text
            for name, text in shown.items()
            if text is not None
        }
        facts |= {"measured on": None if self.measured_on != "audit set" else self.measured_on}
        facts |= {"agreement": self.agreement}
        facts |= {f"seconds of {stage}": seconds for stage, seconds in self.seconds.items()}
        facts |= {"pseudo-labels": self.n_pseudo or None, "held out": self.n_held_out or None}
        facts |= {"labels that nobody asked for": self.n_unasked or None}
        known = [(name, value) for name, value in facts.items() if value is not None]
        notes = [*self.warnings]
        if self.audit is not None and self.audit.figures:
            notes = [*self.audit.sentences(next(iter(self.audit.figures))), *notes]
        if None in shown.values():
            notes.append(f"Metrics on fewer than {FEW_IMAGES} images are not shown without an interval.")
        return html_table(f"Round {self.round}: images {short(self.ids)}", ("", "value"), known, notes=notes)


def measured_on(history: Sequence[RoundResult], *, tested: bool) -> Literal["audit set", "hold-out", "test set"] | None:
    """Return what the metrics of the latest of some rounds were measured on; None if there are none.

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
    measured = [result for result in history if result.metrics]
    if not measured:
        return None
    if measured[-1].measured_on == "audit set":
        return "audit set"
    held = any(result.measured_on == "hold-out" for result in measured)
    return "hold-out" if held and not tested else "test set"
