"""``alkit predict``: masks of new images, by a record's last model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli import options


def predict(
    store: Annotated[Path, typer.Argument(help="The record.")],
    images: Annotated[Path, typer.Option(help="Folder of new images.")],
    out: Annotated[Path, typer.Option(help="Folder to write to, outside that of the images.")],
    overlays: Annotated[bool, typer.Option(help="Write each image with its mask on it, too, to look at.")] = True,
    pattern: Annotated[str, typer.Option(help="Which files; ** stands for any folders.")] = "**/*",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    device: options.Device = "auto",
) -> None:
    """Predict the masks of new images by the last model; they are read as those it was trained on.

    OUT/masks/<id>.png holds class ids at the image's own size, OUT/overlays/<id>.jpg is the image with its mask on it.
    Where each image has one class, OUT/classes.csv says which. The images of the campaign need not be there any more.

    Images that cannot be used are listed at the end, the others are predicted all the same, and the exit code is 1.

    [dim]Example:[/dim]

    [cyan]alkit predict campaign.db --images new --out predicted[/cyan]
    """
    from alkit.report.progress import StoppedError, progress_bar
    from alkit.trained.folder import predict_folder
    from alkit.trained.model import trained_model

    with progress_bar(str(store)) as report:
        model = trained_model(store, device=device)
        try:
            outcome = predict_folder(
                model, images, out, pattern=pattern, overlays=overlays, overwrite=overwrite, report=report
            )
        except KeyboardInterrupt:
            raise StoppedError(f"stopped; what is in {out} is whole, and --overwrite starts again") from None
    typer.echo(f"{out}: {len(outcome.done)} images predicted.")
    for reason in outcome.failed.values():
        typer.echo(f"alkit: {reason}", err=True)
    if outcome.failed:
        total = len(outcome.done) + len(outcome.failed)
        typer.echo(f"alkit: {len(outcome.failed)} of {total} images could not be predicted", err=True)
        raise typer.Exit(1)
