"""``alkit ask``: select the next images and send them to annotators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record

if TYPE_CHECKING:
    from alkit.experiment.loop import Experiment
    from alkit.protocols import Pool
    from alkit.record.store import Store


@expand
def ask(
    store: Record,
    number: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--number",
            help="Number of images that shall wait for an answer. Without it, open ones are sent again.",
        ),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(help="In place of -n: hours of work, of all annotators, that the open images may take together."),
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder to write the images to.")] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="coco or cvat, or csv for classes of images: also write one file for such a tool. nifti: also write "
            "whole volumes in which the selected slices are to be labelled. files: write folders of images only.",
        ),
    ] = None,
    to: Annotated[str | None, typer.Option(help="label-studio: send the images to it instead of a folder.")] = None,
    url: options.Url = None,
    project: options.Project = None,
    control: Annotated[
        str | None, typer.Option(help="Drawing tool in Label Studio: bitmask (default), brush or polygon.")
    ] = None,
    prelabels: Annotated[
        bool, typer.Option("--prelabels/--no-prelabels", help="Send the last model's predictions as masks to correct.")
    ] = True,
    images: options.Images = None,
    learner: options.OwnLearner = None,
    workers: options.Workers = None,
) -> None:
    """Train on all labels so far, select the images most worth labelling, and send them to annotators.

    --hours selects as many images as fit: what a label costs is fitted to the times of the labels so far.
    While images wait for an answer, as many are selected as are missing to the number, so that nobody waits for a slow
    annotator. Images that are due go to somebody else. Open queries are sent again, which changes nothing where they
    arrived before. Images that could not be read when the campaign was started and can be read now are taken into the
    pool. Images go to the same place as the last time, unless you give another one.

    [dim]Examples:[/dim]

    [cyan]alkit ask campaign.db -n 35 --out exchange[/cyan]

    [cyan]alkit ask campaign.db --hours 6[/cyan]

    [cyan]alkit ask campaign.db -n 35 --out exchange --as cvat[/cyan]

    [cyan]ALKIT_LABEL_STUDIO_TOKEN=... alkit ask campaign.db -n 35 --to label-studio --url http://localhost:8080[/cyan]
    """
    from alkit._files import make_folder
    from alkit.checks import check_integer, check_number
    from alkit.cli.fit import describe_round
    from alkit.cli.hours import check_times, describe_work
    from alkit.cli.instructions import recorded_instructions
    from alkit.cli.named_places import check_place
    from alkit.cli.places import Delivery, FolderPlace, choose_place, last_place, save_place
    from alkit.cli.records import open_campaign, record_at
    from alkit.cli.testset import recorded_test_set
    from alkit.cli.told import listed
    from alkit.errors import ConfigurationError
    from alkit.record.assigning import hand_on
    from alkit.record.choices import TEST_SET
    from alkit.report.progress import progress_bar
    from alkit.sharing.workers import working
    from alkit.values.shown import count

    if number is not None and hours is not None:
        raise ConfigurationError("-n and --hours cannot be combined", hint="one of them")
    if hours is not None:
        check_number("--hours", hours, 0, open_ends="(")
    with working(options.read_workers(workers)), progress_bar(str(store)) as report, record_at(store) as record:
        experiment = open_campaign(record, images, report, learner)
        was_open, trained = experiment.open_ids, None
        selects = hours is not None or (
            number is not None and check_integer("n", number, least=1) > len(experiment.waiting_ids)
        )
        taken: tuple[str, ...] = ()
        left_out: str | None = None
        tested = record.fact(TEST_SET) is not None
        done = {result.round for result in experiment.history}
        reviews = record.snapshot().open_reviews
        if not was_open and not reviews and number is None and hours is None:
            raise ConfigurationError("the number of images is missing, and no query is open", hint="-n 35")
        if hours is not None:
            check_times(record)  # before a model is trained
        before = last_place(record)
        place = choose_place(
            store, before, folder=out, form=form, service=to, url=url, project=project, control=control
        )
        if place is None:
            raise ConfigurationError(
                "the place to send the images to is missing", hint="--out FOLDER, or --to label-studio --url ADDRESS"
            )
        check_place(record, place, named=out is not None or url is not None, option="--out")
        spec, campaign = experiment.spec, experiment.campaign
        place.oracle(
            Delivery(spec, campaign, images=experiment.pool)
        )  # raises errors in the place before any image is selected
        passed = hand_on(record)
        if selects:
            test_set = recorded_test_set(record, experiment.pool, report)
            if experiment.repaired:
                taken, left_out = _take_repaired(record, experiment, test_set.get("test"))
            if experiment.learnable:
                trained = experiment.fit(**test_set, wait_for_answers=False)
            ids = experiment.top_up(number, hours=hours)
        else:
            ids = was_open
        drafts = experiment.prelabels() if prelabels and spec.per == "pixel" else {}
        if isinstance(place, FolderPlace):
            make_folder(Path(place.folder))  # before the record names it: a folder that is gone is not made again
        save_place(record, place)
        told = recorded_instructions(record)
        delivery = Delivery(spec, campaign, experiment.queries(), experiment.pool, drafts, told)
        experiment.send(place.oracle(delivery))
        work = experiment.workload()
    if taken:
        echo(f"Taken into the pool, because they can be read now: {listed(taken)}.")
    if left_out is not None:
        echo(f"alkit: images that can be read now stay out of the pool: {left_out}", err=True)
    if trained is not None and trained.round not in done:
        echo(*describe_round(trained, tested=tested))
    for one in passed:
        why = f"was due, and goes from {one.before} to" if one.before else "wants more annotators, and also goes to"
        echo(f"{one.query.key} {why} {one.after}.")
    new, again = len(set(ids) - set(was_open)), len(set(ids) & set(was_open))
    named = {"Selected and sent": new, "Still open, and sent again": again, "In review, and sent again": len(reviews)}
    counts = [f"{what}: {count(n, 'image')}" for what, n in named.items() if n] or ["No image can be selected"]
    echo(f"{'. '.join(counts)}, {len(drafts)} with a pre-label. They are in {place}.")
    if before is not None and again and not before.is_same(place):
        echo(f"Open images are in {before} as well. Answers there are read by: {before.reading(quote(store))}")
    if work is not None:
        echo(f"They are expected to take {describe_work(work)}.")
    echo(f"Next, when images are labelled: alkit tell {quote(store)}")


def _take_repaired(record: Store, experiment: Experiment, test: Pool | None) -> tuple[tuple[str, ...], str | None]:
    """Take in images that were repaired; return their ids, or why they stay out: they must not stop a campaign."""
    from alkit.cli.named_places import is_named_folder
    from alkit.cli.records import folder_of
    from alkit.cli.wording import for_command_line
    from alkit.errors import ConfigurationError, DataError
    from alkit.record.settings import Settings

    folder = folder_of(Settings(record).declared.get("pool"))
    if folder is not None and not is_named_folder(record, folder):
        return (), f"their folder was not named on this machine. Try: --images {quote(folder)}, if it is yours"
    try:
        return experiment.take_repaired(test=test).ids, None
    except (ConfigurationError, DataError) as reason:
        return (), for_command_line(str(reason), {"groups": "--groups of alkit add", "pool": "the folder of images"})
