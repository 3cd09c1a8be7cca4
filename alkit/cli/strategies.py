"""``alkit strategies``: what is installed, and what it does."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from alkit.strategies.described import Description


def strategies(
    name: Annotated[str | None, typer.Argument(help="One strategy, to see its parameters.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the query strategies that are installed, alkit's own and those of other packages.

    A plugin that cannot be imported or described is listed with the reason.

    [dim]Examples:[/dim]

    [cyan]alkit strategies --json[/cyan]

    [cyan]alkit strategies ssl-cluster[/cyan]
    """
    from alkit.strategies.described import describe, describe_all

    with redirect_stdout(sys.stderr):  # a plugin may print when it is imported
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
        start = "" if entry.problem else {True: "cold", False: "with a model", None: "depends"}[entry.starts_cold]
        does = f"[red]{escape(entry.problem)}[/red]" if entry.problem else escape(entry.summary)
        origin = f"{entry.distribution} {entry.version}"
        needs = "" if entry.problem else "depends" if entry.needs is None else ", ".join(entry.needs)
        table.add_row(escape(entry.name), escape(origin), start, escape(needs), does)
    Console().print(table)


_START = {
    True: "Starts without a model.",
    False: "Needs a trained model: see --initial.",
    None: "Whether it starts without a model depends on how it is made.",
}


def _show(entry: Description) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    console = Console()
    origin = escape(f"{entry.object} of {entry.distribution} {entry.version}")
    console.print(f"[bold]{escape(entry.name)}[/bold], {origin}", highlight=False)
    if entry.problem:
        console.print(escape(entry.problem), style="red")
        return
    console.print(escape(entry.summary))
    console.print(_START[entry.starts_cold])
    if entry.needs is None:
        console.print("What it needs depends on how it is made.")
    elif entry.needs:
        console.print(escape(f"Needs {', '.join(entry.needs)}."))
    if not entry.parameters:
        console.print("It has no parameters.")
        return
    table = Table("parameter", "type", "default", Column("meaning", overflow="fold"))
    for parameter in entry.parameters:
        default = "[bold]required[/bold]" if parameter.default is None else escape(parameter.default)
        table.add_row(escape(parameter.name), escape(parameter.kind), default, escape(parameter.meaning))
    console.print(table)
