"""``alkit strategies``: what is installed."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def strategies(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the query strategies that are installed, alkit's own and those of other packages.

    [dim]Example:[/dim] [cyan]alkit strategies --json[/cyan]
    """
    from alkit.plugins import distribution
    from alkit.plugins import strategies as registered

    rows = [
        {
            "name": name,
            "distribution": distribution(point),
            "version": point.dist.version if point.dist is not None else "?",
            "object": point.value,
        }
        for name, point in registered().items()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table("name", "distribution", "version", Column("object", overflow="fold"))
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
