"""``alkit start``: open a campaign on a folder of images that nobody has labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alkit.cli import options


def start(
    store: Annotated[Path, typer.Argument(help="The record to make.")],
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    classes: options.Classes,
    strategy: options.Strategy = "ssl-cluster",
    size: options.Size = None,
    annotators: Annotated[
        int, typer.Option(help="How many people are to label each image.", rich_help_panel=options.PEOPLE)
    ] = 1,
    join: Annotated[
        str, typer.Option(help="How their labels become one: one, majority or staple.", rich_help_panel=options.PEOPLE)
    ] = "one",
    hold_out: Annotated[
        float,
        typer.Option(
            help="Share of the answers, drawn by chance, that only measure and are not learnt from.",
            rich_help_panel=options.PEOPLE,
        ),
    ] = 0.2,
    stop_set: Annotated[
        int, typer.Option(help="On so many images successive models are compared, for advice on when to stop.")
    ] = 200,
    seed: options.Seed = 0,
    initial: options.Initial = None,
    ignore: options.Ignore = None,
    grayscale: options.Grayscale = False,
    widths: options.Widths = "32,64,128,256,512",
    epochs: options.Epochs = "30,10",
    lr: options.Lr = 1e-3,
    pretext_epochs: options.PretextEpochs = 100,
    members: options.Members = 5,
    warm_start: options.WarmStart = False,
    param: options.Param = None,
) -> None:
    """Open a campaign: no ground truth is needed, people will label what `alkit ask` chooses.

    Nothing is trained yet. While nothing was asked, the same command with other options changes them, and says so.

    [dim]Example:[/dim]

    [cyan]alkit start campaign.db --images images --classes skin,lesion --size 256 --strategy ssl-cluster[/cyan]
    """
    import alkit
    from alkit.cli.parts import parts
    from alkit.configuration.forms import differences
    from alkit.report.progress import progress_bar

    learner, chosen, first = parts(
        strategy=strategy,
        parameters=param or [],
        initial=initial,
        widths=widths,
        epochs=epochs,
        lr=lr,
        pretext_epochs=pretext_epochs,
        members=members,
        warm_start=warm_start,
        device="auto",
    )
    before = _settings(store)
    with progress_bar(str(store)) as report:
        pool = alkit.ImagePool(str(images), size=size, grayscale=grayscale, report=report)
        experiment = alkit.Experiment(
            pool,
            learner,
            chosen,
            store=store,
            seed=seed,
            initial=first,
            classes=alkit.LabelSpec(options.class_names(classes), ignore),
            annotators=annotators,
            join=join,
            hold_out=hold_out,
            stop_set=stop_set,
        )
    for line in differences(before, _settings(store)) if before else ():
        typer.echo(f"changed: {'other images' if line.startswith('pool.content') else line}")
    left = len(experiment.candidates)
    height, width = pool.shape[1:]
    typer.echo(f"{store}: {len(pool)} images, read at {width} x {height} pixels; {left} can be asked for.")
    typer.echo(f"Next: alkit ask {store} -n {min(left, 30)} --out FOLDER")


def _settings(store: Path) -> dict[str, Any]:
    """Return what a record was made with; nothing where there is none."""
    from alkit.cli.records import record_at

    if not store.is_file():
        return {}
    with record_at(store) as record:
        configuration = record.fact("configuration")
        return {**configuration, "classes": record.fact("classes")} if configuration else {}
