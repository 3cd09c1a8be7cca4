"""One self-contained page of text, tables and pictures: a file to open in any browser, to keep, or to send.

Nothing is fetched from elsewhere: pictures are part of the file. It is readable at the width of a phone.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alkit._files import write_atomically
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Code:
    """Commands or settings, shown as they are."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Table:
    """A table; numbers stand to the right.

    Parameters
    ----------
    header:
        Of each column.
    rows:
        A cell for each column; the first of a row names it.
    caption:
        What it shows.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    kind: str = "table"

    def __post_init__(self) -> None:
        if wrong := [row for row in self.rows if len(row) != len(self.header)]:
            raise ConfigurationError(
                "a row has not as many cells as there are columns", got=list(wrong[0]), expected=len(self.header)
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


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure; `alt` says in words what is to be seen, for those who cannot see it.

    On a narrow screen it shrinks to `least` pixels of width and is then to be scrolled: give less where its letters are
    large enough.
    """

    figure: Figure
    alt: str
    caption: str = ""
    least: int = 576
    kind: str = "picture"

    @property
    def width(self) -> int:
        """How wide it is shown where there is room, in the page's pixels, of which 96 are an inch."""
        return round(96 * self.figure.get_figwidth())

    @property
    def source(self) -> str:
        """The picture as a data address, sharp on a fine screen too."""
        file = io.BytesIO()
        self.figure.savefig(file, format="png", dpi=160, metadata={"Software": None})
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


Block = Text | Code | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block] = ()


def write_page(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> None:
    """Write an HTML file, whole or not at all.

    All text is escaped: an image that is called ``<script>`` is shown by that name.

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

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_TEMPLATE)
    write_atomically(Path(path), template.render(title=title, sections=sections).encode())


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { --text: #1b1f24; --faint: #57606a; --line: #d8dee4; --paper: #ffffff; --shade: #f6f8fa; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --faint: #9aa4af; --line: #30363d; --paper: #0d1117; --shade: #161b22; --link: #6cb6ff; }
}
body { margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 72rem; background: var(--paper); color: var(--text);
       font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
a { color: var(--link); } p { max-width: 46rem; }
nav ul { columns: 16rem; padding: 0; margin: 0; list-style: none; font-size: .95rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
.caption { color: var(--faint); font-size: .9rem; margin: 1rem 0 -.6rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper);
                 white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
thead th, thead th:first-child { background: var(--shade); white-space: normal; vertical-align: bottom; }
figure { margin: 1rem 0; } figcaption { color: var(--faint); font-size: .9rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
pre { overflow-x: auto; padding: .75rem; background: var(--shade); border-radius: 4px; font-size: .85rem; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<nav aria-label="Contents"><ul>
{% for section in sections %}
<li><a href="#section-{{ loop.index }}">{{ section.title }}</a></li>
{% endfor %}
</ul></nav>
{% for section in sections %}
{% set anchor = "section-" ~ loop.index %}
<section id="{{ anchor }}">
<h2>{{ section.title }}</h2>
{% for block in section.blocks %}
{% if block.kind == "text" %}
<p>{{ block.text }}</p>
{% elif block.kind == "code" %}
<pre><code>{{ block.text }}</code></pre>
{% elif block.kind == "table" %}
{% if block.caption %}<p class="caption" id="{{ anchor }}-{{ loop.index }}">{{ block.caption }}</p>{% endif %}
<div class="wide" tabindex="0">
<table{% if block.caption %} aria-labelledby="{{ anchor }}-{{ loop.index }}"{% endif %}>
<thead><tr>{% for cell in block.header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in block.rows %}
<tr>{% for cell in row %}{% if loop.first %}<th scope="row">{{ cell }}</th>
{% else %}<td>{{ cell }}</td>{% endif %}{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% else %}
<figure><div class="wide" tabindex="0"><img src="{{ block.source }}" alt="{{ block.alt }}"
 width="{{ block.width }}" style="min-width: {{ [block.least, block.width] | min }}px"></div>
{% if block.caption %}<figcaption>{{ block.caption }}</figcaption>{% endif %}</figure>
{% endif %}
{% endfor %}
</section>
{% endfor %}
</body>
</html>
"""
