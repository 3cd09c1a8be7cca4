"""``alkit page``: write the page of a campaign, one HTML file to show to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alkit.cli.expanding import expand
from alkit.cli.page_content import Content
from alkit.cli.printing import echo
from alkit.cli.stores import Record


@expand
def page(
    store: Record,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: the name of the record with .html.", show_default=False)
    ] = None,
    content: Content = Content(),  # noqa: B008 - the options are expanded
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is not a page of alkit.")] = False,
) -> None:
    """Write the page of a campaign: one HTML file that loads nothing from elsewhere, to send, to print or to keep.

    It shows how far the campaign is and what to do next, progress by day and person, the learning curve, the agreement
    of annotators, a map of the pool, the worst predictions, and all queries, skips and refusals. An earlier page is
    replaced. The record is not changed, and other processes may work on it meanwhile.

    [dim]Examples:[/dim]

    [cyan]alkit page campaign.db[/cyan]

    [cyan]alkit page campaign.db --out report.html --worst 12[/cyan]
    """
    from alkit._files import write_atomically
    from alkit.cli.page_content import gathered
    from alkit.cli.records import record_at
    from alkit.errors import ConfigurationError
    from alkit.pages.page import campaign_html, is_page

    path = Path(f"{store.stem}.html") if out is None else out
    if path.exists() and not overwrite and not is_page(path):
        raise ConfigurationError(f"{path} exists and is not a page of alkit", hint="--overwrite, or another --out")
    with record_at(store, read_only=True) as record, record.moment():
        campaign = gathered(record, str(store), content)
        html = campaign_html(campaign)
        missing = campaign.why_no_pool
    write_atomically(path, html)
    echo(f"{path} shows the campaign ({len(html) / 1e6:.1f} MB).")
    if missing:
        echo(f"alkit: {missing}; if they were moved, --images FOLDER names their place", err=True)
