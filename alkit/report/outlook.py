"""What the next hours of labelling are expected to bring: labels, a metric, and whether they are worth it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alkit.evaluation.meanings import falls
from alkit.report.costs import RecordedCost
from alkit.report.recommendation import Recommendation, recommend
from alkit.statistics.forecasts import USUAL, Forecast, forecast, why_no_forecast
from alkit.stopping import Advice
from alkit.values.rounds import RoundResult

SPREAD = (0.8, 0.4)
"""Confidence of the intervals of the number of labels whose ends stand for its distribution."""

WIDE = 0.1
"""An interval of a metric that is wider than this says little."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the next labels are expected to bring.

    Parameters
    ----------
    labels, labels_low, labels_high:
        Number of images that the hours suffice for, with an 80% interval; or the number of images in the next batch.
    hours, hours_low, hours_high:
        Hours of work of all annotators together, with an 80% interval for a batch; None if no time of a label is known.
    per_label:
        Expected seconds of an answer, and where they come from; None if no time is known.
    source:
        Where the times come from, in words; empty if none is known.
    metric:
        Name of the main metric; None if there is none.
    forecast:
        Forecast of the metric after these labels; None if there is none.
    why_not:
        Why there is no forecast, as a sentence without a full stop; empty if there is one.
    recommendation:
        Whether to go on.
    """

    labels: float
    labels_low: float
    labels_high: float
    hours: float | None
    hours_low: float | None
    hours_high: float | None
    per_label: float | None
    source: str
    metric: str | None
    forecast: Forecast | None
    why_not: str
    recommendation: Recommendation

    @property
    def sentences(self) -> tuple[str, ...]:
        """The outlook in words, the recommendation last."""
        return (*self._time(), *self._metric(), self.recommendation.text)

    def _time(self) -> tuple[str, ...]:
        if self.per_label is None or self.hours is None:
            return ()
        known = f"A label takes {self.per_label:.0f} s on average, by {self.source}"
        if self.hours_low is None or self.hours_high is None:
            between = f" ({self.labels_low:.0f} to {self.labels_high:.0f})"
            return (f"{known}: {_hours(self.hours)} suffice for about {self.labels:.0f} images{between}.",)
        between = f" (80% interval {_hours(self.hours_low)} to {_hours(self.hours_high)})"
        return (f"{known}: {self.labels:.0f} images take about {_hours(self.hours)}{between}.",)

    def _metric(self) -> tuple[str, ...]:
        if (found := self.forecast) is None:
            return (f"No forecast: {self.why_not}.",) if self.why_not else ()
        what = f"{self.labels:.0f} more images"
        if self.hours is not None:
            what = f"{_hours(self.hours)} more" if self.hours_low is None else f"{what} ({_hours(self.hours)})"
        told = f"{what}: {self.metric} {found.low:.2f} to {found.high:.2f} ({found.confidence:.0%} interval). "
        told += f"The fitted curve is at {found.level:.2f} now."
        if found.rounds < USUAL or found.high - found.low > WIDE:
            told += f" It has {found.rounds} rounds, so this says little."
        return (told,)


def _hours(hours: float) -> str:
    if hours < 0.95:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 9.95 else f"{hours:.0f} h"


def make_outlook(
    history: Sequence[RoundResult],
    advice: Mapping[str, Advice],
    next_batch: int,
    cost: RecordedCost | None,
    *,
    hours: float | None = None,
    annotators: int = 1,
    left: int | None = None,
    directions: Mapping[str, bool] | None = None,
) -> Outlook:
    """Return the outlook for the next batch, or for some hours of work.

    Parameters
    ----------
    history:
        Committed rounds that one curve may be fitted to.
    advice:
        Advice of the stopping rules by name.
    next_batch:
        Number of images in the next batch.
    cost:
        What a label costs; None if no time is known.
    hours:
        Hours of work, over all annotators; None for the next batch.
    annotators:
        Number of annotators who label each image.
    left:
        Number of images that can still be queried, if known.
    directions:
        Which metrics of the user's own fall while a model improves, as a record has it.
    """
    most = math.inf if left is None else left
    labels: tuple[float, float, float] = (min(next_batch, most),) * 3
    spread = [labels[0]]
    took: tuple[float | None, float | None, float | None] = (hours, None, None)
    if cost is not None:
        each = cost.cost.expected() * annotators / 3600
        if hours is None:
            low, high = cost.cost.interval(max(1, round(labels[0] * annotators)))
            took = (labels[0] * each, labels[0] * each * low, labels[0] * each * high)
        else:
            middle = hours / each
            bounds = [cost.cost.interval(max(1, round(middle * annotators)), one) for one in SPREAD]
            spread = [min(middle / factor, most) for pair in bounds for factor in pair] + [min(middle, most)]
            labels = (min(middle, most), min(spread), max(spread))
    metric = next((name for result in reversed(history) for name in result.metrics), None)
    curve = _curve(history, metric, directions)
    found = twice = None
    why_not = curve if isinstance(curve, str) else ""
    if not isinstance(curve, str):
        twice = forecast(curve.labels, curve.values, curve.labels[-1] + min(curve.labels[-1], curve.share * most))
        if hours is None or cost is not None:
            found = forecast(curve.labels, curve.values, [curve.labels[-1] + curve.share * n for n in spread])
        else:
            why_not = "no time of a label is known, so hours cannot be turned into labels"
    return Outlook(
        *labels,
        *(took if cost is not None else (None, None, None)),
        None if cost is None else cost.cost.expected(),
        "" if cost is None else cost.source,
        metric,
        found,
        why_not,
        recommend(advice, twice, metric, left=left),
    )


@dataclass(frozen=True)
class _Curve:
    """A learning curve, and the share of further images that are trained on."""

    labels: list[float]
    values: list[float]
    share: float


def _curve(history: Sequence[RoundResult], metric: str | None, directions: Mapping[str, bool] | None) -> _Curve | str:
    """Return the curve of a metric that can be forecast, or why it cannot."""
    if metric is None:
        return "no round was measured: a forecast needs an audit set, a hold-out or a test set"
    if falls(metric, directions):
        return f"{metric} falls while a model improves, and only a metric that rises can be forecast"
    last = next(result for result in reversed(history) if metric in result.metrics)
    alike = [r for r in history if metric in r.metrics and r.n_labels and r.measured_on == last.measured_on]
    if not alike:
        return "no measured round was trained on labels"
    labels, values = [float(r.n_labels) for r in alike], [r.metrics[metric] for r in alike]
    if (why := why_no_forecast(labels, values)) is not None:
        return why
    apart = last.n_held_out + (0 if last.audit is None else last.audit.measured)
    return _Curve(labels, values, last.n_labels / (last.n_labels + apart))
