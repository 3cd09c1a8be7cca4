"""Tables of installed plugins and of their parameters."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

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
        print_table(found, lambda entry: ())
    else:
        print_plugin(found[0], [])


def print_json(found: Sequence[Description], name: str | None) -> None:
    """Print descriptions as a list, or the only one if a name was given."""
    print(json.dumps([asdict(entry) for entry in found] if name is None else asdict(found[0]), indent=2))


def print_table(
    found: Sequence[Any], facts: Callable[[Any], Sequence[str]], advice: Callable[[Any], str] = lambda entry: ""
) -> None:
    """Print the name of each plugin, and beside it its distribution and what it does.

    Parameters
    ----------
    found:
        Descriptions.
    facts:
        Further facts about a plugin that could be described.
    advice:
        When to use the plugin; empty if nobody says.
    """
    from rich.console import Console
    from rich.markup import escape

    table = _two_columns()
    for entry in found:
        summary = f"[red]{escape(entry.problem)}[/red]" if entry.problem else escape(entry.summary)
        if not entry.problem and advice(entry):
            summary += f"\n{escape(advice(entry))}"
        shown = [f"{entry.distribution} {entry.version}", *([] if entry.problem else facts(entry))]
        table.add_row(f"[bold]{escape(entry.name)}[/bold]", f"{summary}\n[dim]{escape('; '.join(shown))}[/dim]")
    Console().print(table)


def _two_columns() -> Table:
    """Return a table for names and texts about them, which can be read on 80 columns."""
    from rich.table import Column, Table

    return Table(
        Column(no_wrap=True),
        Column(ratio=1, overflow="fold"),
        box=None,
        show_header=False,
        pad_edge=False,
        padding=(0, 2),
    )


def print_plugin(entry: Description, sentences: Sequence[str]) -> None:
    """Print a plugin, with further sentences about it, and its parameters."""
    from rich.console import Console
    from rich.markup import escape

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
    console.print("\nParameters:")
    table = _two_columns()
    for parameter in entry.parameters:
        default = "required" if parameter.default is None else f"default: {parameter.default}"
        facts = escape(f"{parameter.kind}; {default}")
        table.add_row(
            f"[bold]{escape(parameter.name)}[/bold]", f"{escape(_plain(parameter.meaning))}\n[dim]{facts}[/dim]"
        )
    console.print(table)


def _plain(text: str) -> str:
    """Return a text of a docstring without its markup.

    >>> _plain("Share of the *pool*: ``0.1`` or more.")
    'Share of the pool: 0.1 or more.'
    """
    return re.sub(r"(``|\*)(\S|\S.*?\S)\1", r"\2", text)
