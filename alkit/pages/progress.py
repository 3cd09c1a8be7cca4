"""Progress by day and by person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from alkit.pages.campaign import Campaign
from alkit.pages.curve import HIGH, WIDE
from alkit.pages.words import counted, day, duration, number, person, share, short_day
from alkit.pictures.colours import LINE_COLOURS
from alkit.record.states import Recorded, latest
from alkit.report.blocks import AnyBlock, Columns
from alkit.report.page import Picture, Table, Text

MOST_PEOPLE = len(LINE_COLOURS) - 1
"""Greatest number of people with their own colour; the others share one."""

MOST_DAYS = 45
"""Greatest number of days with their own bar; a longer campaign is shown by weeks."""

MOST_BARS = 150
"""Greatest number of bars; those of a still longer campaign stand for several times four weeks."""

FEW_BARS = 6
"""With at most so many bars, each has its date below it."""

OTHERS, OTHER_COLOUR = "others", "#9aa4af"


class Given(NamedTuple):
    """An answer that counts: who gave it, when, and whether it is a label."""

    who: str
    at: datetime
    label: bool


def progress(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks about progress."""
    given = _given(campaign)
    if not given:
        return [Text("Nobody has answered yet.")]
    labels = [one for one in given if one.label]
    blocks: list[AnyBlock] = [Text(_takeaway(campaign, given, labels))]
    people = _people(campaign, given)
    blocks += [Columns([_chart(labels), people])] if labels else [people]
    if told := campaign.summary.unasked:
        total = sum(told.values())
        sources = ", ".join(f"{person(source)}: {number(n)}" for source, n in told.items())
        blocks += [Text(f"{counted(total, 'more label')} came without a query ({sources}) and are not counted here.")]
    return blocks


def _given(campaign: Campaign) -> list[Given]:
    counting: list[Recorded] = [
        answer
        for own in latest(campaign.snapshot.answers).values()
        for answer in own.values()
        if answer.counts and not answer.source and answer.told_at
    ]
    zone = campaign.now.tzinfo
    found = [
        Given(person(answer.annotator), datetime.fromisoformat(answer.told_at).astimezone(zone), answer.kind == "label")
        for answer in counting
    ]
    return sorted(found, key=lambda one: one.at)


def _takeaway(campaign: Campaign, given: Sequence[Given], labels: Sequence[Given]) -> str:
    first, last, people = given[0].at, given[-1].at, len({one.who for one in given})
    week = sum(one.at > campaign.now - timedelta(days=7) for one in labels)
    by = counted(people, "person") if people == 1 else f"{people} people"
    since = f"on {day(first)}" if first.date() == last.date() else f"from {day(first)} to {day(last)}"
    return f"{counted(len(labels), 'label')} by {by} {since}; {counted(week, 'label')} in the last seven days."


def _people(campaign: Campaign, given: Sequence[Given]) -> Table:
    told = sorted(campaign.summary.annotators, key=lambda one: (-one.labels, one.name))
    last = {one.who: one.at for one in given}
    counts = {"sent back": "rejected", "invalid": "invalid", "taken back": "withdrawn"}
    shown = {title: name for title, name in counts.items() if any(getattr(one, name) for one in told)}
    timed = any(one.seconds for one in told)
    total = sum(one.labels for one in told)
    rows = []
    for one in told:
        row = [person(one.name), number(one.labels), share(one.labels, total), number(one.skips)]
        row += [number(getattr(one, name)) for name in shown.values()]
        row += ["" if one.seconds is None else duration(one.seconds.median)] if timed else []
        at = last.get(person(one.name))
        rows.append([*row, "" if at is None else short_day(at, campaign.now)])
    titles = ["person", "labels", "share", "skips", *shown, *(["per label"] if timed else []), "last answer"]
    return Table(titles, rows, "All people, most labels first." + (" Times are medians." if timed else ""))


def _chart(labels: Sequence[Given]) -> Picture:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.ticker import MaxNLocator

    from alkit.report.figures import Drawing

    by_person = Counter(one.who for one in labels)
    ranked = [who for who, _ in sorted(by_person.items(), key=lambda entry: (-entry[1], entry[0]))]
    named = ranked if len(ranked) <= MOST_PEOPLE else [*ranked[:MOST_PEOPLE], OTHERS]
    days = (labels[-1].at.date() - labels[0].at.date()).days + 1
    step = 1 if days <= MOST_DAYS else 7 if days <= 7 * MOST_DAYS else 28 * -(-days // (28 * MOST_BARS))
    begin = labels[0].at.date()
    begin -= timedelta(days=begin.weekday() if step > 1 else 0)

    def bar(at: date) -> date:
        return begin + timedelta(days=(at - begin).days // step * step)

    counts = Counter((one.who if one.who in named else OTHERS, bar(one.at.date())) for one in labels)
    starts = [begin + timedelta(days=offset) for offset in range(0, (labels[-1].at.date() - begin).days + 1, step)]
    figure = Drawing(figsize=(WIDE, HIGH), layout="constrained")
    axes = figure.subplots()
    below = [0] * len(starts)
    places = [float(date2num(start)) for start in starts]  # type: ignore[no-untyped-call]
    for who, colour in zip(named, (*LINE_COLOURS[:-1], OTHER_COLOUR), strict=False):
        heights = [counts[who, start] for start in starts]
        axes.bar(places, heights, 0.8 * step, bottom=below, color=colour, label=f" {who}" if who[0] == "_" else who)
        below = [one + more for one, more in zip(below, heights, strict=True)]
    if len(starts) <= FEW_BARS:
        axes.set_xticks(places, [f"{start.day} {start:%b}" for start in starts])
    else:
        locator: Any = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    beside = step * max(0.7, (FEW_BARS - len(starts)) / 2)
    first, last = (float(date2num(end)) for end in (date.min, date.max))  # type: ignore[no-untyped-call]
    axes.set_xlim(max(first, places[0] - beside), min(last, places[-1] + beside))
    axes.set_ylim(0, 1.1 * max(below))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    unit = {1: "day", 7: "week", 28: "four weeks"}.get(step, f"{step // 7} weeks")
    axes.set_ylabel(f"labels per {unit}", fontsize=11)
    axes.tick_params(labelsize=10.5)
    if len(named) > 1:
        legend = figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=10)
        for text in legend.get_texts():
            text.set_parse_math(False)
    alt = f"Labels per {unit}: " + ", ".join(f"{start}: {n}" for start, n in zip(starts, below, strict=True) if n)
    return Picture(figure, alt, f"Labels per {unit} and person.", least=0, form="svg")
