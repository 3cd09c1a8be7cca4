"""``alkit status``: show the state of a campaign, whether more labels are worth it, and the next step."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alkit.cli.expanding import expand
from alkit.cli.stores import Record
from alkit.cli.wording import warning_for_command_line

if TYPE_CHECKING:
    from alkit.evaluation.agreement import Agreement
    from alkit.record.audit import AuditSet
    from alkit.report.next_step import Step
    from alkit.report.summary import CampaignSummary
    from alkit.values.queries import Query
    from alkit.values.rounds import RoundResult


@expand
def status(
    store: Record,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the ids of images.")] = False,
    batch: Annotated[int | None, typer.Option("--batch", "-n", help="Number of images in the next batch.")] = None,
    hours: Annotated[
        float | None,
        typer.Option(help="Hours of work, of all annotators, that the forecast is for. Default: the batch."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List all images in each table, not only some.")] = False,
) -> None:
    """Show the state of a campaign: labels, open queries, annotators, the learning curve, and the next step.

    All installed stopping rules advise whether the next batch is worth its labels. The command changes nothing, and can
    run while another process works on the record.

    [dim]Examples:[/dim]

    [cyan]alkit status campaign.db[/cyan]

    [cyan]alkit status campaign.db -n 35[/cyan]

    [cyan]alkit status campaign.db --hours 6[/cyan]

    [cyan]alkit status runs/isic.db --json | jq '.rounds[-1].metrics.dice'[/cyan]
    """
    from alkit.checks import check_integer, check_number
    from alkit.cli.disputes import by_option, disputes_in_words
    from alkit.cli.people import people_in_words
    from alkit.cli.printing import quote
    from alkit.cli.records import folder_of, record_at
    from alkit.cli.remove import unfinished_in_words
    from alkit.cli.ruling import rules_and_groups
    from alkit.errors import one_line
    from alkit.record.changing import CHANGES, PLACE
    from alkit.record.grouping import recorded_rules
    from alkit.record.people import recorded_people
    from alkit.record.removing import REMOVED, unfinished_removals
    from alkit.record.settings import Settings
    from alkit.report.campaign import campaign_summary
    from alkit.report.next_step import Step, next_step

    if batch is not None:
        check_integer("--batch", batch, least=1)
    if hours is not None:
        check_number("--hours", hours, 0, open_ends="(")
    with record_at(store) as record, record.moment():
        settings, queries = Settings(record), record.queries()
        found, place = campaign_summary(record, batch, hours=hours), record.fact(PLACE)
        unfinished = unfinished_removals(record.fact(REMOVED))
        rules, kept = asdict(recorded_rules(record)), [*rules_and_groups(record), *people_in_words(record)]
        people = asdict(own) if (own := recorded_people(record)) else {}
        kept += disputes_in_words(record)
        seed, schedule, changes = settings.seed, settings.schedule, record.fact(CHANGES) or []
        declared, pool = settings.images is not None, settings.declared.get("pool")
    made_by = "alkit start" if schedule is None else "alkit run"
    found = replace(found, history=tuple(_in_words(result, made_by) for result in found.history))
    folder = folder_of(pool)
    gone = folder if folder is not None and not os.path.isdir(folder) else None
    step = next_step(found, str(store), scheduled=schedule is not None, placed=place is not None)
    if not declared and not queries:  # `alkit start` failed before it recorded anything
        step = Step(f"alkit start {quote(store)} --images FOLDER --classes NAMES", "no settings are recorded yet")
    elif step.command.startswith(("alkit ask", "alkit fit")) and gone is not None:
        step = Step(
            f"{step.command} --images FOLDER", f"{step.why}; the folder of images {gone} does not exist any more"
        )
    if as_json:
        planned = None if schedule is None else asdict(schedule)
        facts = {
            "store": str(store),
            "seed": seed,
            "schedule": planned,
            "changes": changes,
            "rules": rules,
            **({"people": people} if people else {}),
            **({"unfinished_removals": unfinished} if unfinished else {}),
            **_facts(found, step, queries),
        }
        print(json.dumps(facts, indent=2, allow_nan=False))
        return
    from rich.console import Console

    from alkit.cli.tables import MOST_LISTED, print_campaign

    console = Console()
    for change in changes:
        told = f"Settings changed on {change['at'][:10]}: {'; '.join(map(by_option, change['changed']))}."
        console.print(one_line(told), markup=False, highlight=False)
    for line in (*kept, *unfinished_in_words(store, unfinished)):
        console.print(one_line(line), markup=False, highlight=False)
    print_campaign(console, found, step, str(store), most=None if everything else MOST_LISTED)


def _in_words(result: RoundResult, command: str) -> RoundResult:
    """Return a round with its warnings in the words of the command line."""
    return replace(result, warnings=tuple(warning_for_command_line(text, command) for text in result.warnings))


def _facts(found: CampaignSummary, step: Step, queries: list[Query]) -> dict[str, Any]:
    return {
        "labels": found.labels,
        "unasked": dict(found.unasked),
        "skipped": list(found.skipped),
        **({"skips": [asdict(skip) for skip in found.skips]} if found.skips else {}),
        **({"overdue": list(found.overdue)} if found.overdue else {}),
        **({"in_review": list(found.in_review)} if found.in_review else {}),
        **({"unexpected": [asdict(answer) for answer in found.unexpected]} if found.unexpected else {}),
        "open": [query.id for query in found.open],
        "left": found.left,
        "states": {state.value: count for state, count in found.states.items()},
        "annotators": [_without_nothing(asdict(annotator), "waiting") for annotator in found.annotators],
        "open_queries": [asdict(query) for query in found.open],
        "problems": [{"query": key, **asdict(problem)} for key, problem in found.problems],
        "unread": [asdict(entry) for entry in found.unread],
        "unusable": dict(found.unusable),
        **({} if found.agreement is None else {"annotators_agree": _agreement_facts(found.agreement)}),
        **({} if found.not_compared is None else {"not_compared": found.not_compared}),
        **({"doubts": [asdict(doubt) for doubt in found.doubts]} if found.doubts else {}),
        **({"reviews": [asdict(review) for review in found.reviews]} if found.reviews else {}),
        "seconds_per_label": None if found.seconds is None else asdict(found.seconds),
        "metric": found.metric,
        "measured_on": found.measured_on,
        "rounds": [
            {
                "round": result.round,
                "labels": result.n_labels,
                **({"unasked": result.n_unasked} if result.n_unasked else {}),
                "pseudo_labels": result.n_pseudo,
                "held_out": result.n_held_out,
                "metrics": dict(result.metrics),
                **({} if result.audit is None else {"audit": result.audit.written()}),
                **_intervals(result),
                "agreement": result.agreement,
                "warnings": list(result.warnings),
                "seconds": dict(result.seconds),
                "ids": list(result.ids),
                "stands_for": {q.id: q.stands_for for q in queries if q.round == result.round and q.stands_for},
            }
            for result in found.history
        ],
        **({"audit": _audit_facts(found.audit)} if found.audit.ids else {}),
        "next_batch": found.next_batch,
        "advice": {name: asdict(advice) for name, advice in found.advice.items()},
        "worth": found.worth,
        "verdict": found.verdict,
        **({} if found.outlook is None else {"outlook": asdict(found.outlook)}),
        "next": asdict(step),
    }


def _audit_facts(audit: AuditSet) -> dict[str, int]:
    """Return the size of the audit set, and how many of its images were added when models had been trained."""
    return {"images": len(audit.ids), "of": audit.of, **({"added_later": audit.later} if audit.later else {})}


def _intervals(result: RoundResult) -> dict[str, Any]:
    """Return the intervals of the metrics of a round: low, high and number of images, by name."""
    found = {name: own for name in result.metrics if (own := result.interval(name)) is not None}
    return {"intervals": {name: [own.low, own.high, own.n] for name, own in found.items()}} if found else {}


def _without_nothing(facts: dict[str, Any], name: str) -> dict[str, Any]:
    """Return facts without one of them if that is 0."""
    return {key: value for key, value in facts.items() if key != name or value}


def _agreement_facts(found: Agreement) -> dict[str, Any]:
    return {
        "measure": found.measure,
        "mean": found.mean,
        "by_class": found.by_class,
        "below": found.below,
        "disputed": list(found.disputed),
        "pairs": [asdict(pair) for pair in found.pairs],
        "images": [asdict(image) for image in found.images],
    }
