"""``alkit start``: start a campaign on a folder of images or volumes without labels."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from alkit.cli import options
from alkit.cli.audit import Audit, audit_drawn_in_words, hold_out_beside
from alkit.cli.disputes import DisputeOptions, disputes_in_words, settle_disputes
from alkit.cli.expanding import expand
from alkit.cli.kept_options import TYPED, save_choice, with_former_defaults
from alkit.cli.known_labels import MaskForm
from alkit.cli.metrics import choose_metrics
from alkit.cli.parts import Choice
from alkit.cli.people import PeopleOptions, people_in_words
from alkit.cli.printing import echo, quote
from alkit.cli.ruling import Rules
from alkit.cli.source import Source, TestSet
from alkit.cli.stores import NewRecord

if TYPE_CHECKING:
    from alkit.record.store import Store


@expand
def start(
    *,
    store: NewRecord,
    classes: options.Classes,
    source: Source,
    per: Annotated[
        str, typer.Option(help="What has a class: each pixel, so that labels are masks, or each image.")
    ] = "pixel",
    multiple: options.Multiple = False,
    annotators: Annotated[
        int, typer.Option(help="Number of people who label each image.", rich_help_panel=options.PEOPLE)
    ] = 1,
    join: Annotated[
        str,
        typer.Option(
            help="How the labels of one image are joined: one, majority or staple.", rich_help_panel=options.PEOPLE
        ),
    ] = "one",
    hold_out: Annotated[
        float | None,
        typer.Option(
            help="Share of the answers, drawn at random, that measure the model and do not train it; default: 0.2, or "
            "0 with --audit.",
            rich_help_panel=options.PEOPLE,
        ),
    ] = None,
    audit: Audit = None,
    instructions: options.Instructions = None,
    keep: options.Keep = None,
    stop_set: Annotated[
        int, typer.Option(help="Number of images on which successive models are compared, for advice on when to stop.")
    ] = 200,
    seed: options.Seed = 0,
    ignore: options.Ignore = None,
    threads: options.Threads = None,
    test: TestSet,
    form: MaskForm,
    metrics: options.Metrics = None,
    kinds: options.Kinds = None,
    choice: Choice,
    rules: Rules,
    who: PeopleOptions,
    disputed: DisputeOptions,
) -> None:
    """Start a campaign in which people label the images that `alkit ask` selects.

    The learner is tried on a few images with made-up labels, so that a network that does not fit them is found now.
    Until the first answer, the same command with other options changes the options; after it, `alkit change` does.
    Images that people have already, and the ids of their classes, stay the same.

    [dim]Examples:[/dim]

    [cyan]alkit start campaign.db --images images --classes skin,lesion --size 256 --strategy maxherding[/cyan]

    [cyan]alkit start campaign.db --volumes ct --window -160,240 --classes background,liver --size 256[/cyan]

    [cyan]alkit start campaign.db --images slides --tiles 512 --foreground tissue --classes background,tumour[/cyan]

    [cyan]alkit start classes.db --images photos --per image --classes cat,dog --size 128[/cyan]

    [cyan]alkit start findings.db --images xrays --per image --multiple --classes nodule,effusion --size 256[/cyan]
    """
    import alkit
    from alkit.cli.eyes import check_eye, eye_in_words
    from alkit.cli.instructions import read_instructions, save_instructions
    from alkit.cli.known_labels import OPTIONS
    from alkit.cli.named_places import check_images
    from alkit.cli.naming import naming
    from alkit.cli.places import refuse_options
    from alkit.cli.recipes import recipe_in_words
    from alkit.cli.records import record_at
    from alkit.cli.ruling import rules_and_groups
    from alkit.cli.testset import read_test_set, save_test_set
    from alkit.cli.threads import choose_threads, keep_threads, say_threads
    from alkit.cli.wording import changed_options
    from alkit.errors import ConfigurationError
    from alkit.learners.named import is_installed
    from alkit.record.alongside import alongside
    from alkit.record.changing import PLACE, changed_settings
    from alkit.record.disputes import recorded_disputes
    from alkit.record.grouping import changed_rules, recorded_rules, with_recorded_groups
    from alkit.record.people import recorded_people
    from alkit.record.store import Store
    from alkit.report.campaign import campaign_summary
    from alkit.report.next_step import next_step
    from alkit.report.progress import progress_bar
    from alkit.rng import threads as compute_with
    from alkit.values.disputes import Disputes
    from alkit.values.people import People

    source.check()
    disputed.after(Disputes())  # refuses wrong options first
    told = read_instructions(instructions)
    if store.is_file():
        with record_at(store) as recorded:
            if recorded.fact("configuration") is not None:
                choice = with_former_defaults(choice, recorded.fact(TYPED))
    if per not in ("pixel", "image"):
        raise ConfigurationError("--per must be pixel or image", got=repr(per))
    if multiple and per != "image":
        raise ConfigurationError("--multiple can be used only with --per image", got=f"--per {per}")
    if per == "image":
        refuse_options({"--ignore": ignore is not None and not multiple}, "with --per pixel")
    test_places = test.places(volumes=source.images is None, per=per)
    kind = cast("Literal['pixel', 'image']", per)
    spec = alkit.LabelSpec(options.class_names(classes), ignore, kind, multiple)
    choice = choice.named(per)
    with source.decoded_ahead():
        learner, strategy, initial = parts = choice.make()
        check_eye(choice, parts)
    with progress_bar(str(store)) as report:
        source.files(masks=False)
        pool = source.pool(report)
        record = Store(store) if store.is_file() else None
        before = _settings(record)
        former, people = None, who.after(People() if record is None else recorded_people(record))
        if record is not None:
            pool, former = with_recorded_groups(record, pool), recorded_rules(record)
        ruled = rules.after(former)
        test_set = None
        if test_places is not None:
            with naming(OPTIONS):
                test_set = read_test_set(pool, test_places, spec, form, report, source.groups)

        def also(recorded: Store) -> None:
            keep_threads(recorded, threads)
            if test_set is not None:
                save_test_set(recorded, test_set)
            save_choice(recorded, choice, parts)
            save_instructions(recorded, told)
            settle_disputes(recorded, disputed.after(recorded_disputes(recorded)))

        with compute_with(choose_threads(pool.shape, threads)), alongside(also):
            experiment = alkit.Experiment(
                pool,
                learner,
                strategy,
                store=record or store,
                seed=seed,
                initial=initial,
                classes=spec,
                annotators=annotators,
                join=join,
                hold_out=hold_out_beside(hold_out, audit, record),
                audit=audit,
                stop_set=stop_set,
                metrics=choose_metrics(metrics, kinds, pool, "set" if multiple else per),
                rules=ruled,
                keep=keep,
                people=people,
                report=report,
            )
    with record_at(store) as recorded, recorded.one_connection():
        say_threads(recorded, pool.shape, threads, new=not before)
        check_images(recorded, str(source.folder), named=True)
        if test_set is not None:
            for place in test_places or ():
                check_images(recorded, str(place), named=True)
        kept = [*rules_and_groups(recorded), *people_in_words(recorded), *disputes_in_words(recorded)]
        step = next_step(campaign_summary(recorded), str(store), placed=recorded.fact(PLACE) is not None)
    named = {name: f"--{name.replace('_', '-')}" for name in inspect.signature(start).parameters}
    for line in changed_options(changed_settings(before, _settings(record)), named) if before else ():
        echo(f"changed: {line}")
    if former is not None and ruled is not None:
        for line in changed_options(changed_rules(former, ruled), named):
            echo(f"changed: {line}")
    for line in (*recipe_in_words(choice.recipe, learner, plain=choice.plain), *eye_in_words(choice, parts)):
        echo(line)
    for line in (*kept, *audit_drawn_in_words(experiment)):
        echo(line)
    left = len(experiment.candidates)
    height, width = pool.shape[1:]
    echo(f"{store}: {len(pool)} images, read at {width} x {height} pixels; {left} can be selected.")
    own = choice.learner if choice.learner and not is_installed(choice.learner) else None
    echo(f"Next: {step.command}" + (f" --learner {quote(own)}" if own else ""))


def _settings(record: Store | None) -> dict[str, Any]:
    """Return the settings in a record; an empty dictionary before they are declared."""
    if record is None or (configuration := record.fact("configuration")) is None:
        return {}
    return {**configuration, "classes": record.fact("classes")}
