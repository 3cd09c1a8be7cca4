"""``alkit strategies``: what is installed, and what it does."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from alkit.describe import Description


def strategies(
    name: Annotated[str | None, typer.Argument(help="One strategy, to see its parameters.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the query strategies that are installed, alkit's own and those of other packages.

    A plugin that cannot be imported is listed with the reason.

    [dim]Examples:[/dim]

    [cyan]alkit strategies --json[/cyan]

    [cyan]alkit strategies ssl-cluster[/cyan]
    """
    from alkit.describe import describe, describe_all

    found = describe_all() if name is None else [describe(name)]
    if as_json:
        print(json.dumps([asdict(entry) for entry in found] if name is None else asdict(found[0]), indent=2))
    elif name is None:
        _list(found)
    else:
        _show(found[0])


def _list(found: list[Description]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table("name", "distribution", "start", "needs", Column("what it does", overflow="fold"))
    for entry in found:
        start = "" if entry.problem else "cold" if entry.starts_cold else "with a model"
        does = f"[red]{escape(entry.problem)}[/red]" if entry.problem else escape(entry.summary)
        table.add_row(entry.name, f"{entry.distribution} {entry.version}", start, ", ".join(entry.needs), does)
    Console().print(table)


def _show(entry: Description) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    console = Console()
    console.print(f"[bold]{entry.name}[/bold], {entry.object} of {entry.distribution} {entry.version}", highlight=False)
    if entry.problem:
        console.print(escape(entry.problem), style="red")
        return
    console.print(escape(entry.summary))
    console.print("Starts without a model." if entry.starts_cold else "Needs a trained model: see --initial.")
    if entry.needs:
        console.print(f"Needs {', '.join(entry.needs)}.")
    if not entry.parameters:
        console.print("It has no parameters.")
        return
    table = Table("parameter", "type", "default", Column("meaning", overflow="fold"))
    for parameter in entry.parameters:
        default = "[bold]required[/bold]" if parameter.default is None else escape(parameter.default)
        table.add_row(parameter.name, escape(parameter.kind), default, escape(parameter.meaning))
    console.print(table)
