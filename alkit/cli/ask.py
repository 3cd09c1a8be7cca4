"""``alkit ask``: choose the next images and hand them to people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli import options


def ask(
    store: Annotated[Path, typer.Argument(help="The record.")],
    number: Annotated[
        int | None, typer.Option("-n", "--number", help="How many images; not needed while some are open.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder to write them to.")] = None,
    form: Annotated[
        str | None,
        typer.Option("--as", help="Besides a folder for each image, a file for a tool: coco, or cvat; or files: none."),
    ] = None,
    to: Annotated[str | None, typer.Option(help="label-studio, instead of a folder.")] = None,
    url: options.Url = None,
    project: options.Project = None,
    control: Annotated[
        str | None, typer.Option(help="How people draw in Label Studio: bitmask, the default, brush, or polygon.")
    ] = None,
    prelabels: Annotated[
        bool, typer.Option("--prelabels/--no-prelabels", help="Hand over what the last model predicts, to correct.")
    ] = True,
    images: options.Images = None,
) -> None:
    """Train on what is labelled, choose the images most worth labelling, and hand them over with what they stand for.

    While some are open, nothing is chosen: those are handed over again, which asks nobody twice. Where they went the
    last time they go again, if no other place is given.

    [dim]Examples:[/dim]

    [cyan]alkit ask campaign.db -n 35 --out exchange[/cyan]

    [cyan]alkit ask campaign.db -n 35 --out exchange --as cvat[/cyan]

    [cyan]ALKIT_LABEL_STUDIO_TOKEN=... alkit ask campaign.db -n 35 --to label-studio --url http://localhost:8080[/cyan]
    """
    from alkit.cli.fit import said
    from alkit.cli.places import Handing, place_of, remember, remembered
    from alkit.cli.records import open_campaign, record_at
    from alkit.errors import ConfigurationError
    from alkit.report.progress import progress_bar

    with progress_bar(str(store)) as report, record_at(store) as record:
        experiment = open_campaign(record, images, report)
        was_open, rounds = experiment.open_ids, len(experiment.history)
        if not was_open and number is None:
            raise ConfigurationError("nothing is open, and how many images to choose was not said", hint="-n 35")
        place = place_of(
            store, remembered(record), folder=out, form=form, service=to, url=url, project=project, control=control
        )
        if place is None:
            raise ConfigurationError(
                "where the images are to go was not said", hint="--out FOLDER, or --to label-studio --url ADDRESS"
            )
        spec, campaign = experiment.spec, experiment.campaign
        place.oracle(Handing(spec, campaign))  # what is wrong with it is said before anything is chosen
        if not was_open and experiment.learnable:
            experiment.fit()
        ids = experiment.ask(number)
        drafts = experiment.prelabels() if prelabels else {}
        remember(record, place)
        experiment.send(place.oracle(Handing(spec, campaign, experiment.queries(), experiment.pool, drafts)))
    if len(experiment.history) > rounds:
        typer.echo(said(experiment.history[-1]))
    what = "Still open, and handed over again" if was_open else "Asked for"
    typer.echo(f"{what}: {len(ids)}, with a pre-label: {len(drafts)}. They are in {place}.")
    typer.echo(f"Next, when there are masks: alkit tell {store}")
