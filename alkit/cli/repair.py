"""``alkit repair``: save the intact parts of a damaged record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli.printing import echo


def repair(
    store: Annotated[Path, typer.Argument(help="The damaged record. It is not changed.")],
    out: Annotated[Path, typer.Option(help="The new record to write.")],
) -> None:
    """Save the intact parts of a damaged record in a new record, from the database, its backups and its files.

    [dim]Example:[/dim]

    [cyan]alkit repair campaign.db --out repaired.db[/cyan]
    """
    from alkit.record.repair import repair as save

    repaired = save(store, out)
    echo(f"{out}: " + ", ".join(f"{repaired.saved[name]} {name}" for name in ("queries", "answers", "rounds")))
    if repaired.from_backup:
        echo(f"{repaired.from_backup} rows came from a backup.")
    for sentence in repaired.lost:
        echo(f"lost: {sentence}")
    if not repaired.lost:
        echo("No loss was found.")
    echo(f"Next: alkit status {out}")
