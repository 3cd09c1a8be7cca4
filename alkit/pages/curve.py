"""The learning curve of a campaign, with the images that it is measured on and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alkit.pages.campaign import Campaign
from alkit.pages.words import counted, metric_title, number, short
from alkit.pictures.colours import BLUE
from alkit.report.audit import added_later, audit_gain
from alkit.report.blocks import AnyBlock, Columns, Note
from alkit.report.page import Picture, Table, Text
from alkit.report.truth import by_truth, truth_in_words
from alkit.values.rounds import FEW_IMAGES, RoundResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from alkit.report.figures import Drawing

WIDE, HIGH = 5.6, 3.5
"""Size of a chart in inches; a phone shows it at two thirds of it."""


@dataclass(frozen=True)
class Point:
    """The main metric of a round.

    Parameters
    ----------
    metric:
        Name of the metric.
    round, labels:
        Number of the round, and number of labels that its model was trained on.
    value:
        The figure.
    on:
        What it was measured on: ``audit set``, ``test set`` or ``hold-out``.
    images:
        Number of images that it was measured on; None if the record does not tell.
    low, high:
        The 95 % interval; None if it is unknown.
    """

    metric: str
    round: int
    labels: int
    value: float
    on: str
    images: int | None = None
    low: float | None = None
    high: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the figure may be shown: it has an interval, or enough images."""
        return self.low is not None or self.images is None or self.images >= FEW_IMAGES

    def value_text(self) -> str:
        """Return the figure, or why it is not shown."""
        return f"{self.value:.2f}" if self.shown else "not shown"

    def text(self) -> str:
        """Return the figure with its interval."""
        between = "" if self.low is None else f" ({self.low:.2f} to {self.high:.2f})"
        return f"{self.value:.2f}{between}"

    def _on(self) -> str:
        of = "" if self.images is None else f" of {counted(self.images, 'image')}"
        return f"the {self.on}{of}"

    def detail(self) -> str:
        """Return what a reader must know about the figure, in a few words."""
        if not self.shown:
            return f"{self._on()} says too little"
        between = "" if self.low is None else f"95 % interval {self.low:.2f} to {self.high:.2f}, "
        return f"{between}on {self._on()}"

    def in_words(self) -> str:
        """Return the end of a sentence about the model of this round."""
        name = metric_title(self.metric)
        if not self.shown:
            return (
                f"was measured on {self._on()}. So few images say little, and no interval is known, so its {name} is "
                "not shown."
            )
        between = "" if self.low is None else f" (95 % interval {self.low:.2f} to {self.high:.2f})"
        return f"reaches {name} {self.value:.2f}{between} on {self._on()}, {MEANINGS[self.on]}."


MEANINGS = {
    "audit set": "which was drawn at random from the pool and is never trained on",
    "test set": "which is apart from the pool",
    "hold-out": "which are labels that the strategy selected, so they are not a random sample of the pool",
}
"""What a reader must know about the images of a figure."""


def points(campaign: Campaign) -> tuple[Point, ...]:
    """Return the main metric of each round: on the audit set if the rounds have figures on it, else as measured."""
    metric, history = campaign.summary.metric, campaign.summary.history
    if metric is None:
        return ()
    audited = [result for result in history if result.audit is not None and metric in result.audit.figures]
    if audited:
        return tuple(_on_audit(result, metric) for result in audited)
    return tuple(_point(result, metric) for result in history if metric in result.metrics)


def _on_audit(result: RoundResult, metric: str) -> Point:
    assert result.audit is not None
    found = result.audit.figures[metric]
    return Point(metric, result.round, result.n_labels, found.value, "audit set", found.n, found.low, found.high)


def _point(result: RoundResult, metric: str) -> Point:
    on, found = result.measured_on or "test set", result.interval(metric)
    images = (found.n if found is not None else result.n_held_out if on == "hold-out" else result.n_tested) or None
    low, high = (None, None) if found is None else (found.low, found.high)
    return Point(metric, result.round, result.n_labels, result.metrics[metric], on, images, low, high)


def last_point(campaign: Campaign) -> Point | None:
    """Return the main metric of the last round; None if it has none."""
    found = points(campaign)
    return found[-1] if found and found[-1].round == campaign.summary.history[-1].round else None


