"""``alkit review``: ask again for labels that may be wrong, and say what that found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record

if TYPE_CHECKING:
    from alkit.report.reviews import Review


@expand
def review(
    store: Record,
    number: Annotated[
        int | None,
        typer.Option("-n", "--number", help="Number of labels to ask again. Without it, the reviews are listed."),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option("--random", help="How many of them are drawn at random, to check labels. Default: one of five."),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Name of the person who is asked. Default: anybody.")] = "",
    show_first: Annotated[
        bool,
        typer.Option(
            "--show-first/--blind",
            help="Show the first answer: a mask as pre-label, which must be confirmed if it is right. Default: blind.",
        ),
    ] = False,
    folds: Annotated[
        int, typer.Option("--folds", help="Number of models that are trained, each without a part of the labels.")
    ] = 5,
    out: Annotated[str | None, typer.Option(help="Folder to write the images to.")] = None,
    form: Annotated[
        str | None, typer.Option("--as", help="coco or cvat, or csv for classes of images, as for alkit ask.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="label-studio: send the images to it instead of a folder.")] = None,
    url: options.Url = None,
    project: options.Project = None,
    images: options.Images = None,
    learner: options.OwnLearner = None,
    workers: options.Workers = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all reviews as JSON.")] = False,
) -> None:
    """Ask again for labels that may be wrong, or list what such reviews found.

    These are labels with which models disagree that were not trained on them, labels about which annotators disagree,
    and some that are drawn at random. They are sent like other queries, to the same place as the last time. No training
    waits for them. The answers are read by alkit tell; the person who gave the first label is told if it was not
    kept.

    [dim]Examples:[/dim]

    [cyan]alkit review campaign.db -n 10[/cyan]

    [cyan]alkit review campaign.db -n 10 --by "Dr. Ada" --show-first[/cyan]

    [cyan]alkit review campaign.db[/cyan]
    """
    from alkit.cli.records import record_at
    from alkit.report.reviews import recorded_reviews

    lines: list[str] = []
    if number is not None:
        place = {"folder": out, "form": form, "service": to, "url": url, "project": project}
        given = {"random": random, "by": by, "show_first": show_first, "folds": folds}
        lines = _ask_again(store, number, given, place, images, learner, workers)
    with record_at(store) as record:
        found = recorded_reviews(record)
    if as_json:
        print(json.dumps({"store": str(store), "reviews": [asdict(entry) for entry in found]}, indent=2))
        return
    echo(*lines)
    if number is None:
        echo(*_listed(found))
        more = f"alkit tell {quote(store)}" if any(entry.outcome is None for entry in found) else ""
        echo(f"Next: {more or f'alkit review {quote(store)} -n 10'}")
    else:
        echo(f"Next, when they are labelled: alkit tell {quote(store)}")


def _ask_again(
    store: Record,
    number: int,
    given: dict[str, Any],
    to: dict[str, str | None],
    images: Path | None,
    learner: str | None,
    workers: str | None,
) -> list[str]:
    """Record reviews and send them; return what was done, in sentences."""
    from alkit._files import make_folder
    from alkit.cli.instructions import recorded_instructions
    from alkit.cli.named_places import check_place
    from alkit.cli.places import Delivery, FolderPlace, choose_place, last_place, save_place
    from alkit.cli.records import open_campaign, record_at
    from alkit.errors import ConfigurationError
    from alkit.report.progress import progress_bar
    from alkit.sharing.workers import working

    with working(options.read_workers(workers)), progress_bar(str(store)) as report, record_at(store) as record:
        experiment = open_campaign(record, images, report, learner)
        place = choose_place(store, last_place(record), **to)
        if place is None:
            raise ConfigurationError(
                "the place to send the images to is missing", hint="--out FOLDER, or --to label-studio --url ADDRESS"
            )
        check_place(record, place, named=to["folder"] is not None or to["url"] is not None, option="--out")
        spec, campaign = experiment.spec, experiment.campaign
        place.oracle(Delivery(spec, campaign, images=experiment.pool))  # raises errors before anything is chosen
        asked = set(experiment.review(number, **given))
        drafts = experiment.prelabels() if spec.per == "pixel" else {}
        if isinstance(place, FolderPlace):
            make_folder(Path(place.folder))
        save_place(record, place)
        told = recorded_instructions(record)
        experiment.send(place.oracle(Delivery(spec, campaign, experiment.queries(), experiment.pool, drafts, told)))
        new = [entry for entry in experiment.reviews() if entry.outcome is None and entry.id in asked]
    return [f"Asked again: {len(new)} labels, {_reasons(new)}. They are in {place}."]


def _reasons(found: Sequence[Review]) -> str:
    """Return in words why labels were asked again."""
    words = {"model": "doubted by a model", "disputed": "disputed", "random": "drawn at random"}
    counts = {why: sum(entry.why == why for entry in found) for why in words}
    return ", ".join(f"{n} {words[why]}" for why, n in counts.items() if n)


def _listed(found: Sequence[Review]) -> list[str]:
    """Return a line for each review, and a summary."""
    from alkit.report.reviews import in_words

    if not found:
        return ["No label was asked again yet."]
    lines = []
    for entry in found:
        state = "open" if entry.outcome is None else f"{entry.outcome} by {entry.by or 'an unnamed annotator'}"
        least = min(entry.agreement.values(), default=None)
        figure = "" if least is None else f" (agreement {least:.2f})"
        lines.append(f"{entry.key}: {_reasons([entry]).partition(' ')[2]}: {state}{figure}")
    return [*lines, *in_words(found)]
