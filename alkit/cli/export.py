"""``alkit export``: write a record's last model as files that can be used without alkit."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.printing import echo
from alkit.cli.stores import Record

if TYPE_CHECKING:
    from alkit.trained.export import Format


class Formats(StrEnum):
    """Formats of the exported model."""

    TORCH = "torch"
    ONNX = "onnx"
    BOTH = "both"


class LabelFormats(StrEnum):
    """Formats of exported labels."""

    MASKS = "masks"
    COCO = "coco"
    CSV = "csv"
    NIFTI = "nifti"
    DICOM_SEG = "dicom-seg"


@expand
def export(
    store: Record,
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    labels: Annotated[
        LabelFormats | None,
        typer.Option(
            help="Write the labels in place of the model: as mask files, a COCO file, a table, NIfTI volumes, or NIfTI "
            "volumes with a DICOM segmentation of each DICOM series."
        ),
    ] = None,
    per_annotator: Annotated[
        bool, typer.Option("--per-annotator", help="With --labels: write the labels of each annotator apart.")
    ] = False,
    images: options.Images = None,
    round: options.Round = None,
    format: Annotated[Formats, typer.Option(help="A torch.export program, an ONNX model, or both.")] = Formats.TORCH,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    learner: options.OwnLearner = None,
) -> None:
    """Write a model, or all labels, for use without alkit, with a card that describes them.

    OUT receives model.safetensors, model.pt2 or model.onnx, card.json and CARD.md, which contains sample code. An
    ensemble becomes one model. ONNX needs more packages: pip install "alkit\\[onnx]".

    With --labels, OUT receives the labels that count now, at the original sizes of the images, a manifest (who, when,
    asked for or imported, held out) and DATACARD.md. `alkit import` reads them into another record.

    [dim]Examples:[/dim]

    [cyan]alkit export campaign.db --out model --format both[/cyan]

    [cyan]alkit export campaign.db --labels masks --out labels[/cyan]
    """
    from alkit.errors import ConfigurationError
    from alkit.report.progress import progress_bar
    from alkit.trained.export import export_model
    from alkit.trained.model import trained_model
    from alkit.trained.typed import typed_learner

    if labels is not None:
        if round is not None:
            raise ConfigurationError("--round can be used only without --labels")
        _export_labels(store, out, labels.value, images, learner, per_annotator=per_annotator, overwrite=overwrite)
        return
    number = options.read_round(round)
    if per_annotator or images is not None:
        name = "--per-annotator" if per_annotator else "--images"
        raise ConfigurationError(f"{name} can be used only with --labels")
    formats: dict[Formats, tuple[Format, ...]] = {
        Formats.TORCH: ("torch",),
        Formats.ONNX: ("onnx",),
        Formats.BOTH: ("torch", "onnx"),
    }
    with progress_bar(str(store)):
        own = None if learner is None else typed_learner(learner, store)
        model = trained_model(store, round=number, learner=own)
        written = export_model(model, out, formats=formats[format], overwrite=overwrite)
    echo(f"{out}: {', '.join(path.name for path in written)}. Read CARD.md first.")


def _export_labels(
    store: Record,
    out: Path,
    form: str,
    images: Path | None,
    learner: str | None,
    *,
    per_annotator: bool,
    overwrite: bool,
) -> None:
    from alkit.cli.records import open_campaign, record_at
    from alkit.report.progress import progress_bar

    with progress_bar(str(store)) as report, record_at(store) as record:
        experiment = open_campaign(record, images, report, learner)
        experiment.export_labels(out, form, per_annotator=per_annotator, overwrite=overwrite)
    manifest = json.loads((out.expanduser() / "manifest.json").read_text(encoding="utf-8"))
    counts, left_out = manifest["counts"], manifest["left_out"]
    echo(
        f"{out}: {counts['labels']} labels of {counts['images']} images, {counts['not_asked']} of them not asked for. "
        "Read DATACARD.md first."
    )
    if left_out:
        echo(f"Left out: {len(left_out)} labelled images; manifest.json has the reasons.")
