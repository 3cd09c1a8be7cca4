"""``alkit tell``: take the answers that people have given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options

if TYPE_CHECKING:
    from alkit.types import Answer


def tell(
    store: Annotated[Path, typer.Argument(help="The record.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="Folder with a folder for each annotator, or label-studio; default: as asked."),
    ] = None,
    url: options.Url = None,
    project: options.Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take masks, skips and corrections. What cannot be taken is reported, and the rest is taken all the same.

    Taking the same twice changes nothing. This may be done while a model is being trained.

    [dim]Examples:[/dim]

    [cyan]alkit tell campaign.db --from exchange[/cyan]

    [cyan]ALKIT_LABEL_STUDIO_TOKEN=... alkit tell campaign.db --from label-studio[/cyan]
    """
    import alkit
    from alkit.cli.places import LABEL_STUDIO, place_of
    from alkit.cli.progress import progress_bar
    from alkit.errors import ConfigurationError

    service = source if source == LABEL_STUDIO else None
    folder = None if service else source
    with progress_bar(str(store)) as report:
        experiment = alkit.Experiment.open(store, report=report)
        place = place_of(store, folder, service, url, project)
        if place is None:
            raise ConfigurationError(
                "nothing was handed over yet, so where are the answers?",
                hint="--from FOLDER, or --from label-studio --url ADDRESS",
            )
        queries = [one.query for one in experiment.standings()]
        oracle = place.oracle(experiment.spec, queries, experiment.pool, {})
        receipt = experiment.collect(oracle)
    unread: dict[Path, str] = getattr(oracle, "unread", dict)()
    still_open = len(experiment.open_ids)
    if as_json:
        facts = {
            "taken": [_facts(answer) for answer in receipt.taken],
            "unchanged": [_facts(answer) for answer in receipt.unchanged],
            "refused": [{**_facts(answer), "reason": reason} for answer, reason in receipt.refused],
            "unread": {str(path): reason for path, reason in unread.items()},
            "open": still_open,
        }
        print(json.dumps(facts, indent=2))
        return
    keys = {query.id: query.key for query in queries}
    typer.echo(
        f"New answers: {len(receipt.taken)}, known before: {len(receipt.unchanged)}, images still open: {still_open}."
    )
    for answer, reason in receipt.refused:
        whose = f" by {answer.annotator}" if answer.annotator else ""
        typer.echo(f"refused: {keys.get(answer.id, answer.id)}{whose}: {reason}")
    for path, reason in unread.items():
        typer.echo(f"not read: {path}: {reason}")
    typer.echo(f"Next: alkit status {store}")


def _facts(answer: Answer) -> dict[str, object]:
    from alkit.types import Skip, Withdrawal

    kinds = {Skip: "skip", Withdrawal: "withdrawal"}
    kind = next((name for cls, name in kinds.items() if isinstance(answer.label, cls)), "label")
    return {"id": answer.id, "annotator": answer.annotator, "revision": answer.revision, "kind": kind}
