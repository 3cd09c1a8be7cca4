"""``alkit reject`` and ``alkit withdraw``: send answers back to annotators, and take queries back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli.expanding import expand
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record

if TYPE_CHECKING:
    from alkit.values.queries import Query


@expand
def reject(
    store: Record,
    image: Annotated[str, typer.Argument(help="Id of the image, or name of its query, such as r02-0004-ward_3_0017.")],
    reason: Annotated[str, typer.Option(help="What is wrong with the answer. The annotator sees this text.")],
    annotator: Annotated[str | None, typer.Option(help="Annotator of the answer; default: all.")] = None,
) -> None:
    """Send the answers to an image back. They no longer count, and the query is open until there are new answers.

    [dim]Example:[/dim]

    [cyan]alkit reject campaign.db r02-0004-ward_3_0017 --reason "the border is missing" --annotator ann[/cyan]
    """
    from alkit.cli.records import record_at
    from alkit.record import taking_back

    with record_at(store) as record:
        id = id_of(image, (entry.query for entry in record.asked()))
        taking_back.reject(record, id, reason, annotator)
        is_open = any(entry.query.id == id for entry in record.snapshot().open)
    state = "is open again" if is_open else "has no open query, and its answer does not count any more"
    echo(f"{id} {state}: {reason}")
    echo(f"Next: alkit tell {quote(store)}, which also writes the reason beside the answer.")


@expand
def withdraw(
    store: Record,
    images: Annotated[
        list[str] | None, typer.Argument(help="Ids of images, or names of their queries. Default: all that are open.")
    ] = None,
) -> None:
    """Take back queries without an answer. Their images can be selected again; late answers are still recorded.

    [dim]Examples:[/dim]

    [cyan]alkit withdraw campaign.db[/cyan]

    [cyan]alkit withdraw campaign.db r02-0004-ward_3_0017[/cyan]
    """
    from alkit.cli.named_places import check_place
    from alkit.cli.places import Delivery, last_place
    from alkit.cli.records import record_at
    from alkit.errors import AlkitError
    from alkit.record import taking_back
    from alkit.record.settings import Settings

    with record_at(store) as record:
        still_open = [entry.query for entry in record.snapshot().open]
        ids = [id_of(image, still_open) for image in images] if images else None
        queries = taking_back.withdraw(record, ids)
        place, settings = last_place(record), Settings(record)
        echo(f"Withdrawn: {', '.join(query.id for query in queries)}." if queries else "No query is open.")
        # All that were ever withdrawn: a command that was killed may have recorded some and not marked them.
        withdrawn = [entry.query for entry in record.asked() if entry.withdrawn]
        if withdrawn and place is not None:
            try:
                check_place(record, place, named=False, option=f"alkit tell {quote(store)} --from")
                place.oracle(Delivery(settings.spec, settings.campaign)).cancelled(withdrawn)
            except AlkitError as reason:
                echo(
                    f"alkit: the queries are withdrawn, but could not be marked as withdrawn in {place}: {reason} The "
                    "same command marks them later.",
                    err=True,
                )
                raise typer.Exit(1) from None
    echo(f"Next: alkit status {quote(store)}")


def id_of(image: str, queries: Iterable[Query]) -> str:
    """Return the id of the image that a word means: its id, or the name of one of these queries.

    Raises
    ------
    ConfigurationError
        It is the id of an image, and the name of another one's query.
    """
    from alkit.errors import ConfigurationError

    fitting = {query.id: query for query in queries if image in (query.id, *query.keys)}
    if len(fitting) > 1:
        names = " or ".join(query.key if id == image else id for id, query in sorted(fitting.items()))
        raise ConfigurationError(f"{image} is the id of an image and the name of another one's query", hint=names)
    return next(iter(fitting), image)
