"""A self-contained HTML page of text, tables and pictures.

Pictures are embedded and nothing is loaded from elsewhere, so the file can be sent to others. The page is readable at
the width of a phone and printed, and runs no scripts. Its template is ``page.html`` beside this module, with the style
``page.css``.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from alkit._files import write_atomically
from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@checked
@dataclass(frozen=True)
class Text:
    """A paragraph of plain text."""

    text: str
    kind: str = "text"


@checked
@dataclass(frozen=True)
class Code:
    """Commands or settings, shown in a fixed-width font."""

    text: str
    kind: str = "code"


@checked
@dataclass(frozen=True)
class Table:
    """A table. Cells are aligned to the right, but those of the first column and of columns with words to the left.

    Parameters
    ----------
    header:
        Title of each column.
    rows:
        Rows with one cell per column. The first cell of a row is its title.
    caption:
        Caption of the table.
    words:
        Numbers of the columns, from 0, that contain words. These are broken into lines.

    Raises
    ------
    ConfigurationError
        A row has more or fewer cells than there are columns.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: Collection[int] = ()
    kind: str = "table"

    def __post_init__(self) -> None:
        if wrong := [row for row in self.rows if len(row) != len(self.header)]:
            raise ConfigurationError(
                "each row must have one cell per column", got=list(wrong[0]), expected=f"{len(self.header)} cells"
            )

    def markdown(self) -> str:
        """Return the table as Markdown, without its caption.

        >>> print(Table(("labels", "dice"), [("300", ".58")]).markdown())
        | labels | dice |
        |---|---|
        | 300 | .58 |
        """
        header, *lines = (
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in (self.header, *self.rows)
        )
        return "\n".join([header, "|---" * len(self.header) + "|", *lines])


@checked
@dataclass(frozen=True)
class Picture:
    """A matplotlib figure.

    Parameters
    ----------
    figure:
        The figure.
    alt:
        Description of the picture for readers who cannot see it.
    caption:
        Caption of the picture.
    least:
        Least width in pixels. On a narrower screen the picture is scrolled. A picture with large letters can be
        narrower.
    form:
        ``png``, or ``svg`` for a picture of few lines, which is sharp at any size.
    """

    figure: Figure
    alt: str
    caption: str = ""
    least: int = 576
    form: Literal["png", "svg"] = "png"
    kind: str = "picture"

    @property
    def width(self) -> int:
        """Width on a wide screen, in CSS pixels, of which 96 are an inch."""
        return round(96 * self.figure.get_figwidth())

    @property
    def source(self) -> str:
        """The picture as a data URL, with enough pixels for a high-resolution screen."""
        file = io.BytesIO()
        if self.form == "svg":
            from matplotlib import rc_context

            with rc_context({"svg.hashsalt": "alkit"}):  # the same picture has the same bytes
                self.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
            return data_url(file.getvalue(), "image/svg+xml")
        self.figure.savefig(file, format="png", dpi=160, metadata={"Software": None})
        return data_url(file.getvalue(), "image/png")


def data_url(content: bytes, kind: str) -> str:
    """Return a file as a data URL.

    >>> data_url(b"GIF", "image/gif")
    'data:image/gif;base64,R0lG'
    """
    return f"data:{kind};base64," + base64.b64encode(content).decode()


Block = Text | Code | Table | Picture


@checked
@dataclass(frozen=True)
class Section:
    """A heading with blocks below it."""

    title: str
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class KeyFigure:
    """A figure with its title, and a few words below it."""

    title: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Headline:
    """What stands above the sections of a page.

    Parameters
    ----------
    over:
        A line above the headline.
    title:
        The headline.
    lead:
        Sentences below it.
    figures:
        Key figures.
    next_step:
        What to do next, and the command for it; None if there is nothing to say.
    """

    over: str
    title: str
    lead: Sequence[str] = ()
    figures: Sequence[KeyFigure] = ()
    next_step: tuple[str, str] | None = None


class Titled(Protocol):
    """A heading with blocks of any kind below it."""

    @property
    def title(self) -> str:
        """The heading."""

    @property
    def blocks(self) -> Sequence[object]:
        """The blocks."""


@checked
def write_page(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> None:
    """Write an HTML page. A crash leaves the old file or the new one, never a part.

    All text is escaped: an image with the name ``<script>`` is shown with this name.

    Raises
    ------
    StoreError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = pathlib.Path(folder) / "page.html"
    ...     write_page(page, "Skin", [Section("Dice", [Table(("labels", "dice"), [("300", ".58")], "By labels")])])
    ...     "<td>.58</td>" in page.read_text()
    True
    """
    write_atomically(Path(path), render(title, sections))


def render(title: str, sections: Sequence[Titled], headline: Headline | None = None, foot: str = "") -> bytes:
    """Return an HTML page. Characters that cannot be written in UTF-8 are shown by their numbers.

    Parameters
    ----------
    headline:
        What stands above the sections, in place of the title.
    foot:
        A line at the end of the page.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    text = template.render(title=title, sections=sections, headline=headline, foot=foot, style=Markup(style()))
    return text.encode(errors="backslashreplace")


@cache
def style() -> str:
    """Return the style sheet of all pages."""
    return files(__package__).joinpath("page.css").read_text(encoding="utf-8")


def style_digest() -> str:
    """Return the SHA-256 of the style sheet, as a policy of contents names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
