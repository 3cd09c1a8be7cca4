"""``alkit repair``: save the intact parts of a damaged record."""

from __future__ import annotations

from typing import Annotated

import typer

from alkit.cli.printing import count, count_rows, echo, quote
from alkit.cli.stores import FILES, Typed
from alkit.record.address import FORM


def repair(
    store: Annotated[str, typer.Argument(help="The damaged record. It is not changed.")],
    out: Annotated[str, typer.Option(help=f"The new record to write: a file, or {FORM}.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Count answers that may have been taken back in a lost part of the record.")
    ] = False,
    files: Annotated[str | None, FILES] = None,
    out_files: Annotated[
        str | None, typer.Option(help="Where the labels and models of the new record are kept.", metavar="FOLDER|URL")
    ] = None,
) -> None:
    """Restore a damaged record as a new record, from the database, its journal, its backups and its files.

    [dim]Example:[/dim]

    [cyan]alkit repair campaign.db --out repaired.db[/cyan]
    """
    from alkit.record.repairing import repair as save

    repaired = save(store, out, trust=trust, files=files, out_files=out_files)
    new = Typed(out, out_files)
    echo(f"{new}: {count_rows(repaired.saved)}")
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
    echo(f"Next: alkit status {quote(str(new))}")
