"""``alkit export``: write a record's last model as files that can be used without alkit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options
from alkit.cli.printing import echo

if TYPE_CHECKING:
    from alkit.trained.export import Format


class Formats(StrEnum):
    """Formats of the exported model."""

    TORCH = "torch"
    ONNX = "onnx"
    BOTH = "both"


def export(
    store: Annotated[Path, typer.Argument(help="The record.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    format: Annotated[Formats, typer.Option(help="A torch.export program, an ONNX model, or both.")] = Formats.TORCH,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    learner: options.OwnLearner = None,
) -> None:
    """Write the last model for use without alkit, with a model card that describes the model and how to use it.

    OUT receives model.safetensors, model.pt2 or model.onnx, card.json and CARD.md, which contains sample code. An
    ensemble becomes one model. ONNX needs more packages: pip install "alkit\\[onnx]".

    [dim]Example:[/dim]

    [cyan]alkit export campaign.db --out model --format both[/cyan]
    """
    from alkit.report.progress import progress_bar
    from alkit.trained.export import export_model
    from alkit.trained.model import trained_model
    from alkit.trained.typed import typed_learner

    formats: dict[Formats, tuple[Format, ...]] = {
        Formats.TORCH: ("torch",),
        Formats.ONNX: ("onnx",),
        Formats.BOTH: ("torch", "onnx"),
    }
    with progress_bar(str(store)):
        own = None if learner is None else typed_learner(learner, store)
        model = trained_model(store, learner=own)
        written = export_model(model, out, formats=formats[format], overwrite=overwrite)
    echo(f"{out}: {', '.join(path.name for path in written)}. Read CARD.md first.")
