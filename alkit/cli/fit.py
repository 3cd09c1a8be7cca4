"""``alkit fit``: train on all labels there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options

if TYPE_CHECKING:
    from alkit.values.rounds import RoundResult


def fit(
    store: Annotated[Path, typer.Argument(help="The record.")],
    images: options.Images = None,
) -> None:
    """Train on all labels so far and measure on those held out; without new labels nothing is done.

    `alkit ask` does this by itself before it chooses. Use this one for the last model.

    [dim]Example:[/dim]

    [cyan]alkit fit campaign.db[/cyan]
    """
    from alkit.cli.records import open_campaign, record_at
    from alkit.report.progress import progress_bar

    with progress_bar(str(store)) as report, record_at(store) as record:
        experiment = open_campaign(record, images, report)
        before = len(experiment.history)
        result = experiment.fit()
    typer.echo(said(result) if len(experiment.history) > before else f"Nothing new to learn from. {said(result)}")
    typer.echo(f"Next: alkit status {store}")


def said(result: RoundResult) -> str:
    """Say what a round came to, in a line."""
    figures = "".join(f", {name} {value:.3f}" for name, value in list(result.metrics.items())[:2])
    held = f" on {result.n_held_out} labels held out" if figures and result.n_held_out else ""
    return f"Round {result.round}: trained on {result.n_labels} labels{figures}{held}."
