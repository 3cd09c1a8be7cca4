"""``alkit remove``: take an image out of a campaign, because somebody withdrew their consent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record


@expand
def remove(
    store: Record,
    image: Annotated[str, typer.Argument(help="Id of the image, or name of its query.")],
    reason: Annotated[str, typer.Option(help="Why it is removed. The record keeps this text.")],
    images: options.Images = None,
    learner: options.OwnLearner = None,
) -> None:
    """Remove an image whose consent was withdrawn: from the pool, the labels, the caches, the journal and the backups.

    The record keeps its id and the reason. `alkit repair` and `alkit add` never bring it back. What alkit cannot delete
    is listed, with the model that was trained on its label. An open query is withdrawn where it was sent to.

    [dim]Example:[/dim]

    [cyan]alkit remove campaign.db "ward 3/0017" --reason "consent withdrawn on 2026-11-27"[/cyan]
    """
    from alkit.cli.named_places import check_place
    from alkit.cli.places import Delivery, last_place
    from alkit.cli.records import open_campaign, record_at
    from alkit.cli.wording import for_command_line
    from alkit.errors import AlkitError
    from alkit.experiment.removing import summary
    from alkit.record.settings import Settings
    from alkit.report.progress import progress_bar

    problem = None
    with progress_bar(str(store)) as report, record_at(store) as record:
        id = next((entry.query.id for entry in record.asked() if image in entry.query.keys), image)
        experiment = open_campaign(record, images, report, learner)
        place, queries = last_place(record), [entry.query for entry in record.asked() if entry.query.id == id]
        found = experiment.remove(id, reason)
        settings = Settings(record)
        if place is not None and queries:
            try:
                check_place(record, place, named=False, option=f"alkit tell {quote(store)} --from")
                place.oracle(Delivery(settings.spec, settings.campaign)).cancelled(queries)
            except AlkitError as error:
                problem = f"the query could not be marked as withdrawn in {place}: {error}"
    echo(summary(found))
    if found.trained:
        rounds = ", ".join(map(str, found.trained))
        echo(f"Warning: the models of these rounds were trained on its label or measured by it: {rounds}.")
    echo(*(f"Remains: {for_command_line(sentence, {})}" for sentence in found.remains))
    if place is not None and queries:
        echo(f"Remains: what {place} has of {', '.join(query.key for query in queries)}.")
    echo(f"Next: alkit fit {quote(store)}" if found.last_model else f"Next: alkit status {quote(store)}")
    if problem is not None:
        echo(f"alkit: the image is removed, but {problem}", err=True)
        raise typer.Exit(1)


def unfinished_in_words(store: str | os.PathLike[str], ids: Sequence[str]) -> list[str]:
    """Return a line for each image whose removal was begun and not finished, with the command that finishes it."""
    return [
        f"The removal of {id!r} was begun and is not finished: alkit remove {quote(store)} {quote(id)} --reason again"
        for id in ids
    ]
