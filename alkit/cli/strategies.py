"""``alkit strategies``: list the installed strategies."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli.descriptions import print_json, print_plugin, print_table

if TYPE_CHECKING:
    from alkit.strategies.described import Description


def strategies(
    name: Annotated[str | None, typer.Argument(help="One strategy, to see its parameters.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed strategies, those of alkit and those of other packages, and say when to use each.

    A plugin that cannot be imported or described is listed with the reason.

    [dim]Examples:[/dim]

    [cyan]alkit strategies --json[/cyan]

    [cyan]alkit strategies ssl-cluster[/cyan]
    """
    from alkit.strategies.described import describe, describe_all

    with redirect_stdout(sys.stderr):  # a plugin may print when it is imported
        found = describe_all() if name is None else [describe(name)]
    if as_json:
        print_json(found, name)
    elif name is None:
        print_table(found, _facts, lambda entry: entry.when_to_use)
    else:
        print_plugin(found[0], _sentences(found[0]))


def _facts(entry: Description) -> list[str]:
    """Return what a strategy needs, in the words of a list."""
    start = {True: "starts cold", False: "starts with a model", None: "how it starts depends on its parameters"}
    needs = "what it needs depends on its parameters" if entry.needs is None else f"needs {', '.join(entry.needs)}"
    return [start[entry.starts_cold], *([needs] if entry.needs != () else [])]


_START = {
    True: "Starts without a model.",
    False: "Needs a trained model: see --initial.",
    None: "Whether it starts without a model depends on its parameters.",
}


def _sentences(entry: Description) -> list[str]:
    needs = "What it needs depends on its parameters." if entry.needs is None else f"Needs {', '.join(entry.needs)}."
    use = [entry.when_to_use] if entry.when_to_use else []
    return [*use, _START[entry.starts_cold], *([needs] if entry.needs != () else [])]
