"""``alkit status``: what a record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def status(
    store: Annotated[Path, typer.Argument(help="The record's file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: rounds with labels, metrics and ids.")] = False,
) -> None:
    """Show the rounds of a record: labels, metrics, and which images were chosen.

    [dim]Examples:[/dim]

    [cyan]alkit status runs/isic.db[/cyan]

    [cyan]alkit status runs/isic.db --json | jq '.rounds[-1].metrics.dice'[/cyan]
    """
    from alkit.errors import StoreError
    from alkit.states import answered
    from alkit.store import Store

    if not store.is_file():
        raise StoreError(f"there is no record at {store}", hint="alkit run ... --store makes one")
    record = Store(store)
    try:
        rounds, queries, answers = record.rounds(), record.queries(), answered(record.asked(), record.answers())
        seed, schedule = record.fact("seed"), record.fact("schedule")
    finally:
        record.close()
    open_ids = [query.id for query in queries if query.id not in answers]
    skipped = [id for id, known in answers.items() if not known.labels]
    if as_json:
        facts = {
            "store": str(store),
            "seed": seed,
            "schedule": schedule,
            "labels": len(answers) - len(skipped),
            "skipped": skipped,
            "open": open_ids,
            "rounds": [
                {
                    "round": result.round,
                    "labels": result.n_labels,
                    "pseudo_labels": result.n_pseudo,
                    "metrics": dict(result.metrics),
                    "seconds": dict(result.seconds),
                    "ids": list(result.ids),
                    "stands_for": {q.id: q.stands_for for q in queries if q.round == result.round and q.stands_for},
                }
                for result in rounds
            ],
        }
        print(json.dumps(facts, indent=2))
        return
    from rich.console import Console

    from alkit.cli.tables import results_table

    console = Console()
    metric = next((name for result in rounds for name in result.metrics), "dice")  # the chief one comes first
    console.print(results_table({store.stem: rounds}, metric))
    console.print(f"{len(answers) - len(skipped)} labels, {len(skipped)} skipped, {len(open_ids)} open")
