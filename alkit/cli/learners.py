"""``alkit learners``: list the installed learners."""

from __future__ import annotations

from typing import Annotated

import typer


def learners(
    name: Annotated[str | None, typer.Argument(help="One learner, to see its parameters.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed learners: those of alkit and those of other packages.

    A plugin that cannot be imported or described is listed with the reason.

    [dim]Examples:[/dim]

    [cyan]alkit learners --json[/cyan]

    [cyan]alkit learners segmentation[/cyan]
    """
    from alkit.cli.descriptions import show_plugins
    from alkit.configuration.registry import LEARNERS

    show_plugins(LEARNERS, name, as_json)