def curve(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks of the learning curve."""
    history = campaign.summary.history
    if not history:
        return [Text("No model is trained yet, so there is no curve.")]
    found = points(campaign)
    blocks: list[AnyBlock] = []
    if not found:
        blocks += [
            Text(
                "The models were not measured, because the campaign has neither an audit set, a test set nor a "
                "hold-out. An audit set, drawn at random and never trained on, tells how good the model is on the pool."
            )
        ]
    else:
        alike = {result.round for result in by_truth(history)[-1]}
        since = tuple(point for point in found if point.on == "audit set" or point.round in alike)
        blocks += [Text(_takeaway(since or found, history))]
    table = _table(campaign, found)
    audit = history[-1].audit
    if audit is not None and campaign.summary.metric is not None:
        blocks += [Text(sentence[0].upper() + sentence[1:]) for sentence in audit.sentences(campaign.summary.metric)]
        blocks += [Text(sentence) for sentence in added_later(campaign.summary.audit)]
    drawn = [point for point in found if point.shown and point.on == found[-1].on]
    blocks += [Columns([_chart(drawn), table])] if drawn else [table]
    blocks += [Note(sentence) for sentence in truth_in_words(history)]
    blocks += [Note(campaign.words(short(warning, 600))) for warning in history[-1].warnings]
    return blocks


def _takeaway(found: tuple[Point, ...], history: Sequence[RoundResult]) -> str:
    last = found[-1]
    first = next((point for point in found if point.on == last.on), last)
    name, on = metric_title(last.metric), f"Measured on the {last.on}, {MEANINGS[last.on]}."
    if first is last or not (first.shown and last.shown):
        return on
    if last.on == "audit set":
        return f"{_gain(first, last, history)}{on}"
    return (
        f"{name[0].upper()}{name[1:]} went from {first.value:.2f} with {counted(first.labels, 'label')} to "
        f"{last.value:.2f} with {number(last.labels)}. {on}"
    )


def _gain(first: Point, last: Point, history: Sequence[RoundResult]) -> str:
    """Return how far the metric changed on the images of the audit set that were measured by both models."""
    before, after = (next(one.audit for one in history if one.round == point.round) for point in (first, last))
    gain = None if before is None or after is None else audit_gain(before, after, last.metric)
    if gain is None:
        return ""
    name = metric_title(last.metric)
    return (
        f"{name[0].upper()}{name[1:]} changed by {gain.value:+.2f} between {counted(first.labels, 'label')} and "
        f"{number(last.labels)}, on {counted(gain.n, 'image')} of the audit set measured both times. "
    )


def _chart(found: list[Point]) -> Picture:
    figure, axes = curve_axes(found)
    # Of rounds with equally many labels, the last one counts, as in the curve.
    known = {p.labels: (p.low, p.high) for p in found if p.low is not None and p.high is not None}
    if len(known) > 1:
        low, high = (list(column) for column in zip(*known.values(), strict=True))
        axes.fill_between(list(known), low, high, color=BLUE, alpha=0.15, lw=0)
    for x, (least, most) in known.items():
        axes.plot([x, x], [least, most], color=BLUE, lw=1, alpha=0.6)
    axes.margins(y=0.2)
    name, band = metric_title(found[0].metric), " with its 95 % interval" if known else ""
    alt = f"{name} over the number of labels{band}: " + ", ".join(f"{p.labels}: {p.text()}" for p in found)
    return Picture(figure, alt, f"{name}{band} over the number of labels.", least=0, form="svg")


def curve_axes(found: Sequence[Point]) -> tuple[Drawing, Axes]:
    """Return a figure with the curve of some points, and its axes."""
    from alkit.report.curves import draw_curves
    from alkit.report.figures import Drawing

    figure = Drawing(figsize=(WIDE, HIGH), layout="constrained")
    axes = figure.subplots()
    name = metric_title(found[0].metric)
    draw_curves(axes, {name: {0: {point.labels: point.value for point in found}}})
    if (legend := axes.get_legend()) is not None:
        legend.remove()
    axes.set_xlabel("labels trained on", fontsize=11)
    axes.set_ylabel(name, parse_math=False, fontsize=11)
    axes.tick_params(labelsize=10.5)
    return figure, axes


def _table(campaign: Campaign, found: tuple[Point, ...]) -> Table:
    history, by_round = campaign.summary.history, {point.round: point for point in found}
    held = any(result.n_held_out for result in history)
    agreed = any(result.agreement is not None for result in history)
    titles = ["round", "labels", *(["held out"] if held else [])]
    titles += [*([metric_title(found[-1].metric), "95 % interval"] if found else [])]
    titles += [*(["agreement of models"] if agreed else [])]
    rows = []
    for result in reversed(history):
        point = by_round.get(result.round)
        row = [str(result.round), number(result.n_labels), *([number(result.n_held_out)] if held else [])]
        if found:
            between = "" if point is None or point.low is None else f"{point.low:.3f} to {point.high:.3f}"
            row += ["" if point is None else f"{point.value:.3f}" if point.shown else "too few images", between]
        row += [*(["" if result.agreement is None else f"{result.agreement:.3f}"] if agreed else [])]
        rows.append(row)
    if found and all(point.low is None for point in found):
        column = titles.index("95 % interval")
        titles, rows = titles[:column] + titles[column + 1 :], [row[:column] + row[column + 1 :] for row in rows]
    caption = "All rounds, the latest first."
    if agreed:
        caption += " The agreement of models is Cohen's kappa of a round's predictions with those of the round before."
    return Table(titles, rows, caption)
