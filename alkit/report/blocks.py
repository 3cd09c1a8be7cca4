"""More blocks of a page: notes, drawings with many points, pictures of images, and columns of blocks.

The page of a campaign has them beside those of :mod:`alkit.report.page`. They are not public.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from alkit.report.page import Block


@dataclass(frozen=True)
class Note:
    """A paragraph that must not be overlooked."""

    text: str
    kind: str = "note"


@dataclass(frozen=True)
class Vector:
    """A drawing as the inside of an ``<svg>`` element.

    Parameters
    ----------
    inside:
        Elements of SVG. Text in them is escaped already.
    width, height:
        Size in the units of the elements.
    alt:
        Description for readers who cannot see the drawing.
    caption:
        Caption.
    legend:
        Names of what is drawn, each with its colour ``#rrggbb`` and its shape: ``dot``, ``ring`` or ``square``.
    """

    inside: Markup
    width: int
    height: int
    alt: str
    caption: str = ""
    legend: Sequence[tuple[str, str, str]] = ()
    kind: str = "vector"


@dataclass(frozen=True)
class Shot:
    """An image of a gallery.

    Parameters
    ----------
    source:
        Data URL of the picture.
    width, height:
        Its size in pixels.
    alt:
        Description of the picture.
    title, lines:
        Text below it.
    """

    source: str
    width: int
    height: int
    alt: str
    title: str
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Gallery:
    """Images with texts, side by side. `wide` is for pictures that are much wider than high."""

    shots: Sequence[Shot]
    caption: str = ""
    wide: bool = False
    kind: str = "gallery"


@dataclass(frozen=True)
class Columns:
    """Blocks in two columns on a wide screen, else one below the other."""

    blocks: Sequence[AnyBlock]
    kind: str = "columns"


AnyBlock = Block | Note | Vector | Gallery | Columns
"""A block that a page can have."""


@dataclass(frozen=True)
class Part:
    """A section with any blocks."""

    title: str
    blocks: Sequence[AnyBlock]
