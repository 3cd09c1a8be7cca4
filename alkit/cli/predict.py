"""``alkit predict``: predict the masks of new images with a record's last model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.printing import echo
from alkit.cli.stores import Record


@expand
def predict(
    store: Record,
    out: Annotated[Path, typer.Option(help="Folder to write to, outside the folder of images.")],
    images: Annotated[Path | None, typer.Option(help="Folder of new images.")] = None,
    volumes: Annotated[Path | None, typer.Option(help="Folder of new volumes, if the campaign is of volumes.")] = None,
    overlays: Annotated[bool, typer.Option(help="Also write each image with its mask drawn on it.")] = True,
    pattern: Annotated[str, typer.Option(help="Pattern of the file names; ** matches any folders.")] = "**/*",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Also write a DICOM segmentation of each DICOM series.")
    ] = False,
    stride: Annotated[int | None, typer.Option(help="Distance between tiles, for a model of tiles.")] = None,
    round: options.Round = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    learner: options.OwnLearner = None,
) -> None:
    """Predict the masks of new images with the last model. Images are read in the same way as for its training.

    OUT/masks/<id>.png holds class ids at the image's original size. OUT/overlays/<id>.jpg shows the image with its
    mask. If each image has classes, OUT/classes.csv lists them. A model of tiles stitches its predictions to
    masks of whole images, OUT/masks/<id>.tif. Of volumes, OUT/masks/<id>.nii.gz holds class ids, with the shape and the
    affine of the volume, and with --dicom-seg OUT/masks/<id>.seg.dcm is a segmentation that refers to the images of a
    DICOM series. The images of the campaign are not needed.

    Images that cannot be used are listed at the end, and the exit code is 1. All others are predicted.

    [dim]Examples:[/dim]

    [cyan]alkit predict campaign.db --images new --out predicted[/cyan]

    [cyan]alkit predict campaign.db --volumes new --out predicted[/cyan]
    """
    from alkit.cli.naming import naming
    from alkit.errors import ConfigurationError
    from alkit.report.progress import StoppedError, progress_bar
    from alkit.sharing.workers import working
    from alkit.trained.folder import predict_folder
    from alkit.trained.model import trained_model
    from alkit.trained.typed import typed_learner
    from alkit.trained.volumes import predict_volumes

    if (images is None) == (volumes is None):
        raise ConfigurationError(
            "either --images or --volumes must be given", got="neither" if images is None else "both"
        )
    if dicom_seg and volumes is None:
        raise ConfigurationError("--dicom-seg can be used only with --volumes")
    with working(options.read_workers(workers)), progress_bar(str(store)) as report:
        own = None if learner is None else typed_learner(learner, store)
        model = trained_model(store, round=options.read_round(round), learner=own, device=device)
        try:
            if volumes is not None:
                with naming({"dicom_seg": "--dicom-seg"}):
                    outcome = predict_volumes(
                        model, volumes, out, pattern=pattern, overwrite=overwrite, dicom_seg=dicom_seg, report=report
                    )
            else:
                outcome = predict_folder(
                    model,
                    str(images),
                    out,
                    pattern=pattern,
                    overlays=overlays,
                    overwrite=overwrite,
                    stride=stride,
                    report=report,
                )
        except KeyboardInterrupt:
            raise StoppedError(f"stopped; the files in {out} are complete; --overwrite starts again") from None
    what = "images" if volumes is None else "volumes"
    echo(f"{out}: {len(outcome.done)} {what} predicted.")
    for reason in outcome.failed.values():
        echo(f"alkit: {reason}", err=True)
    if outcome.failed:
        total = len(outcome.done) + len(outcome.failed)
        echo(f"alkit: {len(outcome.failed)} of {total} {what} could not be predicted", err=True)
        raise typer.Exit(1)
