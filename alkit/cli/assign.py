"""``alkit assign``: change who labels images."""

from __future__ import annotations

from typing import Annotated

import typer

from alkit.cli.expanding import expand
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record


@expand
def assign(
    store: Record,
    images: Annotated[list[str] | None, typer.Argument(help="Ids of images, or names of their queries.")] = None,
    of: Annotated[str | None, typer.Option("--from", help="All open images that wait for this person.")] = None,
    to: Annotated[str | None, typer.Option(help='Names of the people, with commas; "" for anybody.')] = None,
    annotators: Annotated[int | None, typer.Option(help="Number of people who shall label each of the images.")] = None,
    deadline: Annotated[
        float | None, typer.Option(help="Days from now after which an image without an answer goes to somebody else.")
    ] = None,
) -> None:
    """Change who labels images, by how many people, and until when. Answers that are there still count.

    An image that wants more answers than it has is open again. The next `alkit ask` sends it to the people.

    [dim]Examples:[/dim]

    [cyan]alkit assign campaign.db r02-0004-ward_3_0017 --to ben --deadline 2[/cyan]

    [cyan]alkit assign campaign.db --from ann --to ben[/cyan]

    [cyan]alkit assign campaign.db ward_3/0017 ward_3/0018 --annotators 3[/cyan]
    """
    from alkit.cli.records import record_at
    from alkit.cli.take_back import id_of
    from alkit.errors import ConfigurationError
    from alkit.record.assigning import assign_by_hand, waiting_for

    if bool(images) == (of is not None):
        raise ConfigurationError("either images or --from must be given", got="both" if images else "neither")
    if to is None and annotators is None and deadline is None:
        raise ConfigurationError("nothing to change is given", hint="--to ann, --annotators 2 or --deadline 3")
    names = None if to is None else [name.strip() for name in to.split(",") if name.strip()]
    with record_at(store) as record:
        asked = [entry.query for entry in record.asked() if not entry.withdrawn]
        ids = [id_of(image, asked) for image in images or ()] if of is None else waiting_for(record, of)
        queries = assign_by_hand(record, ids, names, annotators, deadline, instead_of=of)
        still_open = {entry.query.id for entry in record.snapshot().open}
    if not queries:
        echo(f"No open image waits for {of}.")
    for query in queries:
        people = " and ".join(query.assigned) or "anybody"
        due = "" if query.due is None else f", due {query.due[:16].replace('T', ' ')} UTC"
        what = "open" if query.id in still_open else "answered"
        echo(f"{query.key}: for {people}, {query.wanted} wanted, {what}{due}")
    echo(f"Next: alkit ask {quote(store)}, which sends the open images again.")
