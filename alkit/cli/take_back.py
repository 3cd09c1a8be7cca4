"""``alkit reject`` and ``alkit withdraw``: send answers back, and take questions back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def reject(
    store: Annotated[Path, typer.Argument(help="The record.")],
    image: Annotated[str, typer.Argument(help="The image's id, or its query's name, such as r02-0004-ward_3_0017.")],
    reason: Annotated[str, typer.Option(help="What is wrong with the answer: the annotator is told.")],
    annotator: Annotated[str | None, typer.Option(help="Whose answer; default: all.")] = None,
) -> None:
    """Send an image's answers back: they count no longer, and the image is open until there are new ones.

    [dim]Example:[/dim]

    [cyan]alkit reject campaign.db r02-0004-ward_3_0017 --reason "the border is missing" --annotator ann[/cyan]
    """
    import alkit

    experiment = alkit.Experiment.open(store)
    id = next((one.query.id for one in experiment.standings() if one.query.key == image), image)
    experiment.reject(id, reason, annotator)
    typer.echo(f"{id} is open again: {reason}")


def withdraw(store: Annotated[Path, typer.Argument(help="The record.")]) -> None:
    """Take back what was asked and not answered; those images may be chosen again. Late answers are still taken.

    [dim]Example:[/dim]

    [cyan]alkit withdraw campaign.db[/cyan]
    """
    import alkit

    ids = alkit.Experiment.open(store).withdraw()
    typer.echo(f"No longer asked for: {', '.join(ids)}." if ids else "Nothing is open.")
    typer.echo(f"Next: alkit status {store}")
