"""What the next labels would cost and bring, and what the stopping rules say about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alkit.pages.campaign import Campaign
from alkit.pages.curve import points
from alkit.pages.words import duration, metric_title, number, short
from alkit.report.blocks import AnyBlock, Columns
from alkit.report.costs import RecordedCost, recorded_cost
from alkit.report.imported import since_import
from alkit.report.outlook import Outlook, make_outlook
from alkit.report.page import Table, Text

HOURS = (1, 2, 4, 8, 16, 32, 64)
"""Hours of work that are looked ahead."""

BATCHES = (1, 2, 4)
"""Numbers of batches that are looked ahead if the time of a label is unknown."""

MOST_ROWS = 4

SAYS = {True: "stop", False: "go on", None: "cannot tell"}


def ahead(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks about what comes next; none before the first round."""
    told = campaign.summary
    if told.outlook is None:
        return []
    blocks: list[AnyBlock] = [Text(_capital(campaign.words(sentence))) for sentence in told.outlook.sentences]
    tables: list[AnyBlock] = [table for table in (_forecasts(campaign), _rules(campaign)) if table is not None]
    return [*blocks, Columns(tables)] if len(tables) > 1 else [*blocks, *tables]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _forecasts(campaign: Campaign) -> Table | None:
    """Return what more hours, or more labels, would bring; None if no forecast can be made."""
    told = campaign.summary
    assert told.outlook is not None
    if told.outlook.forecast is None:
        return None
    cost = recorded_cost(campaign.record, outlines=False)
    found = list(_looks(campaign, cost))[:MOST_ROWS]
    rows = []
    for look in found:
        if look.forecast is None:
            continue
        between = "" if look.labels_low == look.labels_high else f" ({look.labels_low:.0f} to {look.labels_high:.0f})"
        rows.append(
            [
                f"{number(look.labels)}{between}",
                "" if look.hours is None else duration(3600 * look.hours),
                f"{look.forecast.value:.3f}",
                f"{look.forecast.low:.3f} to {look.forecast.high:.3f}",
            ]
        )
    if not rows:
        return None
    confidence = f"{100 * told.outlook.forecast.confidence:.0f} %"
    titles = ["more images", "hours of work", metric_title(str(told.outlook.metric)), f"{confidence} interval"]
    if cost is None:
        titles, rows = [titles[0], *titles[2:]], [[row[0], *row[2:]] for row in rows]
    on = next((point.on for point in reversed(points(campaign))), "")
    return Table(titles, rows, f"Forecast from the learning curve on the {on}.")


def _looks(campaign: Campaign, cost: RecordedCost | None) -> Iterator[Outlook]:
    told = campaign.summary
    history, left = since_import(told.history), told.left
    annotators = max((entry.query.wanted for entry in campaign.snapshot.asked[-told.next_batch :]), default=1)
    steps: Sequence[tuple[int, float | None]] = [(n * told.next_batch, None) for n in BATCHES]
    if cost is not None:
        steps = [(told.next_batch, float(hours)) for hours in HOURS]
    for batch, hours in steps:
        look = make_outlook(history, told.advice, batch, cost, hours=hours, annotators=annotators, left=left)
        if hours is not None and look.labels < 0.4 * told.next_batch:
            continue
        yield look
        if left is not None and look.labels >= left:
            return


def _rules(campaign: Campaign) -> Table | None:
    advice = campaign.summary.advice
    rows = [[short(name, 60), SAYS[one.stop], short(one.reason)] for name, one in sorted(advice.items())]
    titles = ["stopping rule", "advice", "reason"]
    return Table(titles, rows, "What the stopping rules say.", words=(1, 2)) if rows else None
