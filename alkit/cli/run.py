"""``alkit run``: an experiment on folders of images and masks."""

from __future__ import annotations

import functools
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.kept_options import TYPED, save_choice, with_former_defaults
from alkit.cli.known_labels import MaskForm
from alkit.cli.metrics import choose_metrics
from alkit.cli.parts import Choice
from alkit.cli.printing import echo
from alkit.cli.ruling import Rules
from alkit.cli.source import Source, TestSet
from alkit.cli.stores import RecordOption

if TYPE_CHECKING:
    from alkit.pools.base import PoolBase
    from alkit.record.store import Store


@expand
def run(
    *,
    store: RecordOption,
    source: Source,
    masks: Annotated[Path | None, typer.Option(help="Folder of their masks.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="In place of masks, one class per image: a CSV file with the columns id and class, or folders, if "
            "each image lies in a folder with the name of its class. With --multiple, a CSV file with classes such as "
            "cat|dog, or with a column of 1 and 0 for each class. With --volumes, the folder of their labels.",
        ),
    ] = None,
    multiple: options.Multiple = False,
    start: Annotated[int, typer.Option(help="Number of images in the start set.")] = 30,
    batch: Annotated[int, typer.Option(help="Number of images in each later round.")] = 10,
    rounds: Annotated[int, typer.Option(help="Number of rounds after the start set.")] = 5,
    seed: options.Seed = 0,
    seeds: Annotated[
        str | None,
        typer.Option(help="Several seeds, such as 0-4: a run for each, in its own record: --store runs/{seed}.db."),
    ] = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Share of the images in the test set; default: 0.2, or --test-images.")
    ] = None,
    test_set: TestSet,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Class names, for masks the background first; default: background,object for masks, else the classes "
            "that occur."
        ),
    ] = None,
    form: MaskForm,
    ignore: options.Ignore = None,
    metrics: options.Metrics = None,
    kinds: options.Kinds = None,
    choice: Choice,
    rules: Rules,
    keep: options.Keep = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    workers: options.Workers = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, as `alkit status` does.")] = False,
) -> None:
    """Simulate active learning on images that have masks or classes, to see how well a strategy works on them.

    After an interruption, run the same command again to resume.

    [dim]Examples:[/dim]

    [cyan]alkit run --images images --masks masks --size 64 --strategy random --start 30 --batch 10 --rounds 5 \\
    --store runs/random.db[/cyan]

    [cyan]alkit run --volumes images --labels labels --classes background,anterior,posterior --size 64 \\
    --store runs/volumes.db[/cyan]

    [cyan]alkit run --images slides --masks masks --tiles 512 --foreground tissue --store runs/tiles.db[/cyan]

    [cyan]alkit run --images photos --labels folders --size 128 --store runs/classes.db[/cyan]

    [cyan]alkit run --images xrays --labels findings.csv --multiple --size 256 --store runs/findings.db[/cyan]

    If the strategy needs a trained model, the start set is random, or selected by --initial. If it needs an ensemble
    or a network with heads of deep supervision, the learner trains one.
    """
    if seeds is not None:
        from alkit.cli.seeds import run_seeds

        here, command = locals(), run.__wrapped__  # type: ignore[attr-defined]
        given = {name: here[name] for name in signature(command).parameters}
        run_seeds(one_run, {**given, "seeds": None, "workers": None}, seeds, options.read_workers(workers))
        return
    import alkit
    from alkit.cli.known_labels import FOLDERS, OPTIONS, label_oracle, masks_in, settle_form
    from alkit.cli.naming import naming
    from alkit.cli.places import refuse_options
    from alkit.cli.recipes import recipe_in_words
    from alkit.cli.records import record_at
    from alkit.cli.status import status
    from alkit.cli.testset import read_test_set
    from alkit.cli.threads import choose_threads, keep_threads, say_threads
    from alkit.errors import ConfigurationError
    from alkit.record.alongside import alongside
    from alkit.record.grouping import recorded_rules, with_recorded_groups
    from alkit.report.progress import progress_bar
    from alkit.rng import threads as compute_with
    from alkit.sharing.workers import working

    images = source.images
    source.check(masks=masks, labels=labels)
    if images is None and labels is None:
        raise ConfigurationError("the labels of the volumes are missing", hint="--labels FOLDER")
    if images is not None and (masks is None) == (labels is None):
        raise ConfigurationError(
            "images must have either --masks or --labels",
            got="neither" if masks is None else "both",
            hint="--masks FOLDER, or --labels FILE for classes of images",
        )
    per = "pixel" if images is None or labels is None else "image"
    if multiple and per == "pixel":
        raise ConfigurationError("--multiple can be used only with --images and --labels FILE", got="masks")
    test_places = test_set.places(volumes=images is None, per=per)
    choice, former = choice.named(per), None
    if store.is_file():
        with record_at(store) as record:
            if record.fact("configuration") is not None:
                choice = with_former_defaults(choice, record.fact(TYPED))
    learner, strategy, initial = parts = choice.make(device)
    if test_places is not None and test_fraction is not None:
        option = "--test-volumes" if images is None else "--test-images"
        raise ConfigurationError(f"--test-fraction and {option} cannot be used together")
    names = None if classes is None else options.class_names(classes)
    known = functools.partial(form.oracle, classes=names or ("background", "object"), ignore=ignore)
    if per == "image":
        unknown = ignore is not None and not multiple
        others = {"--ignore": unknown, "--pages": source.pages == "frames"}
        refuse_options({**form.given(), **others}, "with --masks")
    with working(options.read_workers(workers)), progress_bar(choice.strategy) as report:
        files = source.files(masks=True, asks=labels != FOLDERS)
        oracle: alkit.MaskOracle | alkit.LabelOracle | None = None
        if files:
            if masks is not None:
                oracle = known(masks)
            else:
                oracle = label_oracle(str(labels), names, files, multiple=multiple, ignore=ignore)
            with naming(OPTIONS):
                oracle.check([] if source.pages == "frames" else files)  # before hours are spent on reading images
        everything = source.pool(report)
        if oracle is None:
            option, place = ("--masks", masks) if labels is None else ("--labels", labels)
            oracle = known(masks_in(everything, str(place), form.mask_pattern, option))
        elif source.pages == "frames":
            with naming(OPTIONS):
                oracle.check(everything.ids)
        if store.is_file():
            with record_at(store) as record:
                everything = with_recorded_groups(record, everything)
                former = recorded_rules(record)
        measured = choose_metrics(metrics, kinds, everything, "set" if multiple else per)
        ruled = rules.after(former)
        if (new := not store.exists()) and isinstance(oracle, alkit.MaskOracle):
            with naming(OPTIONS):
                oracle.check_labels(everything, report)
        pool: PoolBase = everything
        test: PoolBase
        tested = None
        if test_places is None:
            pool, test = everything.split(test=0.2 if test_fraction is None else test_fraction, seed=seed)
        else:
            with naming(OPTIONS):
                tested = read_test_set(everything, test_places, oracle.spec, form, report, source.groups)
            test = tested.pool

        def also(record: Store) -> None:
            if isinstance(oracle, alkit.MaskOracle):
                settle_form(record, form, oracle)
            keep_threads(record, threads)
            save_choice(record, choice, parts)

        with compute_with(choose_threads(pool.shape, threads)), alongside(also):
            experiment = alkit.Experiment(
                pool,
                learner,
                strategy,
                store=store,
                seed=seed,
                initial=initial,
                metrics=measured,
                rules=ruled,
                keep=keep,
                report=report,
            )
        before = len(experiment.history)
        own = None if tested is None else tested.oracle
        experiment.run(oracle, test=test, test_oracle=own, start=start, batch=batch, rounds=rounds)
    if before > rounds:
        echo(f"{store} is finished after {before} rounds; more --rounds continue it.", err=True)
    elif before:
        echo(f"Resumed {store} after round {before - 1}.", err=True)
    with record_at(store) as record:
        say_threads(record, pool.shape, threads, new=new)
    for line in recipe_in_words(choice.recipe, learner, plain=choice.plain):
        echo(line, err=True)
    status(store=store.store, files=store.files, as_json=json)


def one_run(**given: Any) -> None:
    """Run the command with arguments as it gets them, without those of the program."""
    run.__wrapped__(**given)  # type: ignore[attr-defined]
