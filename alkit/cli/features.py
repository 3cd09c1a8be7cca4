"""``alkit features``: list the installed feature extractors."""

from __future__ import annotations

from typing import Annotated

import typer


def features(
    name: Annotated[str | None, typer.Argument(help="One feature extractor, to see its parameters.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed feature extractors: those of alkit and those of other packages.

    A plugin that cannot be imported or described is listed with the reason.

    [dim]Examples:[/dim]

    [cyan]alkit features --json[/cyan]

    [cyan]alkit features reconstruction[/cyan]
    """
    from alkit.cli.descriptions import show_plugins
    from alkit.configuration.registry import FEATURES

    show_plugins(FEATURES, name, as_json)
