"""What commands print: text from files, records and servers cannot steer the terminal."""

from __future__ import annotations

import logging
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from alkit._logs import OneLine
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


@contextmanager
def clean_messages() -> Iterator[None]:
    """Print what libraries log, and what they warn of, as one line without control characters: they quote files."""
    handler, form, only = logging.lastResort, warnings.formatwarning, OneLine()

    def one(*warning: Any, **more: Any) -> str:
        return f"{one_line(form(*warning, **more))}\n"

    try:
        if handler is not None:
            handler.addFilter(only)
        warnings.formatwarning = one
        yield
    finally:
        warnings.formatwarning = form
        if handler is not None:
            handler.removeFilter(only)


def quote(path: str | os.PathLike[str]) -> str:
    """Return a path, or a record, as it is typed in a shell, to be printed as part of a command.

    >>> quote("my campaign.db")
    "'my campaign.db'"
    """
    return shlex.quote(str(path))


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "row"), count(0, "query", "queries")
    ('1 row', '0 queries')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def count_rows(rows: Mapping[str, int]) -> str:
    """Return the numbers of queries, answers and rounds of a record.

    >>> count_rows({"queries": 2, "answers": 1, "rounds": 0, "facts": 7})
    '2 queries, 1 answer, 0 rounds'
    """
    nouns = ("query", "queries"), ("answer", "answers"), ("round", "rounds")
    return ", ".join(count(rows[many], one, many) for one, many in nouns)


def in_table(text: object) -> str:
    r"""Return text as rich shows it literally in a table or a line: on one line, without control characters.

    >>> in_table("[red]\x1b[2J")
    '\\[red]\\x1b[2J'
    """
    from rich.markup import escape

    return escape(one_line(text, MOST))
