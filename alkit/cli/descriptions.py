"""Tables of installed plugins and of their parameters."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alkit.configuration.described import Description
    from alkit.configuration.registry import Group


def show_plugins(group: Group, name: str | None, as_json: bool) -> None:
    """Print all plugins of a group, or the parameters of one of them."""
    from alkit.configuration.described import describe, describe_all

    with redirect_stdout(sys.stderr):  # a plugin may print when it is imported
        found = describe_all(group) if name is None else [describe(name, group)]
    if as_json:
        print_json(found, name)
    elif name is None:
        print_table(found, {})
    else:
        print_plugin(found[0], [])


def print_json(found: Sequence[Description], name: str | None) -> None:
    """Print descriptions as a list, or the only one if a name was given."""
    print(json.dumps([asdict(entry) for entry in found] if name is None else asdict(found[0]), indent=2))


def print_table(found: Sequence[Any], columns: dict[str, Callable[[Any], str]]) -> None:
    """Print one row for each plugin.

    Parameters
    ----------
    found:
        Descriptions.
    columns:
        By heading, the text of a further column for a plugin that could be described.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table("name", "distribution", *columns, Column("what it does", overflow="fold"))
    for entry in found:
        summary = f"[red]{escape(entry.problem)}[/red]" if entry.problem else escape(entry.summary)
        further = ["" if entry.problem else escape(text(entry)) for text in columns.values()]
        table.add_row(escape(entry.name), escape(f"{entry.distribution} {entry.version}"), *further, summary)
    Console().print(table)


def print_plugin(entry: Description, sentences: Sequence[str]) -> None:
    """Print a plugin, with further sentences about it, and its parameters."""
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
    for sentence in sentences:
        console.print(escape(sentence))
    if not entry.parameters:
        console.print("It has no parameters.")
        return
    table = Table("parameter", "type", "default", Column("meaning", overflow="fold"))
    for parameter in entry.parameters:
        default = "[bold]required[/bold]" if parameter.default is None else escape(parameter.default)
        table.add_row(escape(parameter.name), escape(parameter.kind), default, escape(parameter.meaning))
    console.print(table)
