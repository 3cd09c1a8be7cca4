"""``alkit tell``: take the answers that people have given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options

if TYPE_CHECKING:
    from alkit.oracles.formats.annotations import Empty
    from alkit.values.answers import Answer


def tell(
    store: Annotated[Path, typer.Argument(help="The record.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Folder with a folder for each annotator, a COCO .json or CVAT .xml, or label-studio; default: where "
            "the queries went.",
        ),
    ] = None,
    annotator: Annotated[str, typer.Option(help="Whose answers are in a COCO or CVAT file named by --from.")] = "",
    empty: Annotated[
        bool,
        typer.Option(
            "--empty-is-background", help="Images without annotations in COCO or CVAT files are all background."
        ),
    ] = False,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="What equals its pre-label in such a file is meant, not left undone.")
    ] = False,
    url: options.Url = None,
    project: options.Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take masks, skips and corrections. What cannot be taken is reported, and the rest is taken all the same.

    Taking the same twice changes nothing. This may be done while a model is being trained, and needs no images.

    [dim]Examples:[/dim]

    [cyan]alkit tell campaign.db --from exchange[/cyan]

    [cyan]alkit tell campaign.db --from annotations.xml --annotator ann[/cyan]

    [cyan]ALKIT_LABEL_STUDIO_TOKEN=... alkit tell campaign.db --from label-studio[/cyan]
    """
    from alkit.cli.places import LABEL_STUDIO, Handing, LabelStudioPlace, place_of, refuse, remembered
    from alkit.cli.records import record_at
    from alkit.errors import ConfigurationError, StoreError
    from alkit.oracles.formats.registry import FORMATS, SUFFIXES
    from alkit.protocols import ReportsUnread
    from alkit.record.answers import Answers
    from alkit.record.label_files import LabelFiles
    from alkit.record.settings import FEW, Settings
    from alkit.record.states import answered, open_entries

    service = source if source == LABEL_STUDIO else None
    path = None if source is None or service else Path(source).expanduser()
    background: Empty = "background" if empty else "unanswered"
    with record_at(store) as record:
        settings, last = Settings(record), remembered(record)
        if not settings.declared:
            raise StoreError(f"nothing was declared yet in {store}", hint="alkit start, with the images and classes")
        answers = Answers(record, settings, LabelFiles(record))
        queries = [one.query for one in record.standings()]
        unread: dict[Path, str] = {}
        if path is not None and (codec := FORMATS.get(SUFFIXES.get(path.suffix.lower(), ""))) and not path.is_dir():
            refuse({"--url": url, "--project": project}, f"they are for {LABEL_STUDIO}")
            found = codec.read(path, queries, settings.spec, annotator=annotator, empty=background)
            receipt = answers.receive(replace(answer, confirmed=confirmed) for answer in found)
        else:
            folder = None if service else source
            place = place_of(store, last, folder=folder, service=service, url=url, project=project)
            if place is None:
                raise ConfigurationError(
                    "where are the answers?",
                    hint="--from FOLDER, --from FILE.json or FILE.xml, or --from label-studio --url ADDRESS",
                )
            refuse(
                {"--annotator": annotator, "--confirmed": confirmed},
                "they are for --from FILE.json or FILE.xml; elsewhere the answers say it themselves",
            )
            if isinstance(place, LabelStudioPlace):
                refuse({"--empty-is-background": empty}, "it is for COCO and CVAT files")
            oracle = place.oracle(Handing(settings.spec, settings.campaign, queries), background)
            receipt = answers.collect(oracle)
            unread = oracle.unread() if isinstance(oracle, ReportsUnread) else {}
        asked, known = record.asked(), record.answers()
        still_open = len(open_entries(asked, known))
        disputed = answers.disputed(answered(asked, known), {answer.id for answer in receipt.taken})
    if as_json:
        facts = {
            "taken": [_facts(answer) for answer in receipt.taken],
            "outdated": [_facts(answer) for answer in receipt.outdated],
            "unchanged": [_facts(answer) for answer in receipt.unchanged],
            "refused": [{**_facts(answer), "reason": reason} for answer, reason in receipt.refused],
            "unread": {str(path): reason for path, reason in unread.items()},
            "disputed": {id: list(names) for id, names in disputed.items()},
            "open": still_open,
        }
        print(json.dumps(facts, indent=2))
        return
    keys = {query.id: query.key for query in queries}
    typer.echo(
        f"New answers: {len(receipt.taken)}, known before: {len(receipt.unchanged)}, images still open: {still_open}."
    )
    for answer, reason in receipt.refused:
        whose = f" by {answer.annotator}" if answer.annotator else ""
        typer.echo(f"refused: {keys.get(answer.id, answer.id)}{whose}: {reason}")
    for answer in receipt.outdated:
        whose = f" by {answer.annotator}" if answer.annotator else ""
        typer.echo(
            f"older than what counts: {keys.get(answer.id, answer.id)}{whose}: save it anew if it is meant all the same"
        )
    if disputed:
        which = [f"{keys[id]}: that of {names[-1] or 'somebody unnamed'}" for id, names in disputed.items()]
        more = f", and {len(which) - FEW} more" if len(which) > FEW else ""
        typer.echo(
            f"labelled differently by several people, and the latest label counts: {', '.join(which[:FEW])}{more}"
        )
    for path, reason in unread.items():
        typer.echo(f"not read: {path}: {reason}")
    typer.echo(f"Next: alkit status {store}")


def _facts(answer: Answer) -> dict[str, object]:
    from alkit.values.answers import Invalid, Skip, Withdrawal

    kinds = {Skip: "skip", Withdrawal: "withdrawal", Invalid: "invalid"}
    kind = next((name for cls, name in kinds.items() if isinstance(answer.label, cls)), "label")
    return {"id": answer.id, "annotator": answer.annotator, "revision": answer.revision, "kind": kind}
