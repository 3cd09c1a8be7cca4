"""``alkit features``: list the installed feature extractors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli.printing import echo


def features(
    name: Annotated[str | None, typer.Argument(help="One feature extractor, to see its parameters.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="File of weights to remember on this machine, for records from others that use it."),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="File of embeddings, or of their ids, to remember on this machine, such as after a move."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed feature extractors: those of alkit and those of other packages.

    A plugin that cannot be imported or described is listed with the reason.

    [dim]Examples:[/dim]

    [cyan]alkit features --json[/cyan]

    [cyan]alkit features reconstruction[/cyan]

    [cyan]alkit features --weights retina.safetensors[/cyan]

    [cyan]alkit features --embeddings moved/clip.npz[/cyan]
    """
    named = {"weights": weights, "embeddings": embeddings}
    if any(named.values()):
        from alkit.configuration.named_files import name_by_content

        for option, file in named.items():
            if file is not None:
                echo(f"{file}: {name_by_content(option, file)}")
        return
    from alkit.cli.descriptions import show_plugins
    from alkit.configuration.registry import FEATURES

    show_plugins(FEATURES, name, as_json)
