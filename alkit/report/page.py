"""A self-contained HTML page of text, tables and pictures.

Pictures are embedded and nothing is loaded from elsewhere, so the file can be sent to others. The page is readable at
the width of a phone. Its template is ``page.html`` beside this module.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

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
    """A table with cells aligned to the right.

    Parameters
    ----------
    header:
        Title of each column.
    rows:
        Rows with one cell per column. The first cell of a row is its title.
    caption:
        Caption of the table.

    Raises
    ------
    ConfigurationError
        A row has more or fewer cells than there are columns.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
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
    """

    figure: Figure
    alt: str
    caption: str = ""
    least: int = 576
    kind: str = "picture"

    @property
    def width(self) -> int:
        """Width on a wide screen, in CSS pixels, of which 96 are an inch."""
        return round(96 * self.figure.get_figwidth())

    @property
    def source(self) -> str:
        """The picture as a data URL, with enough pixels for a high-resolution screen."""
        file = io.BytesIO()
        self.figure.savefig(file, format="png", dpi=160, metadata={"Software": None})
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


Block = Text | Code | Table | Picture


@checked
@dataclass(frozen=True)
class Section:
    """A heading with blocks below it."""

    title: str
    blocks: Sequence[Block] = ()


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
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    write_atomically(Path(path), template.render(title=title, sections=sections).encode(errors="backslashreplace"))
