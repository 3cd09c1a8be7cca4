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
    from alkit.cli.records import record_at
    from alkit.record import taking_back

    with record_at(store) as record:
        id = next((entry.query.id for entry in record.asked() if entry.query.key == image), image)
        taking_back.reject(record, id, reason, annotator)
    typer.echo(f"{id} is open again: {reason}")
    typer.echo(f"Next: alkit tell {store}, which says so beside the answer, too.")


def withdraw(store: Annotated[Path, typer.Argument(help="The record.")]) -> None:
    """Take back what was asked and not answered; those images may be chosen again. Late answers are still taken.

    [dim]Example:[/dim]

    [cyan]alkit withdraw campaign.db[/cyan]
    """
    from alkit.cli.places import Handing, remembered
    from alkit.cli.records import record_at
    from alkit.errors import AlkitError
    from alkit.record import taking_back
    from alkit.record.settings import Settings

    with record_at(store) as record:
        queries = taking_back.withdraw(record)
        place, settings = remembered(record), Settings(record)
        typer.echo(
            f"No longer asked for: {', '.join(query.id for query in queries)}." if queries else "Nothing is open."
        )
        if queries and place is not None:
            try:
                place.oracle(Handing(settings.spec, settings.campaign)).cancelled(queries)
            except AlkitError as reason:
                typer.echo(f"Nobody is told of it in {place}: {reason}", err=True)
    typer.echo(f"Next: alkit status {store}")
