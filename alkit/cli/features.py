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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed feature extractors: those of alkit and those of other packages.

    A plugin that cannot be imported or described is listed with the reason.

    [dim]Examples:[/dim]

    [cyan]alkit features --json[/cyan]

    [cyan]alkit features reconstruction[/cyan]

    [cyan]alkit features --weights retina.safetensors[/cyan]
    """
    if weights is not None:
        from alkit.features.named_files import name_by_content

        echo(f"{weights}: {name_by_content('weights', weights)}")
        return
    from alkit.cli.descriptions import show_plugins
    from alkit.configuration.registry import FEATURES

    show_plugins(FEATURES, name, as_json)
