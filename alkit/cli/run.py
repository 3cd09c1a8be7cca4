"""``alkit run``: an experiment on folders of images and masks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit._files import without_tilde
from alkit.cli import options
from alkit.cli.metrics import choose_metrics
from alkit.cli.parts import TYPED, Choice, save_choice, with_choice, with_former_defaults
from alkit.cli.printing import echo, quote
from alkit.cli.volumes import PANEL, Volumes, check_one_source, with_volumes

if TYPE_CHECKING:
    from alkit.pools.base import Subset
    from alkit.pools.folder import ImagePool
    from alkit.pools.volumes.pool import VolumePool


@with_choice
@with_volumes
def run(
    choice: Choice,
    volumes: Volumes,
    store: Annotated[Path, typer.Option(help="Record to create, or to resume.")],
    images: Annotated[Path | None, typer.Option(help="Folder of images.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of their masks.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of the labels of --volumes.", rich_help_panel=PANEL)
    ] = None,
    size: options.Size = None,
    fit: options.Fit = "squash",
    start: Annotated[int, typer.Option(help="Number of images in the start set.")] = 30,
    batch: Annotated[int, typer.Option(help="Number of images in each later round.")] = 10,
    rounds: Annotated[int, typer.Option(help="Number of rounds after the start set.")] = 5,
    seed: options.Seed = 0,
    test_fraction: Annotated[
        float | None, typer.Option(help="Share of the images in the test set; default: 0.2, or --test-images.")
    ] = None,
    test_images: options.TestImages = None,
    test_masks: options.TestMasks = None,
    classes: options.Classes = "background,object",
    mask_pattern: options.MaskPattern = "{id}.png",
    threshold: options.Threshold = None,
    values: options.Values = None,
    instances: options.Instances = False,
    ignore: options.Ignore = None,
    pattern: options.Pattern = "**/*",
    grayscale: options.Grayscale = False,
    metrics: options.Metrics = None,
    groups: options.Groups = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, as `alkit status` does.")] = False,
) -> None:
    """Simulate active learning on images that have masks, to see how well a strategy works on them.

    After an interruption, run the same command again to resume.

    [dim]Example:[/dim]

    [cyan]alkit run --images images --masks masks --size 64 --strategy random --start 30 --batch 10 --rounds 5 \\
    --store runs/random.db[/cyan]
    [cyan]alkit run --volumes images --labels labels --classes background,anterior,posterior --size 64 \\
    --store runs/volumes.db[/cyan]

    If the strategy needs a trained model, the start set is random, or selected by --initial. If it needs an ensemble
    or a network with heads of deep supervision, the learner trains one.
    """
    import alkit
    from alkit.cli.known_labels import mask_oracle, naming_mask_options
    from alkit.cli.recipes import recipe_in_words
    from alkit.cli.records import record_at
    from alkit.cli.status import status
    from alkit.cli.test_set import check_pair, read_test_set
    from alkit.cli.threads import choose_threads, keep_threads, say_threads
    from alkit.errors import ConfigurationError
    from alkit.pools.decoding import scan
    from alkit.report.progress import progress_bar
    from alkit.rng import threads as compute_with

    check_one_source(images, volumes, grayscale=grayscale, masks=masks)
    if images is not None and masks is None:
        raise ConfigurationError("the masks of the images are missing", hint="--masks FOLDER")
    if images is not None and labels is not None:
        raise ConfigurationError("--labels can be used only with --volumes", hint="--masks FOLDER")
    if images is None and labels is None:
        raise ConfigurationError("the labels of the volumes are missing", hint="--labels FOLDER")
    measured = choose_metrics(metrics, groups)
    if store.is_file():
        with record_at(store) as record:
            if record.fact("configuration") is not None:
                choice = with_former_defaults(choice, record.fact(TYPED))
    learner, strategy, initial = parts = choice.make(device)
    if "{id}" in pattern:
        raise ConfigurationError(
            "--pattern is for the names of images", got=repr(pattern), hint=f"--mask-pattern {quote(pattern)}"
        )
    check_pair(test_images, test_masks)
    if test_images is not None and test_fraction is not None:
        raise ConfigurationError("--test-fraction and --test-images cannot be used together")
    known = functools.partial(
        mask_oracle,
        classes=options.class_names(classes),
        ignore=ignore,
        threshold=threshold,
        values=values,
        instances=instances,
    )
    test_oracle = None if test_masks is None else known(test_masks, pattern=mask_pattern)
    with progress_bar(choice.strategy) as report:
        if images is not None and masks is not None:
            oracle = known(masks, pattern=mask_pattern)
            with naming_mask_options():
                oracle.check(scan(without_tilde(images), pattern, "images"))  # before hours are spent on reading images
            everything: alkit.ImagePool | alkit.VolumePool = alkit.ImagePool(
                str(images), size=size, grayscale=grayscale, fit=fit, pattern=pattern, report=report
            )
        else:
            everything = volumes.pool(size, report, fit=fit, pattern=pattern)
            oracle = known(volumes.masks(everything, labels, mask_pattern))
        if new := not store.exists():
            with naming_mask_options():
                oracle.check_labels(everything, report)
        pool: ImagePool | VolumePool | Subset = everything
        test: ImagePool | Subset
        if test_images is None or test_oracle is None:
            pool, test = everything.split(test=0.2 if test_fraction is None else test_fraction, seed=seed)
        else:
            with naming_mask_options():
                test = read_test_set(everything, test_images, test_oracle, report)
        with compute_with(choose_threads(pool.shape, threads)):
            experiment = alkit.Experiment(
                pool, learner, strategy, store=store, seed=seed, initial=initial, metrics=measured, report=report
            )
        with record_at(store) as record:
            keep_threads(record, threads)
            save_choice(record, choice, parts)
        before = len(experiment.history)
        experiment.run(oracle, test=test, test_oracle=test_oracle, start=start, batch=batch, rounds=rounds)
    if before > rounds:
        echo(f"{store} is finished after {before} rounds; more --rounds continue it.", err=True)
    elif before:
        echo(f"Resumed {store} after round {before - 1}.", err=True)
    with record_at(store) as record:
        say_threads(record, pool.shape, threads, new=new)
    for line in recipe_in_words(choice.recipe, learner, plain=choice.plain):
        echo(line, err=True)
    status(store, json)
