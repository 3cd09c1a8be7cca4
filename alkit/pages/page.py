"""The page of a campaign: its headline and its sections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import alkit
from alkit.errors import AlkitError
from alkit.pages.agreement import agreement
from alkit.pages.ahead import ahead
from alkit.pages.campaign import Campaign
from alkit.pages.curve import curve
from alkit.pages.headline import headline
from alkit.pages.map_section import pool_map
from alkit.pages.progress import progress
from alkit.pages.queries import queries
from alkit.pages.reviews import reviews
from alkit.pages.words import counted, short
from alkit.pages.worst import worst
from alkit.report.blocks import AnyBlock, Note, Part
from alkit.report.page import render

SECTIONS: dict[str, Callable[[Campaign], list[AnyBlock]]] = {
    "Progress": progress,
    "How good the model is": curve,
    "Cost and forecast": ahead,
    "Agreement of annotators": agreement,
    "Reviews of labels": reviews,
    "Map of the pool": pool_map,
    "Worst cases": worst,
    "Queries, skips and refusals": queries,
}
"""The function that returns the blocks of each section, by its title."""


MARK = b'<meta name="generator" content="alkit">'
"""What tells a page of alkit from other files."""


def is_page(path: Path) -> bool:
    """Return whether a file is a page that alkit wrote, which may be replaced by a later one."""
    try:
        with path.open("rb") as file:
            return MARK in file.read(2000)
    except OSError:
        return False


def _blocks(make: Callable[[Campaign], list[AnyBlock]], campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks of a section, or why they cannot be shown, for example because a file is damaged."""
    try:
        return make(campaign)
    except AlkitError as reason:
        return [Note(f"This cannot be shown: {short(campaign.words(str(reason)))}")]


def campaign_html(campaign: Campaign) -> bytes:
    """Return the page of a campaign as one HTML document that loads nothing."""
    parts = [Part(title, blocks) for title, make in SECTIONS.items() if (blocks := _blocks(make, campaign))]
    foot = f"Made by alkit {alkit.__version__}. This page loads nothing from elsewhere and runs no scripts."
    if campaign.budget.refused and campaign.wishes.pictures:
        foot += f" {counted(campaign.budget.refused, 'picture')} of images did not fit into its greatest size."
    top = headline(campaign)
    return render(f"{campaign.name}: {top.title}", parts, top, foot)
