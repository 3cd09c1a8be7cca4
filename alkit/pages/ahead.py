"""What the next labels would cost and bring, and what the stopping rules say about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alkit.evaluation.meanings import DIRECTIONS
from alkit.pages.campaign import Campaign
from alkit.pages.curve import curve_axes, points
from alkit.pages.words import duration, metric_title, number, short
from alkit.pictures.colours import VERMILLION
from alkit.record.testsets import test_set
from alkit.report.audit import comparable_history
from alkit.report.blocks import AnyBlock, Columns
from alkit.report.costs import recorded_cost
from alkit.report.imported import since_import
from alkit.report.outlook import Outlook, make_outlook
from alkit.report.page import Picture, Table, Text
from alkit.statistics.forecasts import Forecast

HOURS = (1, 2, 4, 8, 16, 32, 64)
"""Hours of work that are looked ahead."""

BATCHES = (1, 2, 4)
"""Numbers of batches that are looked ahead if the time of a label is unknown."""

MOST_ROWS = 4

SAYS = {True: "stop", False: "go on", None: "cannot tell"}


class Look(NamedTuple):
    """What more labels would cost, and the forecast of the metric."""

    outlook: Outlook
    forecast: Forecast


def ahead(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks about what comes next; none before the first round."""
    told = campaign.summary
    if told.outlook is None:
        return []
    blocks: list[AnyBlock] = [Text(_capital(campaign.words(sentence))) for sentence in told.outlook.sentences]
    looks = _looks(campaign)
    if looks:
        blocks.append(Columns([_chart(campaign, looks), _forecasts(campaign, looks)]))
    return [*blocks, *_rules(campaign)]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _looks(campaign: Campaign) -> list[Look]:
    """Return what more hours, or more batches, would bring; nothing if no forecast can be made."""
    told = campaign.summary
    if told.outlook is None or told.outlook.forecast is None:
        return []
    left, cost = told.left, recorded_cost(campaign.record, outlines=False)
    tested = test_set(campaign.settings, campaign.record) is not None
    history = comparable_history(since_import(told.history), tested=tested)
    annotators = max((entry.query.wanted for entry in campaign.snapshot.asked[-told.next_batch :]), default=1)
    steps: Sequence[tuple[int, float | None]] = [(n * told.next_batch, None) for n in BATCHES]
    if cost is not None:
        steps = [(told.next_batch, float(hours)) for hours in HOURS]
    directions = campaign.record.fact(DIRECTIONS)
    found: list[Look] = []
    for batch, hours in steps:
        look = make_outlook(
            history, told.advice, batch, cost, hours=hours, annotators=annotators, left=left, directions=directions
        )
        if look.forecast is not None and (hours is None or look.labels >= 0.4 * told.next_batch):
            found.append(Look(look, look.forecast))
        if len(found) == MOST_ROWS or (left is not None and look.labels >= left):
            break
    return found


def _forecasts(campaign: Campaign, looks: Sequence[Look]) -> Table:
    rows = []
    for look, found in looks:
        between = "" if look.labels_low == look.labels_high else f" ({look.labels_low:,.0f} to {look.labels_high:,.0f})"
        hours = "" if look.hours is None else duration(3600 * look.hours)
        rows.append(
            [f"{number(look.labels)}{between}", hours, f"{found.value:.3f}", f"{found.low:.3f} to {found.high:.3f}"]
        )
    confidence = f"{100 * looks[0].forecast.confidence:.0f} %"
    titles = ["more images", "hours of work", metric_title(str(looks[0].outlook.metric)), f"{confidence} interval"]
    if not any(row[1] for row in rows):
        titles, rows = [titles[0], *titles[2:]], [[row[0], *row[2:]] for row in rows]
    return Table(titles, rows, f"What more labels are expected to bring, by the curve on the {_on(campaign)}.")


def _on(campaign: Campaign) -> str:
    return points(campaign)[-1].on


def _chart(campaign: Campaign, looks: Sequence[Look]) -> Picture:
    """Return the curve so far, and how it is expected to go on."""
    every = points(campaign)
    done = [point for point in every if point.on == every[-1].on]
    figure, axes = curve_axes(done)
    first = looks[0].forecast
    x = [float(done[-1].labels), *(look.forecast.labels for look in looks)]
    middle = [first.level, *(look.forecast.value for look in looks)]
    low, high = ([first.level, *(getattr(look.forecast, end) for look in looks)] for end in ("low", "high"))
    axes.plot(x, middle, color=VERMILLION, ls=(0, (4, 2)), lw=1.6)
    axes.fill_between(x, low, high, color=VERMILLION, alpha=0.15, lw=0)
    name, confidence = metric_title(done[0].metric), f"{100 * first.confidence:.0f} %"
    told = ", ".join(
        f"{number(a)}: {b:.2f} ({c:.2f} to {d:.2f})" for a, b, c, d in zip(x, middle, low, high, strict=True)
    )
    caption = f"{name} so far (blue), and its forecast with the {confidence} interval (red)."
    return Picture(figure, f"Forecast of {name} by labels trained on: {told}", caption, least=0, form="svg")


def _rules(campaign: Campaign) -> Iterator[Table]:
    advice = campaign.summary.advice
    rows = [[short(name, 60), SAYS[one.stop], short(one.reason)] for name, one in sorted(advice.items())]
    if rows:
        yield Table(["stopping rule", "advice", "reason"], rows, "What the stopping rules say.", words=(1, 2))
