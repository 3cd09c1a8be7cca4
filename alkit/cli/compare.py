"""``alkit compare``: compare strategies and learners over seeds, by the records of their runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli.printing import echo
from alkit.cli.stores import FILES, Typed

if TYPE_CHECKING:
    from alkit.report.comparison import Comparison
    from alkit.report.page import Table

PAGE = Path("comparison.html")
"""Page that is written if no other is named."""


def compare(
    stores: Annotated[list[str], typer.Argument(help="The records, several seeds of each strategy.")],
    files: Annotated[str | None, FILES] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Page to write; default: {PAGE}, or none with --json.", show_default=False)
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric; default: the first one that all records have.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Method or strategy to compare with; default: random with the same learner.")
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(help="Value of the metric that the labels are counted to; default: where the baseline ends."),
    ] = None,
    lower: Annotated[
        bool, typer.Option("--lower", help="Lower values of the metric are better; known of hd95 and ece.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all curves.")] = False,
) -> None:
    """Compare strategies, or learners, by the records of their runs, and write a page with their learning curves.

    Records with the same strategy and learner are runs of one method, told apart by their seeds. Methods are compared
    within each seed, with the strategy `random` or that of --baseline. With five seeds or more there are intervals and
    tests, corrected for their number by Holm's method.

    Records that cannot be read are listed at the end, and the exit code is 1. All others are compared.

    [dim]Examples:[/dim]

    [cyan]alkit compare runs/*.db[/cyan]

    [cyan]alkit compare runs/*.db --metric iou --level 0.7 --out iou.html[/cyan]
    """
    from alkit.errors import ConfigurationError
    from alkit.report.comparing import compare as compare_records

    page = out or (None if as_json else PAGE)
    if page is not None and page.exists() and not overwrite:
        raise ConfigurationError(f"{page} exists", hint="--overwrite, or another --out")
    records = [Typed(store, files) for store in stores]
    found = compare_records(records, metric=metric, baseline=baseline, level=level, lower=lower or None)
    if page is not None:
        found.write(page)
    if as_json:
        import json

        print(json.dumps(found.facts(), indent=2, allow_nan=False))
    else:
        _print(found)
        echo(f"{page} shows the learning curves.")
    for record in found.skipped:
        echo(f"alkit: {record.reason}", err=True)
    if found.skipped:
        total = len(found.skipped) + sum(len(method.runs) for method in found.methods)
        echo(f"alkit: {len(found.skipped)} of {total} records are left out", err=True)
        raise typer.Exit(1)


def _print(found: Comparison) -> None:
    from rich.console import Console

    console = Console()
    for table in found.tables:
        if table.header[0] != "parameter":  # which the page has
            console.print(_drawn(table), markup=False, highlight=False)
    for note in found.notes:
        echo(note)


def _drawn(table: Table) -> object:
    from rich import box
    from rich.table import Column
    from rich.table import Table as Drawn
    from rich.text import Text

    from alkit.cli.printing import in_table

    first, *others = table.header
    columns = [Column(first, overflow="fold"), *(Column(title, justify="right") for title in others)]
    drawn = Drawn(*columns, box=box.SIMPLE_HEAD, pad_edge=False, caption=Text(table.caption), caption_justify="left")
    for row in table.rows:
        drawn.add_row(*map(in_table, row))
    return drawn
