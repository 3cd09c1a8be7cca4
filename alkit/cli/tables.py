"""Results and campaigns as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Column, Table
from rich.text import Text

from alkit.cli.printing import in_table
from alkit.cli.wording import left_out_in_words
from alkit.errors import one_line
from alkit.report.arrivals import about_similar_names
from alkit.report.reviews import in_words
from alkit.report.states import MEANINGS
from alkit.values.queries import State
from alkit.values.rounds import FEW_IMAGES, RoundResult

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from alkit.evaluation.agreement import Agreement
    from alkit.report.next_step import Step
    from alkit.report.open_queries import OpenQuery
    from alkit.report.summary import CampaignSummary, Timing


FEW = 10
"""With fewer held-out labels, metrics are reported as unreliable."""


def results_table(histories: Mapping[str, Sequence[RoundResult]], metric: str = "dice") -> Table:
    """Return a table of a metric, with one row per number of labels and one column per name.

    Parameters
    ----------
    histories:
        Rounds of each run, by name.
    metric:
        Name of the metric.
    """
    table = Table("labels", *(f"{name} ({metric})" for name in histories))
    curves = [{result.n_labels: result for result in history} for history in histories.values()]
    for labels in sorted({labels for curve in curves for labels in curve}):
        table.add_row(str(labels), *(_cell(curve.get(labels), metric) for curve in curves))
    return table


def _cell(result: RoundResult | None, metric: str) -> str:
    if result is None:
        return ""
    value = f"{result.metrics[metric]:.3f}" if metric in result.metrics else ""
    return f"{value} (and {result.n_pseudo} pseudo-labels)" if result.n_pseudo else value


MEASURES = {"dice": "mean Dice", "kappa": "Cohen's kappa"}
MOST_LISTED = 8
"""Greatest number of images that a table lists."""

OVERDUE, IN_REVIEW = "of the open ones, past their deadline", "label is being checked again"
"""Meanings of what is not a state of its own."""


def print_campaign(
    console: Console, summary: CampaignSummary, step: Step, name: str, most: int | None = MOST_LISTED
) -> None:
    """Print the state of a campaign. The last line is the next command, never broken into several lines.

    Parameters
    ----------
    console:
        Console to print to. Tables are fitted to its width.
    summary:
        Summary of the campaign.
    step:
        Next step of the campaign.
    name:
        Name of the record, for the title.
    most:
        Greatest number of images that a table lists; None for all.
    """
    for part in _parts(summary, name, most, unicode=console.encoding.lower().startswith("utf")):
        console.print(part, highlight=False)
    console.print(f"[bold]Next:[/bold] {in_table(step.why)}.", highlight=False)
    console.print(Text(f"  {one_line(step.command)}", style="bold cyan"), soft_wrap=True)


def _parts(summary: CampaignSummary, name: str, most: int | None, *, unicode: bool) -> Iterator[RenderableType]:
    left = "" if summary.left is None else f", {summary.left} of the pool left"
    yield (
        f"[bold]{in_table(name)}[/bold]: {_count(summary.labels, 'label')}, {len(summary.skipped)} skipped, "
        f"{len(summary.open)} open{left}"
    )
    if summary.unasked:
        sources = ", ".join(f"{in_table(source)}: {n}" for source, n in summary.unasked.items())
        total = sum(summary.unasked.values())
        what = "1 more image has a label" if total == 1 else f"{total} more images have labels"
        yield f"{what} that nobody asked for ({sources}). The tables of images and annotators leave them out."
    if summary.states:
        yield _states(summary)
    if summary.annotators:
        yield _annotators(summary)
        yield from map(in_table, about_similar_names([person.name for person in summary.annotators]))
    if summary.seconds is not None:
        yield f"Median time for a label: {_timing(summary.seconds)}."
    if summary.agreement is not None:
        yield from _agreement(summary.agreement, most)
    yield from map(in_table, in_words(summary.reviews))
    if summary.open:
        yield from _open(summary)
    yield from _listed(summary, most)
    yield from _problems(summary, most)
    yield from _curve(summary, unicode)
    yield from _advice(summary)


def _table(title: str, *columns: Column | str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _number(name: str) -> Column:
    return Column(name, justify="right", no_wrap=True)


def _states(summary: CampaignSummary) -> Table:
    table = _table("Images", Column("state", no_wrap=True), _number("images"), "meaning")
    for state, count in summary.states.items():
        table.add_row(state.value, str(count), MEANINGS[state])
    for name, ids, meaning in (("overdue", summary.overdue, OVERDUE), ("in review", summary.in_review, IN_REVIEW)):
        if ids:
            table.add_row(name, str(len(ids)), meaning)
    return table


def _annotators(summary: CampaignSummary) -> Table:
    found = summary.annotators
    optional = {
        "sent back": [person.rejected for person in found],
        "invalid": [person.invalid for person in found],
        "taken back": [person.withdrawn for person in found],
    }
    shown = {name: counts for name, counts in optional.items() if any(counts)}
    shown |= {"waiting": [person.waiting for person in found]} if any(person.waiting for person in found) else {}
    timed = any(person.seconds is not None for person in found)
    columns = [_number(name) for name in ("labels", "skips", *shown)]
    table = _table("Annotators", Column("name", overflow="fold"), *columns, *([_number("per label")] if timed else []))
    for row, person in enumerate(found):
        counts = [person.labels, person.skips, *(counts[row] for counts in shown.values())]
        took = "" if person.seconds is None else _timing(person.seconds)
        table.add_row(_who(person.name), *map(str, counts), *([took] if timed else []))
    return table


def _agreement(found: Agreement, most: int | None) -> Iterator[RenderableType]:
    names = list(found.by_class) if len(found.by_class) > 1 else []
    table = _table(
        "Agreement of annotators", Column("annotators", overflow="fold"), _number("images"),
        _number(MEASURES[found.measure]), *(_number(in_table(name)) for name in names),
    )  # fmt: skip
    for pair in found.pairs:
        values = [pair.agreement, *(pair.by_class.get(name) for name in names)]
        table.add_row(
            " and ".join(map(_who, pair.annotators)),
            str(pair.images),
            *("" if value is None else f"{value:.3f}" for value in values),
        )
    yield table
    if disputed := found.disputed:
        listed = ", ".join(in_table(id) for id in disputed[:most])
        more = f" and {left} more" if (left := len(disputed[len(disputed) if most is None else most :])) else ""
        yield f"{_count(len(disputed), 'image')} disputed, with an agreement below {found.below:g}: {listed}{more}."


def _open(summary: CampaignSummary) -> Iterator[RenderableType]:
    from alkit.report.text import age

    groups: dict[tuple[State, str], list[OpenQuery]] = {}
    for query in summary.open:
        groups.setdefault((query.state, _for_whom(query)), []).append(query)
    table = _table("Open", Column("state", no_wrap=True), _number("images"), _number("since"), "waiting for")
    for (state, whom), queries in groups.items():
        oldest, newest = (age(bound(query.hours for query in queries)) for bound in (max, min))
        since = oldest if oldest == newest else f"{newest} to {oldest}"
        table.add_row(state.value, str(len(queries)), since, in_table(whom))
    yield table


def _listed(summary: CampaignSummary, most: int | None) -> Iterator[RenderableType]:
    """Yield tables of the images that are overdue, skipped, or answered by others than those they are assigned to."""
    if late := [query for query in summary.open if query.overdue]:
        table = _table("Overdue", Column("image", overflow="fold"), "waiting for", "due (UTC)")
        for query in late[:most]:
            table.add_row(in_table(query.key), in_table(_for_whom(query)), _when(query.due))
        yield table
        yield from _more(len(late), most)
    if summary.skips:
        table = _table("Skipped", Column("image", overflow="fold"), "annotator", Column("reason", ratio=1))
        for skip in summary.skips[:most]:
            table.add_row(in_table(skip.id), _who(skip.annotator), in_table(skip.reason) or "[dim]none given[/dim]")
        yield table
        yield from _more(len(summary.skips), most)
    if summary.unexpected:
        table = _table("Answered by somebody else", Column("image", overflow="fold"), "annotator", "assigned to")
        for answer in summary.unexpected[:most]:
            table.add_row(in_table(answer.key), _who(answer.annotator), in_table(", ".join(answer.assigned)))
        yield table
        yield from _more(len(summary.unexpected), most)


def _when(time: str | None) -> str:
    return "" if time is None else time[:16].replace("T", " ")


def _problems(summary: CampaignSummary, most: int | None) -> Iterator[RenderableType]:
    if summary.problems:
        columns = Column("image", overflow="fold"), "annotator", "problem", Column("reason", ratio=1)
        table = _table("To be answered again", *columns)
        for key, problem in summary.problems[:most]:
            what = {"rejected": "sent back", "invalid": "invalid", "withdrawn": "taken back"}[problem.kind]
            table.add_row(in_table(key), _who(problem.annotator), what, in_table(problem.reason))
        yield table
        yield from _more(len(summary.problems), most)
    if summary.not_compared is not None:
        yield f"Labels are not compared: {in_table(summary.not_compared)}"
    if summary.doubts:
        table = _table("Please look at", Column("image", overflow="fold"), "annotator", Column("label", ratio=1))
        for doubt in summary.doubts[:most]:
            table.add_row(in_table(doubt.id), _who(doubt.annotator), in_table(doubt.reason))
        yield table
        yield from _more(len(summary.doubts), most)
    if summary.unread:
        table = _table("Not taken", Column("file or image", overflow="fold"), Column("reason", ratio=1))
        for entry in summary.unread[:most]:
            table.add_row(in_table(entry.what), in_table(entry.reason))
        yield table
        yield from _more(len(summary.unread), most)
    if summary.unusable:
        table = _table("Images that cannot be used", Column("image", overflow="fold"), Column("reason", ratio=1))
        for id, reason in list(summary.unusable.items())[:most]:
            table.add_row(in_table(id), in_table(left_out_in_words(reason)))
        yield table
        yield from _more(len(summary.unusable), most)


def _more(n: int, most: int | None) -> Iterator[RenderableType]:
    if most is not None and n > most:
        yield f"and {n - most} more: see --json or --all"


def _for_whom(query: OpenQuery) -> str:
    if query.state is State.PENDING:
        return "being sent"
    back = sorted({problem.annotator for problem in query.problems} - set(query.answered_by))
    named = [name or "an unnamed annotator" for name in back]
    asked = [name for name in sorted(query.assigned) if name not in (*query.answered_by, *back)]
    others = max(0, query.missing - len(back))
    if others and len(asked) > others:
        return " and ".join([*named, " or ".join(asked)])
    named += asked[:others]
    others -= len(asked[:others])
    if not others:
        return ", ".join(named)
    somebody = "an annotator" if others == 1 else f"{others} annotators"
    if query.answered_by:
        somebody = f"{others} more, after {', '.join(name or 'an unnamed one' for name in query.answered_by)}"
    return " and ".join([*([", ".join(named)] if named else []), somebody])


def _curve(summary: CampaignSummary, unicode: bool) -> Iterator[RenderableType]:
    from alkit.report.audit import audit_in_words, changes, shown_figure
    from alkit.report.text import sparkline
    from alkit.report.truth import truth_in_words

    if not summary.history:
        return
    history, metric = summary.history, None if summary.metric is None else in_table(summary.metric)
    drawn = f"  {sparkline(summary.curve)}" if unicode and metric is not None else ""
    pseudo, held = any(result.n_pseudo for result in history), any(result.n_held_out for result in history)
    agreed = any(result.agreement is not None for result in history)
    unasked = any(result.n_unasked for result in history)
    titles = ["round", "labels", *(["not asked for"] if unasked else [])]
    titles += [*(["pseudo-labels"] if pseudo else []), *(["held out"] if held else [])]
    titles += [*([metric, "change"] if metric is not None else []), *(["agreement"] if agreed else [])]
    table = _table(f"Learning curve{drawn}", *map(_number, titles))
    tested = summary.measured_on == "test set"
    figures = [
        None if summary.metric is None else shown_figure(one, summary.metric, tested=tested, short=True)
        for one in history
    ]
    for result, shown, change in zip(history, figures, changes(history, summary.metric), strict=True):
        row = [str(result.round), str(result.n_labels), *([str(result.n_unasked)] if unasked else [])]
        row += [*([str(result.n_pseudo)] if pseudo else []), *([str(result.n_held_out)] if held else [])]
        if metric is not None:
            row += [shown or ""]
            row += ["" if change is None or shown is None else f"{change:+.3f}"]
        row += [*(["" if result.agreement is None else f"{result.agreement:.3f}"] if agreed else [])]
        table.add_row(*row)
    yield table
    if any(shown is None and one.metrics for shown, one in zip(figures, history, strict=True)):
        yield f"[dim]Figures from fewer than {FEW_IMAGES} images are not shown without an interval.[/dim]"
    yield from map(in_table, audit_in_words(summary.audit, history, summary.metric))
    if summary.measured_on == "audit set":
        yield f"[dim]{metric} is measured on the audit set; its change, on images measured both times.[/dim]"
    elif summary.measured_on == "hold-out":
        yield (
            f"[dim]{metric} is measured on labels held out at random. The strategy selected their images, so they are "
            "not a random sample of the pool. Their number grows, so each round is measured on other images than the "
            "round before.[/dim]"
        )
        if (n := history[-1].n_held_out) < FEW:
            yield f"[yellow]The last round was measured on {n} labels: too few for a reliable {metric}.[/yellow]"
    elif summary.measured_on == "test set":
        yield f"[dim]{metric} is measured on a test set.[/dim]"
    elif summary.audit.ids:
        yield "[dim]There are no metrics: no image of the audit set is labelled yet.[/dim]"
    else:
        yield "[dim]There are no metrics: the campaign has neither an audit set, nor a hold-out, nor a test set.[/dim]"
    warnings = (*truth_in_words(history), *history[-1].warnings)
    yield from (f"[yellow]{in_table(warning)}[/yellow]" for warning in warnings)
    if agreed:
        yield "[dim]agreement: Cohen's kappa with the previous model, on a random sample of the pool.[/dim]"


def _advice(summary: CampaignSummary) -> Iterator[RenderableType]:
    if summary.history and summary.advice:
        table = _table("Stopping rules", Column("rule", no_wrap=True), Column("advice", no_wrap=True), "reason")
        for name, advice in summary.advice.items():
            says = {True: "[yellow]stop[/yellow]", False: "[green]continue[/green]", None: "cannot tell"}[advice.stop]
            figures = ", ".join(f"{title} {value:.4g}" for title, value in advice.figures.items())
            why = in_table(advice.reason) + (f"\n[dim]{in_table(figures)}[/dim]" if figures else "")
            table.add_row(in_table(name), says, why)
        yield table
    question = f"{'Is' if summary.next_batch == 1 else 'Are'} {_count(summary.next_batch, 'more label')} worth it?"
    yield f"[bold]{question}[/bold] {in_table(summary.verdict)}"
    if summary.outlook is not None:
        *told, recommendation = map(in_table, summary.outlook.sentences)
        yield from told
        yield f"[bold]{recommendation}[/bold]"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _who(name: str) -> str:
    return in_table(name) if name else "[dim]unnamed[/dim]"


def _timing(timing: Timing) -> str:
    return f"{timing.median:.0f} s (n = {timing.n})"
