"""``alkit import``: record labels that exist already."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.known_labels import ANY_MASK, MaskForm
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record

if TYPE_CHECKING:
    from alkit.oracles.annotations import Empty

PART = 100
"""Number of labels that are recorded at once, and are in memory."""

MOST = 20
"""Most refused labels that are listed."""


@expand
def import_labels(
    *,
    store: Record,
    masks: Annotated[Path | None, typer.Option(help="Folder of mask files, one per image.")] = None,
    coco: Annotated[Path | None, typer.Option(help="COCO file (.json).")] = None,
    cvat: Annotated[Path | None, typer.Option(help="CVAT file for images (.xml).")] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="CSV file with the columns id and label (a class, or several such as cat|dog, or a column of 1 and 0 "
            "for each class), or id and mask (the path of a file, in the folder of the table or of --masks); annotator "
            "is optional.",
        ),
    ] = None,
    nifti: Annotated[
        Path | None, typer.Option(help="Folder of volumes of labels, for slices of volumes: NIfTI, NRRD or MetaImage.")
    ] = None,
    form: MaskForm,
    annotator: Annotated[str, typer.Option(help="Name of the person who made the labels.")] = "",
    source: Annotated[
        str | None, typer.Option(help="Where the labels come from, in words; default: the name of the file or folder.")
    ] = None,
    empty: Annotated[
        bool,
        typer.Option(
            "--empty-is-background",
            help="Label images without annotations in COCO or CVAT files, and slices without labels, as background; if "
            "images can have several classes, as having none.",
        ),
    ] = False,
    revise: Annotated[
        bool, typer.Option("--revise", help="Also take labels that differ from a recorded label of the image.")
    ] = False,
    images: options.Images = None,
    learner: options.OwnLearner = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Record labels that nobody asked for, such as those of an earlier project.

    Any image of the pool may have one. The model is trained on them from round 0, strategies count their images as
    labelled, and they are counted apart from answers to queries. Labels that cannot be used are listed with the
    reason, and all others are recorded; the exit code is then 1. Importing the same labels twice changes nothing.

    [dim]Examples:[/dim]

    [cyan]alkit import campaign.db --masks last-year --mask-pattern "{id}_mask.png" --annotator ann[/cyan]

    [cyan]alkit import campaign.db --coco annotations.json --source "study 2025"[/cyan]

    [cyan]alkit import tiles.db --masks masks-of-whole-images --mask-pattern "{image}.tif"[/cyan]
    """
    from alkit.cli.known_labels import OPTIONS
    from alkit.cli.places import refuse_options
    from alkit.cli.records import open_campaign, record_at
    from alkit.cli.volumes import labels_of_volumes
    from alkit.cli.wording import for_command_line
    from alkit.errors import ConfigurationError, one_line
    from alkit.oracles.existing import in_parts, labels_in_file, labels_in_table, masks_in_folder
    from alkit.oracles.tile_masks import FIELD, masks_of_images
    from alkit.pools.base import Subset
    from alkit.pools.sizes import mask_sizes
    from alkit.pools.tiles.pool import TilePool, is_tiled
    from alkit.report.progress import progress_bar
    from alkit.values.answers import Invalid

    given = {"--masks": masks, "--coco": coco, "--cvat": cvat, "--csv": table, "--nifti": nifti}
    beside = masks if table is not None else None  # the folder of the masks that the table names
    named = {name: path for name, path in given.items() if path is not None and (name != "--masks" or beside is None)}
    if len(named) != 1:
        raise ConfigurationError(
            "one of --masks, --coco, --cvat, --csv and --nifti must be given", got=", ".join(named) or None
        )
    ((option, path),) = named.items()
    if "--masks" not in named:
        refuse_options(form.given(pattern=nifti is None), "with --masks")
    if empty and option not in ("--coco", "--cvat", "--nifti"):
        raise ConfigurationError("--empty-is-background can be used only with --coco, --cvat or --nifti")
    background: Empty = "background" if empty else "unanswered"
    origin = one_line(path.name or str(path), 200) if source is None else source
    taken: list[str] = []
    unchanged = 0
    refused: list[tuple[str, str]] = []
    with progress_bar(str(store)) as report, record_at(store) as record:
        experiment = open_campaign(record, images, report, learner)
        spec = experiment.spec
        if masks is not None and beside is None:
            pool = experiment.pool
            if FIELD in form.mask_pattern and isinstance(pool, TilePool | Subset) and is_tiled(pool):
                known = partial(form.oracle, classes=spec.classes, ignore=spec.ignore)
                found = masks_of_images(pool, masks, form.mask_pattern, known, annotator)
            else:
                oracle = form.oracle(masks, spec.classes, spec.ignore)
                found = masks_in_folder(oracle, pool.ids, annotator=annotator)
        elif nifti is not None:
            own = None if form.mask_pattern == ANY_MASK else form.mask_pattern
            found = labels_of_volumes(experiment.pool, nifti, own, annotator=annotator, empty=background)
        elif table is not None:
            found = labels_in_table(table, spec, annotator=annotator, masks=beside)
        else:
            ids = list(experiment.pool.ids)
            sizes = dict(zip(ids, mask_sizes(experiment.pool, ids), strict=True))
            kind = option.removeprefix("--")
            found = labels_in_file(path, kind, sizes, spec, annotator=annotator, empty=background)
        for part in in_parts(found, PART):
            good = [answer for answer in part if not isinstance(answer.label, Invalid)]
            refused += [(answer.id, answer.label.reason) for answer in part if isinstance(answer.label, Invalid)]
            receipt = experiment.receive(good, unasked=True, revise=revise, source=origin)
            taken += [answer.id for answer in receipt.taken]
            unchanged += len(receipt.unchanged) + len(receipt.outdated)
            refused += [(answer.id, reason) for answer, reason in receipt.refused]
    words = {**OPTIONS, "revise": "--revise", "ignore": "--ignore of alkit start"}
    refused = [(id, for_command_line(reason, words)) for id, reason in refused]
    if as_json:
        listed = [{"id": id, "reason": reason} for id, reason in refused]
        print(json.dumps({"taken": taken, "unchanged": unchanged, "refused": listed, "source": origin}, indent=2))
    else:
        echo(f"Imported labels: {len(taken)}, known before: {unchanged}.")
        echo(*(f"refused: {id}: {reason}" for id, reason in refused[:MOST]))
        if len(refused) > MOST:
            echo(f"and {len(refused) - MOST} more: see --json")
        echo(f"Next: alkit status {quote(store)}")
    if refused:
        echo(f"Not taken: {len(refused)}. The exit code is 1.", err=True)
        raise typer.Exit(1)
