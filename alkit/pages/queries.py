"""The states of all queries, what was skipped and why, and what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from alkit.pages.campaign import Campaign
from alkit.pages.words import counted, duration, listed, number, person, share, short, short_day
from alkit.report.blocks import AnyBlock, Columns, Note
from alkit.report.open_queries import OpenQuery
from alkit.report.page import Table, Text
from alkit.report.states import MEANINGS

MOST = 50
"""Greatest number of rows of a table."""

PROBLEMS = {"rejected": "sent back", "invalid": "invalid", "withdrawn": "taken back"}


def queries(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks about queries."""
    told = campaign.summary
    if not told.states:
        return [Text("Nothing has been asked yet.")]
    total = sum(told.states.values())
    states = Table(
        ["state", "images", "share", "meaning"],
        [[state.value, number(n), share(n, total), MEANINGS[state]] for state, n in told.states.items()],
        f"All {counted(total, 'query')}, by state.",
        words=(3,),
    )
    return [states, *_open(campaign), *_skips(campaign), *_refusals(campaign)]


def _open(campaign: Campaign) -> Iterator[AnyBlock]:
    told = sorted(campaign.summary.open, key=lambda query: (not query.overdue, -query.hours, query.round, query.rank))
    if not told:
        return
    late = sum(query.overdue for query in told)
    if late:
        yield Note(f"{counted(late, 'image')} {'is' if late == 1 else 'are'} overdue.")
    rows = [
        [
            short(query.id, 80),
            query.state.value,
            duration(3600 * query.hours),
            listed([person(name) for name in query.assigned]) or "anybody",
            _due(campaign, query),
            listed([person(name) for name in query.answered_by]),
            "; ".join(f"{person(problem.annotator)}: {short(problem.reason)}" for problem in query.problems),
        ]
        for query in told[:MOST]
    ]
    titles = ["open image", "state", "waits", "asked of", "due", "answered by", "problem"]
    words = {1, 3, 5, 6}
    idle = {place for place in (4, 5, 6) if not any(row[place] for row in rows)}
    idle |= {3} if all(row[3] == "anybody" for row in rows) else set()
    kept = [place for place in range(len(titles)) if place not in idle]
    yield Table(
        [titles[place] for place in kept],
        [[row[place] for place in kept] for row in rows],
        f"Open queries, {'overdue ones first, then ' if late else ''}the oldest first.{_first(len(told))}",
        words=[new for new, place in enumerate(kept) if place in words],
    )


def _due(campaign: Campaign, query: OpenQuery) -> str:
    if query.due is None:
        return ""
    at = datetime.fromisoformat(query.due).astimezone(campaign.now.tzinfo)
    return f"{short_day(at, campaign.now)}{', overdue' * query.overdue}"


def _skips(campaign: Campaign) -> Iterator[AnyBlock]:
    skips = campaign.summary.skips
    if not skips:
        return
    reasons = Counter(short(skip.reason) or "no reason given" for skip in skips)
    rows = [[reason, number(n)] for reason, n in sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))]
    by_reason = Table(["reason of skips", "skips"], rows[:MOST], f"Why images were skipped.{_first(len(rows))}")
    ordered = sorted(skips, key=lambda skip: (skip.id, skip.annotator))[:MOST]
    images = Table(
        ["skipped image", "person", "reason"],
        [[short(skip.id, 80), person(skip.annotator), short(skip.reason)] for skip in ordered],
        f"Skips, by image.{_first(len(skips))}",
        words=(1, 2),
    )
    yield Columns([by_reason, images])


def _refusals(campaign: Campaign) -> Iterator[AnyBlock]:
    told = campaign.summary
    if told.problems:
        rows = [
            [short(key, 100), person(problem.annotator), PROBLEMS[problem.kind], short(problem.reason)]
            for key, problem in told.problems[:MOST]
        ]
        caption = f"Answers that must be given again.{_first(len(told.problems))}"
        yield Table(["query", "person", "problem", "reason"], rows, caption, words=(1, 3))
    if told.unexpected:
        rows = [
            [short(one.key, 100), person(one.annotator), listed([person(name) for name in one.assigned])]
            for one in told.unexpected[:MOST]
        ]
        caption = f"Answers by others than those who were asked. They count.{_first(len(told.unexpected))}"
        yield Table(["query", "answered by", "asked of"], rows, caption, words=(1, 2))
    if told.doubts:
        rows = [[short(doubt.id, 80), person(doubt.annotator), short(doubt.reason)] for doubt in told.doubts[:MOST]]
        caption = f"Labels that may be mistakes. They count nevertheless.{_first(len(told.doubts))}"
        yield Table(["image", "person", "what is unusual"], rows, caption, words=(1, 2))
    if told.unread:
        rows = [[short(entry.what, 100), short(entry.reason)] for entry in told.unread[:MOST]]
        yield Table(
            ["file or image", "reason"], rows, f"Files and answers not taken.{_first(len(told.unread))}", words=(1,)
        )
    if told.unusable:
        rows = [[short(id, 80), short(campaign.left_out(reason))] for id, reason in list(told.unusable.items())[:MOST]]
        caption = f"Images that cannot be used.{_first(len(told.unusable))}"
        yield Table(["image", "reason"], rows, caption, words=(1,))


def _first(n: int) -> str:
    return f" The first {MOST} of {number(n)}; alkit status --json lists all." if n > MOST else ""
