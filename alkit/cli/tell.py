"""``alkit tell``: record the answers of annotators."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit._files import without_tilde
from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record

if TYPE_CHECKING:
    from alkit.oracles.annotations import Empty
    from alkit.values.answers import Answer


NOT_TAKEN = 3
"""Exit code if answers were refused or files not read; the others were recorded. Errors have 1, and wrong options 2."""

OF_START = {"ignore": "--ignore"}
"""Options of ``alkit start`` that the reason of a refused answer may name."""


@expand
def tell(
    store: Record,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Folder with one folder per annotator; a file: COCO or LabelMe .json, CVAT .xml, .csv, or a .zip with "
            "such files; or label-studio. "
            "Default: the place that the queries were sent to.",
        ),
    ] = None,
    annotator: Annotated[str, typer.Option(help="Annotator of the file given by --from.")] = "",
    empty: Annotated[
        bool,
        typer.Option(
            "--empty-is-background",
            help="Label images without annotations in COCO, CVAT or NIfTI files as background.",
        ),
    ] = False,
    confirmed: Annotated[
        bool,
        typer.Option(
            "--confirmed",
            help="Accept masks in the COCO or CVAT file that equal their pre-label, or that were corrected since.",
        ),
    ] = False,
    url: options.Url = None,
    project: options.Project = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Record masks, skips and corrections. Answers that cannot be used are listed; all others are recorded.

    The exit code is 0 if all was taken, 3 if an answer was refused or a file was not read, and 1 if the command failed.
    Recording the same answer twice changes nothing. The command can run while a model is trained, and needs no images.

    [dim]Examples:[/dim]

    [cyan]alkit tell campaign.db --from exchange[/cyan]

    [cyan]alkit tell campaign.db --from annotations.xml --annotator ann[/cyan]

    [cyan]ALKIT_LABEL_STUDIO_TOKEN=... alkit tell campaign.db --from label-studio[/cyan]
    """
    from alkit.cli.named_places import check_place
    from alkit.cli.places import (
        LABEL_STUDIO,
        Delivery,
        FolderPlace,
        LabelStudioPlace,
        choose_place,
        last_place,
        refuse_options,
        save_place,
    )
    from alkit.cli.records import record_at
    from alkit.cli.told import (
        about_doubts,
        about_ignored,
        about_others,
        about_remarks,
        about_unannotated,
        about_unnamed,
        by_whom,
    )
    from alkit.cli.wording import for_command_line
    from alkit.errors import ConfigurationError, StoreError
    from alkit.oracles.folder.oracle import FolderOracle
    from alkit.oracles.formats.registry import format_name, format_of
    from alkit.protocols import ReportsUnread
    from alkit.record.answers import Answers
    from alkit.record.label_files import LabelFiles
    from alkit.record.settings import FEW, Settings
    from alkit.report.annotators import recorded_differences, recorded_doubts
    from alkit.report.arrivals import about_disputed, about_similar_names
    from alkit.report.disputes import ask_about_disputes
    from alkit.report.reviews import tell_annotators

    service = source if source == LABEL_STUDIO else None
    path = None if source is None or service else without_tilde(source)
    background: Empty = "background" if empty else "unanswered"
    with record_at(store) as record:
        settings, last = Settings(record), last_place(record)
        if not settings.declared:
            raise StoreError(
                f"{store} has no campaign yet", hint=f"alkit start {quote(store)} --images FOLDER --classes NAMES"
            )
        answers = Answers(record, settings, LabelFiles(record))
        queries = [entry.query for entry in record.asked()]
        unread: dict[Path, str] = {}
        listed: Mapping[Path, Sequence[str]] = {}
        form = None if path is None or path.is_dir() else format_name(path.name)
        if path is not None and form is not None:
            refuse_options({"--url": url, "--project": project}, f"with --from {LABEL_STUDIO}")
            codec = format_of(form, Path(last.folder) if isinstance(last, FolderPlace) else path.parent)
            codec.check_readable(settings.spec)
            found = codec.read(path, queries, settings.spec, annotator=annotator, empty=background)
            receipt = answers.receive(replace(answer, confirmed=confirmed) for answer in found)
            answers.save_unread(str(path.absolute()), receipt, {})
            listed = {} if empty else {path: codec.unannotated(path, queries, settings.spec)}
        else:
            if path is not None and path.is_file():
                raise ConfigurationError(
                    "--from must be a folder, or a file that ends in .json (COCO, LabelMe), .xml (CVAT), .csv "
                    "(classes), .zip or .nii.gz",
                    got=path,
                    hint="put masks into a folder with the annotator's name in the exchange folder",
                )
            folder = None if service else source
            place = choose_place(store, last, folder=folder, service=service, url=url, project=project)
            if place is None:
                raise ConfigurationError(
                    "the place of the answers is missing",
                    hint="--from FOLDER, --from FILE.json or FILE.xml, or --from label-studio --url ADDRESS",
                )
            refuse_options(
                {"--annotator": annotator, "--confirmed": confirmed}, "with --from FILE.json or --from FILE.xml"
            )
            if isinstance(place, LabelStudioPlace):
                refuse_options({"--empty-is-background": empty}, "for COCO and CVAT files")
            check_place(record, place, named=folder is not None or url is not None, option="--from")
            oracle = place.oracle(Delivery(settings.spec, settings.campaign, queries), background)
            receipt = answers.collect(oracle, str(place))
            tell_annotators(record, oracle)
            unread = oracle.unread() if isinstance(oracle, ReportsUnread) else {}
            if isinstance(oracle, FolderOracle) and not empty:
                listed = oracle.unannotated()
            if isinstance(last, FolderPlace) and not Path(last.folder).exists():
                save_place(record, place)  # it was moved
        taken = {answer.id for answer in receipt.taken}
        asked_more = ask_about_disputes(record)  # also if the call that took their answers was killed before
        snapshot, spec = record.snapshot(), settings.spec
        open_ids = {entry.query.id for entry in snapshot.open} - settings.unusable.keys()
        still_open = len(open_ids)
        unannotated = {path: left for path, ids in listed.items() if (left := [id for id in ids if id in open_ids])}
        doubts = recorded_doubts(record, taken)
        disputed = recorded_differences(record, taken)
        named = sorted(queries, key=lambda query: query.purpose != "review")  # a review names no image
        keys = {query.id: query.key for query in named}
        disputes = list(about_disputed(record, taken, set(asked_more), keys))
    if as_json:
        facts = {
            "taken": [_facts(answer) for answer in receipt.taken],
            "outdated": [_facts(answer) for answer in receipt.outdated],
            "unchanged": [_facts(answer) for answer in receipt.unchanged],
            "refused": [{**_facts(answer), "reason": reason} for answer, reason in receipt.refused],
            "unread": {str(path): reason for path, reason in unread.items()},
            "disputed": {id: list(names) for id, names in disputed.items()},
            **({"doubts": [asdict(doubt) for doubt in doubts]} if doubts else {}),
            **({"below_threshold": disputes} if disputes else {}),
            **({"asked_more": list(asked_more)} if asked_more else {}),
            "open": still_open,
            "unannotated": {str(path): ids for path, ids in unannotated.items()},
        }
        print(json.dumps(facts, indent=2))
        _exit(len(receipt.refused), len(unread))
        return
    echo(f"New answers: {len(receipt.taken)}, known before: {len(receipt.unchanged)}, images still open: {still_open}.")
    for answer, reason in receipt.refused:
        whose = f"{answer.query or keys.get(answer.id, answer.id)}{by_whom(answer.annotator)}"
        echo(f"refused: {whose}: {for_command_line(reason, {}, OF_START)}")
    for answer in receipt.outdated:
        whose = f"{answer.query or keys.get(answer.id, answer.id)}{by_whom(answer.annotator)}"
        echo(f"outdated: {whose}: the annotator's current answer is newer; to use this one, save it again")
    if disputed:
        which = [f"{keys[id]} by {names[-1] or 'an unnamed annotator'}" for id, names in disputed.items()]
        more = f", and {len(which) - FEW} more" if len(which) > FEW else ""
        echo(f"annotators disagree, and the latest label counts: {', '.join(which[:FEW])}{more}")
    for line in (
        *about_remarks(receipt.taken, keys),
        *about_unannotated(unannotated, keys),
        *about_ignored(receipt.taken, spec, keys),
        *about_unnamed(receipt.taken, snapshot.known),
        *about_others(receipt.taken, queries),
        *about_doubts(doubts, keys),
        *disputes,
        *about_similar_names({answer.annotator for answer in snapshot.answers}),
    ):
        echo(line)
    for path, reason in unread.items():
        echo(f"not read: {path}: {reason}")
    if asked_more:
        echo(f"Next, to ask the one more person: alkit ask {quote(store)}")
    else:
        echo(f"Next: alkit status {quote(store)}")
    _exit(len(receipt.refused), len(unread))


def _exit(refused: int, unread: int) -> None:
    """End the command with the code for it if not everything was taken, and say so."""
    if parts := [f"{n} {what}" for n, what in ((refused, "refused"), (unread, "not read")) if n]:
        echo(f"Not taken: {', '.join(parts)}. The exit code is {NOT_TAKEN}.", err=True)
        raise typer.Exit(NOT_TAKEN)


def _facts(answer: Answer) -> dict[str, object]:
    from alkit.values.answers import Invalid, Skip, Withdrawal

    kinds = {Skip: "skip", Withdrawal: "withdrawal", Invalid: "invalid"}
    kind = next((name for cls, name in kinds.items() if isinstance(answer.label, cls)), "label")
    facts = {"id": answer.id, "annotator": answer.annotator, "revision": answer.revision, "kind": kind}
    return {**facts, **({"remarks": list(answer.remarks)} if answer.remarks else {})}
