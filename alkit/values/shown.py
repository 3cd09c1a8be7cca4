"""How objects are shown at a prompt and in a notebook: in bounded length, with all text escaped, and at once.

Nothing here reads an image or computes a result, and a long collection is shown by its beginning and its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields
from html import escape
from itertools import islice
from typing import Any

from alkit.errors import one_line

FEW = 3
"""Greatest number of items of a collection that are shown."""

LONGEST = 80
"""Greatest number of characters of one value."""

MOST_ROWS = 20
"""Greatest number of rows of a table in a notebook."""


def short(value: object) -> str:
    """Return a text like ``repr``, but of bounded length.

    >>> short(tuple("abcde")), short({"dice": 0.5}), short("x" * 200) == repr("x" * 76 + "...")[:80]
    ("('a', 'b', 'c', ... 2 more)", "{'dice': 0.5}", False)
    >>> import numpy as np
    >>> short(np.zeros((2, 3), np.float32))
    'float32 array (2, 3)'
    """
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    if kind is not None and isinstance(shape, tuple) and not isinstance(value, type) and shape:
        return f"{str(kind).removeprefix('torch.')} array {tuple(shape)}"
    if isinstance(value, Mapping):
        pairs = (f"{short(key)}: {short(item)}" for key, item in islice(value.items(), FEW))
        return f"{{{_joined(pairs, len(value))}}}"
    if isinstance(value, Set):
        return f"{{{_joined(map(short, islice(value, FEW)), len(value))}}}" if value else f"{type(value).__name__}()"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | range):
        items = _joined(map(short, islice(value, FEW)), len(value))
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[: LONGEST - 3]!r}..."
    return one_line(repr(value), 4 * LONGEST)


def _joined(texts: Iterable[str], count: int) -> str:
    return ", ".join([*texts, *([f"... {count - FEW} more"] if count > FEW else [])])


def short_repr(thing: Any) -> str:
    """Return the text that ``repr`` gives for a dataclass, with each field shown by :func:`short`.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Chosen:
    ...     ids: tuple[str, ...]
    ...     __repr__ = short_repr
    >>> Chosen(tuple("abcde"))
    Chosen(ids=('a', 'b', 'c', ... 2 more))
    """
    shown = (f"{entry.name}={short(getattr(thing, entry.name))}" for entry in fields(thing) if entry.repr)
    return f"{type(thing).__qualname__}({', '.join(shown)})"


def html_table(
    title: str,
    header: Sequence[str] = (),
    rows: Iterable[Sequence[object]] = (),
    *,
    total: int | None = None,
    notes: Iterable[str] = (),
) -> str:
    """Return a title, a table and notes as HTML; everything is escaped.

    Parameters
    ----------
    title:
        Text above the table.
    header, rows:
        Titles of the columns, and the cells. At most :data:`MOST_ROWS` rows are shown.
    total:
        Number of all rows, if `rows` has only the first ones.
    notes:
        Texts below the table.

    Examples
    --------
    >>> html_table("Selection", ("id",), [("<b>",)]).partition("<tbody>")[2]
    '<tr><td>&lt;b&gt;</td></tr></tbody></table></div>'
    """
    shown = list(islice(rows, MOST_ROWS + 1))
    all_rows = total if total is not None else len(shown)
    shown = shown[:MOST_ROWS]
    parts = [f"<p><b>{_text(title)}</b></p>"]
    if header and shown:
        head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in shown)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        if all_rows > len(shown):
            more = f"and {all_rows - len(shown)} more" if total is not None else "and more"
            parts.append(f"<p>{more}</p>")
    parts += [f"<p>{_text(note)}</p>" for note in notes]
    return f"<div>{''.join(parts)}</div>"


def _text(value: object) -> str:
    return escape(one_line(figure(value), 4 * LONGEST))


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "image"), count(2, "query")
    ('1 image', '2 queries')
    """
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"


def figure(value: object) -> str:
    """Return a cell of a table: numbers with three decimals, None as nothing, and other values as short text.

    >>> figure(0.71249), figure(3), figure(None), figure("a")
    ('0.712', '3', '', 'a')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1e5 else f"{value:.3g}"
    return value if isinstance(value, str) else short(value)
