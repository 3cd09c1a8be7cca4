"""The round with the best model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alkit.evaluation.meanings import falls
from alkit.report.audit import audited_history
from alkit.report.truth import by_truth
from alkit.values.audit import AuditFigures
from alkit.values.rounds import RoundResult


def best_round(rounds: Sequence[RoundResult], directions: Mapping[str, bool] | None = None) -> int | None:
    """Return the round with the best main metric, the earliest of equal ones; None if no round was measured.

    Only rounds that were measured as the last one was are compared: on a test set with the same labels, on labels held
    out, or on the audit set, there by the gains on the images of both rounds
    (:func:`alkit.report.audit.audited_history`). A metric without such gains is compared on the same images only.

    Parameters
    ----------
    rounds:
        Rounds. The main metric is the first one of the last round that was measured.
    directions:
        By name whether lower values of a metric are better, of metrics of the user's own.

    Examples
    --------
    >>> best_round([RoundResult(0, (), 4, {"dice": 0.7}), RoundResult(1, (), 8, {"dice": 0.6}), RoundResult(2, (), 9)])
    0
    """
    *_, last = by_truth(rounds) or [[]]
    measured = [result for result in last if result.metrics]
    if not measured:
        return None
    how, name = measured[-1].measured_on, next(iter(measured[-1].metrics))
    alike: Sequence[RoundResult] = [result for result in measured if result.measured_on == how]
    if how == "audit set":
        compared, last_audit = audited_history(alike), measured[-1].audit
        alike = compared if name in compared[-1].metrics else [one for one in alike if _same(one.audit, last_audit)]
    lower = falls(name, directions)
    known = [result for result in alike if name in result.metrics]
    return min(known, key=lambda result: result.metrics[name] if lower else -result.metrics[name]).round


def _same(one: AuditFigures | None, other: AuditFigures | None) -> bool:
    """Whether figures were measured on the same images of the audit set, by the same labels."""
    return one is not None and other is not None and one.measured_alike(other) == {*one.ids, *other.ids}
