"""``alkit add``: take new images into the pool of a campaign."""

from __future__ import annotations

import filecmp
import json
import shutil
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from alkit._files import without_tilde
from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record
from alkit.errors import ConfigurationError, DataError

UNUSUAL = 0.05
"""With a smaller p-value, the new images are said to differ from the others."""

MOST = 8
"""Most images that a line lists."""


class ClusterChoices(StrEnum):
    """What becomes of the clusters."""

    KEEP = "keep"
    UPDATE = "update"


@expand
def add(
    store: Record,
    images: Annotated[
        Path,
        typer.Option(
            "--images",
            "--volumes",
            help="Folder of new images or volumes; if it is not in the folder of the campaign, they are copied.",
        ),
    ],
    clusters: Annotated[
        ClusterChoices,
        typer.Option(help="Keep the clusters, and let each new image join the nearest; or cluster all images again."),
    ] = ClusterChoices.KEEP,
    groups: Annotated[
        str | None,
        typer.Option(
            help="CSV file with the columns id and group for the new images, or a pattern, as in `alkit start`.",
            metavar="FILE",
        ),
    ] = None,
    learner: options.OwnLearner = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take new images into the pool. Labels, queries and rounds stay, and the new images can be selected.

    With the folder of the campaign, its new files are added. Files of another folder are copied into a folder of the
    same name inside it. If the images of the campaign have groups, the new ones need them: --groups. A drift figure
    says how different the new images are: the squared maximum mean discrepancy of the features (Gretton et al., 2012),
    which is about 0 for images of the same kind, and the p-value of a permutation test. A record of `alkit run` is
    refused, because its pool is part of the experiment.

    [dim]Examples:[/dim]

    [cyan]alkit add campaign.db --images week-32[/cyan]

    [cyan]alkit add volumes.db --volumes week-32[/cyan]
    """
    from alkit.cli.metrics import follow_groups
    from alkit.cli.named_places import check_images
    from alkit.cli.records import folder_of, is_volumes, open_campaign, record_at
    from alkit.cli.testset import recorded_test_set
    from alkit.configuration.construct import build
    from alkit.pools.groups import check_groups_apart
    from alkit.pools.identical import check_contents
    from alkit.record.grouping import record_groups, recorded_grouping, with_more_groups
    from alkit.record.settings import Settings
    from alkit.report.progress import progress_bar

    source = without_tilde(images)
    if not source.is_dir():
        raise DataError("--images must be an existing folder", got=f"{images}", hint="check the path")
    with progress_bar(str(store)) as report, record_at(store) as record, record.exclusive():
        form = Settings(record).declared.get("pool")
        if (folder := folder_of(form)) is None:
            raise ConfigurationError("images can be added only to a pool that is a folder of images")
        option = f"alkit fit {quote(store)} --images {quote(folder)}"
        check_images(record, folder, named=False, described=lambda: False, option=option)
        before = recorded_grouping(record)
        if groups is not None:  # of new images that are in the folder already
            record_groups(record, with_more_groups(record, build(form, "pool"), groups), only_new=True)
        experiment = open_campaign(record, None, report, learner)
        if Settings(record).schedule is None:  # else nothing is copied, because it is refused
            copy_files(source, Path(folder), volumes=is_volumes(form))
        grown = build(form, "pool")
        if groups is not None:
            grown = with_more_groups(record, grown, groups)
        if "test" in (test_set := recorded_test_set(record, experiment.pool, report)):
            check_contents(grown, test_set["test"])
            check_groups_apart(grown, test_set["test"])
        found = experiment.grow(grown, clusters=clusters.value)
        follow_groups(record, before)
        left = len(experiment.candidates)
    if as_json:
        print(json.dumps({**asdict(found), "identical": dict(found.identical), "left": left}, indent=2))
        return
    if not found.ids:
        echo("No new images.")
        return
    listed = ", ".join(found.ids[:MOST]) + (f" and {len(found.ids) - MOST} more" if len(found.ids) > MOST else "")
    echo(f"Added {len(found.ids)} images: {listed}. {left} can be selected.")
    if found.identical:
        pairs = ", ".join(f"{id} to {other}" for id, other in list(found.identical.items())[:MOST])
        echo(f"{len(found.identical)} of them are identical to images of the pool: {pairs}.")
    if found.drift is None:
        echo("Drift: too few images to compare.")
    else:
        says = "they differ from the others" if found.drift.p < UNUSUAL else "no difference from the others was found"
        echo(f"Drift: MMD2 {found.drift.mmd2:.3f}, p {found.drift.p:.3f} ({found.features}): {says}.")
    echo(f"Next: alkit ask {quote(store)} -n 10")


def copy_files(source: Path, folder: Path, *, volumes: bool) -> None:
    """Copy the images of a folder into one of the same name inside another folder, unless it lies in that already.

    Of volumes, all files are copied that are not hidden, because DICOM files need not have a suffix.

    Raises
    ------
    DataError
        A file of the same name is there with other content. Nothing is copied then.
    """
    from alkit._files import is_inside
    from alkit.pools.decoding import SUFFIXES, scan
    from alkit.pools.names import find_names
    from alkit.pools.tiles.large import SLIDES

    if is_inside(source, folder):
        return
    target = folder / source.resolve().name
    if volumes:
        names = sorted(find_names(source, "**/*"))
    else:
        names = [file.name for file in scan(source, "**/*", "images", suffixes=SUFFIXES.union(SLIDES)).values()]
    contents = {}
    for name in names:
        there = target / name
        if there.exists() and not filecmp.cmp(there, source / name, shallow=False):
            raise DataError(
                f"{there} exists with other content than {source / name}",
                hint="another name of the folder or of the file",
            )
        if not there.exists():
            contents[there] = source / name
    for there, path in contents.items():
        there.parent.mkdir(parents=True, exist_ok=True)
        part = there.with_name(f".{there.name}.part")  # hidden, so that no pool reads it
        try:
            shutil.copyfile(path, part)
            part.replace(there)
        finally:
            part.unlink(missing_ok=True)
