"""``alkit change``: change the settings of a record before its first round."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alkit.cli import options
from alkit.cli.audit import Audit
from alkit.cli.disputes import DisputeOptions, settle_disputes
from alkit.cli.expanding import expand
from alkit.cli.kept_options import TYPED, save_choice, typed_by_stranger, with_former_defaults
from alkit.cli.parts import Choice, with_given_options
from alkit.cli.people import PeopleOptions
from alkit.cli.printing import echo, quote
from alkit.cli.ruling import Rules
from alkit.cli.stores import Record

if TYPE_CHECKING:
    from alkit.configuration.forms import Written
    from alkit.pools.base import PoolBase
    from alkit.record.store import Store


@with_given_options
@expand
def change(
    *,
    choice: Mapping[str, Any],
    store: Record,
    size: Annotated[int | None, typer.Option(help="Another working size in pixels.")] = None,
    metrics: options.Metrics = None,
    kinds: options.Kinds = None,
    groups: options.Groups = None,
    instructions: options.Instructions = None,
    keep: options.Keep = None,
    audit: Audit = None,
    rules: Rules,
    who: PeopleOptions,
    disputed: DisputeOptions,
) -> None:
    """Change the learner, strategy, working size, metrics, groups, rules or people of a record. Its labels are kept.

    Metrics, groups, rules, people, disputes, instructions, --keep and a larger --audit change at any time; an empty
    text or the limit 0 removes a rule. The others change until the first round is committed, for example if the network
    turns out not to fit the images. Options that are left out keep their values, and --param replaces all earlier ones.
    The record keeps the date.

    [dim]Examples:[/dim]

    [cyan]alkit change campaign.db --never site=B --max-per-group 2[/cyan]

    [cyan]alkit change campaign.db --people ann=2,ben=1 --deadline 3[/cyan]

    [cyan]alkit change campaign.db --size 128[/cyan]

    [cyan]alkit change campaign.db --strategy mc-dropout --widths 16,32,64,128[/cyan]
    """
    import alkit
    from alkit.cli.audit import change_audit
    from alkit.cli.instructions import read_instructions, save_instructions
    from alkit.cli.metrics import change_metrics, follow_groups
    from alkit.cli.named_places import check_images
    from alkit.cli.records import folder_of, is_as_recorded, open_campaign, record_at
    from alkit.cli.wording import changed_options
    from alkit.configuration.construct import build
    from alkit.errors import ConfigurationError
    from alkit.experiment.keeping import change_keep
    from alkit.learners.named import is_installed
    from alkit.record.alongside import alongside
    from alkit.record.changing import changed_settings
    from alkit.record.disputes import recorded_disputes
    from alkit.record.grouping import recorded_grouping
    from alkit.record.people import recorded_people, settle_people
    from alkit.record.settings import Settings
    from alkit.report.progress import progress_bar
    from alkit.values.progress import quiet

    named = {name: f"--{name.replace('_', '-')}" for name in inspect.signature(change).parameters}
    made_of = (metrics, kinds, groups, audit, *vars(rules).values(), *vars(who).values(), *vars(disputed).values())
    at_any_time = (*made_of, instructions, keep)
    if all(value is None for value in (size, *at_any_time)) and not choice:
        raise ConfigurationError("no option to change is given", hint=f"alkit change {quote(store)} --size 128")
    if any(value is not None for value in at_any_time):
        # Most settings are made of those that are recorded, which must not change meanwhile.
        waits, text = any(value is not None for value in made_of), read_instructions(instructions)
        own = None if is_installed(choice.get("learner", "")) else choice.get("learner")
        with record_at(store) as record:
            Settings(record).check_complete()
            pool = None if groups is None else build(Settings(record).declared["pool"], "pool")
            campaign = None if audit is None else open_campaign(record, None, quiet, own)
            with record.together() if waits else record.database.together():
                before = recorded_grouping(record)
                lines = _change_groups_and_rules(record, pool, groups, rules)
                lines += settle_people(record, who.after(recorded_people(record)))
                lines += settle_disputes(record, disputed.after(recorded_disputes(record)))
                lines += follow_groups(record, before)
                lines += change_metrics(record, metrics, kinds)
                told = save_instructions(record, text)
                lines += told
                lines += change_keep(record, keep)
                if audit is not None and campaign is not None:
                    lines += change_audit(campaign, audit)
        for line in changed_options(lines, named):
            echo(f"changed: {line}")
        if told:
            echo("Annotators see the instructions after the next alkit ask.")
        if not choice and size is None:
            if not lines:
                echo("Nothing is different.")
            echo(f"Next: alkit status {quote(store)}")
            return
    with progress_bar(str(store)) as report, record_at(store) as record, record.exclusive():
        settings, before = Settings(record), record.fact("configuration")
        typed = record.fact(TYPED)
        if before is None or typed is None:
            raise ConfigurationError(
                f"{store} was not created by alkit start or alkit run, so its options are not known",
                hint="in Python, the argument change of alkit.Experiment",
            )
        settings.check_complete()
        kept = _known(typed)
        for one, other in (("steps", "epochs"), ("epochs", "steps")):
            if one in choice and other not in choice:
                kept[other] = None
        if choice.get("learner", kept.get("learner")) != kept.get("learner"):
            kept["recipe"] = None
        if "learner" not in choice:
            _check_installed(kept.get("learner"), store)
        new = with_former_defaults(Choice(**{**kept, **choice}), typed)
        learner, strategy, initial = made = new.make()
        form = settings.declared["pool"]
        if (folder := folder_of(form)) is not None:  # they are described again at another size, or without answers
            check_images(
                record,
                folder,
                named=False,
                described=lambda: size is None and record.has_answers() and is_as_recorded(record, None),
                option=f"alkit fit {quote(store)} --images {quote(folder)}",
            )
        pool, terms = build(form if size is None else _resized(form, size), "pool"), vars(settings.terms)
        with alongside(lambda record: save_choice(record, new, made)):
            experiment = alkit.Experiment(
                pool,
                learner,
                strategy,
                store=record,
                seed=settings.seed,
                initial=initial,
                **terms,
                change=True,
                report=report,
            )
        lines = changed_settings(before, record.fact("configuration"))
        labels = sum(bool(known.labels) for known in record.snapshot().known.values())
    for line in changed_options(lines, named):
        echo(f"changed: {line}")
    if not lines:
        echo("Nothing is different.")
    height, width = experiment.pool.read(list(experiment.pool.ids)[:1]).shape[-2:]
    echo(f"{store}: {labels} labels are kept; images are read at {width} x {height} pixels.")
    echo(f"Next: alkit status {quote(store)}")


def _change_groups_and_rules(record: Store, pool: PoolBase | None, groups: str | None, rules: Rules) -> list[str]:
    """Record other groups of the images of a pool, and rules; return a line for each that differs."""
    from alkit.record.grouping import change_groups, change_rules, recorded_rules

    lines: list[str] = []
    if groups is not None and pool is not None:
        lines += change_groups(record, pool, groups)
    new = rules.after(recorded_rules(record))
    return lines if new is None else [*lines, *change_rules(record, new)]


def _known(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in a record, without places that a stranger may have named."""
    names = {entry.name for entry in fields(Choice)}
    found = {name: value for name, value in typed.items() if name in names}
    return {**found, "param": typed_by_stranger(found.get("param"))}


def _check_installed(learner: str | None, store: Record) -> None:
    """Raise a :class:`ConfigurationError` if a record names a learner that only its user may name."""
    from alkit.errors import ConfigurationError
    from alkit.learners.named import is_installed

    if learner is not None and not is_installed(learner):
        raise ConfigurationError(
            f"{store} cannot be changed without its learner, because alkit imports nothing that a record names",
            got=repr(learner),
            hint=f"--learner {quote(learner)}, if this module is yours",
        )


def _resized(form: Written, size: int) -> Written:
    """Return the written form of a pool of files that are read at another size."""
    from alkit.errors import ConfigurationError

    match form:
        case {"is": "alkit:ImagePool" | "alkit:VolumePool", "with": dict() as given}:
            return {**form, "with": {**given, "size": size}}
        case {"is": "alkit.pools:Subset", "with": {"pool": pool}}:
            return {**form, "with": {**form["with"], "pool": _resized(pool, size)}}
    raise ConfigurationError("--size can be changed only if the pool of the record is a folder of images", got=size)
