"""``alkit repair``: save what is whole of a damaged record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def repair(
    store: Annotated[Path, typer.Argument(help="The damaged record. It is only read.")],
    out: Annotated[Path, typer.Option(help="The new record to make.")],
) -> None:
    """Save what is whole of a damaged record into a new one, from the database, its backups and its files.

    [dim]Example:[/dim]

    [cyan]alkit repair campaign.db --out repaired.db[/cyan]
    """
    from alkit.record.repair import repair as save

    repaired = save(store, out)
    told = {"queries": "queries", "answers": "answers", "rounds": "rounds"}
    typer.echo(f"{out}: " + ", ".join(f"{repaired.saved[name]} {word}" for name, word in told.items()))
    if repaired.from_backup:
        typer.echo(f"{repaired.from_backup} rows came from a backup.")
    for sentence in repaired.lost:
        typer.echo(f"lost: {sentence}")
    if not repaired.lost:
        typer.echo("Nothing is known to be lost.")
    typer.echo(f"Next: alkit status {out}")
