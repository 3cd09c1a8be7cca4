"""What commands print: text from files, records and servers cannot steer the terminal."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from alkit.errors import one_line

MOST = 500
"""Greatest number of characters of a text in a table."""


def echo(*lines: object, err: bool = False) -> None:
    """Print each text as one line without control characters.

    Parameters
    ----------
    lines:
        The texts.
    err:
        Whether to print to the standard error stream.
    """
    for line in lines:
        typer.echo(one_line(line), err=err)


def quote(path: str | Path) -> str:
    """Return a path as it is typed in a shell, to be printed as part of a command.

    >>> quote(Path("my campaign.db"))
    "'my campaign.db'"
    """
    return shlex.quote(str(path))


def in_table(text: object) -> str:
    r"""Return text as rich shows it literally in a table or a line: on one line, without control characters.

    >>> in_table("[red]\x1b[2J")
    '\\[red]\\x1b[2J'
    """
    from rich.markup import escape

    return escape(one_line(text, MOST))
