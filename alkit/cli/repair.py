"""``alkit repair``: save the intact parts of a damaged record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli.printing import count, count_rows, echo, quote


def repair(
    store: Annotated[Path, typer.Argument(help="The damaged record. It is not changed.")],
    out: Annotated[Path, typer.Option(help="The new record to write.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Count answers that may have been taken back in a lost part of the record.")
    ] = False,
) -> None:
    """Restore a damaged record as a new record, from the database, its journal, its backups and its files.

    [dim]Example:[/dim]

    [cyan]alkit repair campaign.db --out repaired.db[/cyan]
    """
    from alkit.record.repair import repair as save

    repaired = save(store, out, trust=trust)
    echo(f"{out}: {count_rows(repaired.saved)}")
    if repaired.from_journal:
        echo(f"{count(repaired.from_journal, 'row')} came from the journal.")
    if repaired.from_backup:
        echo(f"{count(repaired.from_backup, 'row')} came from a backup.")
    for sentence in repaired.lost:
        echo(f"lost: {sentence}")
    for sentence in repaired.unknown:
        echo(f"unknown: {sentence.replace('trust=True', '--trust')}")
    if not repaired.lost and not repaired.unknown:
        echo("No loss was found. The database and its journal agree on every change.")
    echo(f"Next: alkit status {quote(out)}")
