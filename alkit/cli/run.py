"""``alkit run``: an experiment on a user's folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli import options


def run(
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    masks: Annotated[Path, typer.Option(help="Folder of their masks, one file per image.")],
    store: Annotated[Path, typer.Option(help="The record; run again on it to go on.")],
    strategy: options.Strategy = "ssl-cluster",
    size: options.Size = None,
    start: Annotated[int, typer.Option(help="Labels of the first round.")] = 30,
    batch: Annotated[int, typer.Option(help="Labels of each later round.")] = 10,
    rounds: Annotated[int, typer.Option(help="Rounds after the first.")] = 5,
    seed: options.Seed = 0,
    initial: options.Initial = None,
    test_fraction: Annotated[float, typer.Option(help="Share of the images held out to measure on.")] = 0.2,
    classes: options.Classes = "background,object",
    pattern: Annotated[str, typer.Option(help="Name of a mask's file.")] = "{id}.png",
    ignore: options.Ignore = None,
    grayscale: options.Grayscale = False,
    widths: options.Widths = "32,64,128,256,512",
    epochs: options.Epochs = "30,10",
    lr: options.Lr = 1e-3,
    pretext_epochs: options.PretextEpochs = 100,
    members: options.Members = 5,
    warm_start: options.WarmStart = False,
    param: options.Param = None,
    device: options.Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, as `alkit status` does.")] = False,
) -> None:
    """Play active learning through on images whose masks exist: which strategy would have been worth it?

    Run the same command again to go on after an interruption.

    [dim]Example:[/dim]

    [cyan]alkit run --images images --masks masks --size 64 --strategy random --start 30 --batch 10 --rounds 5 \\
    --store runs/random.db[/cyan]

    A strategy that needs a trained model leaves the first round to a random choice, or to --initial. One that needs an
    ensemble gets one, and one that compares the network's heads gets a network with heads.
    """
    import alkit
    from alkit.cli.parts import parts
    from alkit.cli.status import status
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
        device=device,
    )
    oracle = alkit.MaskOracle(str(masks), classes=options.class_names(classes), ignore=ignore, pattern=pattern)
    with progress_bar(strategy) as report:
        everything = alkit.ImagePool(str(images), size=size, grayscale=grayscale, report=report)
        oracle.check(everything.ids)
        pool, test = everything.split(test=test_fraction, seed=seed)
        experiment = alkit.Experiment(pool, learner, chosen, store=store, seed=seed, initial=first, report=report)
        before = len(experiment.history)
        experiment.run(oracle, test=test, start=start, batch=batch, rounds=rounds)
    if before > rounds:
        typer.echo(f"{store} is finished: {before} rounds; more --rounds go on.", err=True)
    elif before:
        typer.echo(f"Resumed {store} after round {before - 1}.", err=True)
    status(store, json)
