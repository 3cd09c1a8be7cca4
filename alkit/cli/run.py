"""``alkit run``: an experiment on a user's folders."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from alkit.protocols import FeatureExtractor, Strategy


def run(
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    masks: Annotated[Path, typer.Option(help="Folder of their masks, one file per image.")],
    store: Annotated[Path, typer.Option(help="The record; run again on it to go on.")],
    strategy: Annotated[
        str,
        typer.Option(
            help="A name that `alkit strategies` lists, or a TOML file that describes one. If it needs features and "
            "brings none of its own, it gets those of the learner's network after self-supervised training."
        ),
    ] = "ssl-cluster",
    size: Annotated[int | None, typer.Option(help="Working size in pixels; default: the images' own.")] = None,
    start: Annotated[int, typer.Option(help="Labels of the first round.")] = 30,
    batch: Annotated[int, typer.Option(help="Labels of each later round.")] = 10,
    rounds: Annotated[int, typer.Option(help="Rounds after the first.")] = 5,
    seed: Annotated[int, typer.Option(help="All chance comes from it.")] = 0,
    initial: Annotated[str | None, typer.Option(help="Another strategy for the first round.")] = None,
    test_fraction: Annotated[float, typer.Option(help="Share of the images held out to measure on.")] = 0.2,
    classes: Annotated[str, typer.Option(help="Class names, the background first.")] = "background,object",
    pattern: Annotated[str, typer.Option(help="Name of a mask's file.")] = "{id}.png",
    ignore: Annotated[int | None, typer.Option(help="Mask value that does not count.")] = None,
    grayscale: Annotated[bool, typer.Option(help="Read the images as grayscale.")] = False,
    widths: Annotated[str, typer.Option(help="Channels of the U-Net's levels.")] = "32,64,128,256,512",
    epochs: Annotated[str, typer.Option(help="Epochs of the first round and of later ones.")] = "30,10",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    pretext_epochs: Annotated[int, typer.Option(help="At most so many epochs of self-supervised training.")] = 100,
    members: Annotated[int, typer.Option(help="Models of the ensemble, for strategies that need one.")] = 5,
    warm_start: Annotated[bool, typer.Option(help="Start the learner from the self-supervised weights.")] = False,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the strategy, key=value.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
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
    from functools import partial

    import alkit
    from alkit.cli.progress import progress_bar
    from alkit.cli.status import status
    from alkit.networks import DEEP_SUPERVISION

    network = partial(alkit.UNet, widths=_numbers("widths", widths))
    pretext = alkit.Reconstruction(network, epochs=pretext_epochs, device=device)
    oracle = alkit.MaskOracle(str(masks), classes=tuple(classes.split(",")), ignore=ignore, pattern=pattern)
    first = None if initial is None else _strategy(initial, pretext, {})
    chosen = _strategy(strategy, pretext, _parameters(param or []))
    needs = getattr(chosen, "needs", ())
    single = alkit.SegmentationLearner(
        partial(network, heads=DEEP_SUPERVISION) if "heads" in needs else network,
        epochs=cast("tuple[int, int]", _numbers("epochs", epochs)),
        lr=lr,
        warm_start=pretext if warm_start else None,
        device=device,
    )
    learner = alkit.Ensemble(single, members) if "members" in needs else single
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


def _strategy(name: str, pretext: FeatureExtractor, parameters: dict[str, Any]) -> Strategy:
    """Make a strategy; one that needs features and brings none gets those of the learner's own network."""
    from alkit.errors import ConfigurationError
    from alkit.plugins import found, loaded, strategy
    from alkit.strategy_file import read_strategy, takes_features

    if name.endswith(".toml"):
        if parameters:
            raise ConfigurationError("the parameters of a strategy in a file are in the file", got="--param")
        return read_strategy(name, pretext)
    if "features" not in parameters and takes_features(name, loaded(found(name))):
        parameters = {"features": pretext, **parameters}
    return strategy(name, **parameters)


def _parameters(pairs: list[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs; a value is a Python literal, or else a string."""
    from alkit.errors import ConfigurationError

    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ConfigurationError(
                "a parameter is not of the form key=value", got=pair, expected="--param clusters=5"
            )
        if key in parameters:
            raise ConfigurationError(f"--param gives {key} twice", got=pair, hint="leave one of them out")
        try:
            parameters[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parameters[key] = text
    return parameters


def _numbers(name: str, text: str) -> tuple[int, ...]:
    from alkit.errors import ConfigurationError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as reason:
        raise ConfigurationError(f"--{name}", got=text, expected="whole numbers with commas between them") from reason
