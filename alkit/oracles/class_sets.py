"""Tables of several classes per image (multi-label).

Such a table has a column ``id`` or ``image``, and one of two forms: a column ``class`` or ``label`` with the classes of
the image, such as ``cat|dog`` or ``none``, in which an image may have several rows; or a column for each class with 1
or 0, as tables of chest X-rays have. An empty cell, ``?``, ``nan`` or ``-1`` of such a column means that nothing is
known.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alkit._files import without_tilde
from alkit._reading.limits import read_file
from alkit.errors import DataError, LabelError
from alkit.labels.sets import label_of, split_set, unknown_class
from alkit.oracles.label_names import REASONS, says_skip
from alkit.pools.decoding import SUFFIXES
from alkit.values.label_spec import NONE, UNKNOWN, Label, LabelSpec

IMAGES, SETS, ANNOTATOR = ("id", "image"), ("class", "label"), "annotator"
"""Names of columns, in small letters."""

DELIMITERS = ",;\t"

PRESENT, ABSENT, UNCERTAIN = {"1", "true", "yes", "x"}, {"0", "false", "no"}, {"", UNKNOWN, "nan", "-1", "na"}
"""What the columns of classes may hold, in small letters; numbers may have a fraction of zeros."""


_DECIMAL = re.compile(r"-?[0-9]+\.0*")


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of an image.

    Parameters
    ----------
    image:
        What the table calls the image; empty if the row has no such value.
    annotator:
        Name of the annotator, or empty.
    line:
        Number of the first line.
    read:
        Function that returns the label for a specification, or None if the row has none; it raises a
        :class:`LabelError` if it is wrong.
    skip:
        Function that returns the word that skips the image, or an empty text.
    reason:
        Why it is skipped, if it is.
    """

    image: str
    annotator: str
    line: int
    read: Callable[[LabelSpec], Label | None]
    skip: Callable[[], str] = str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SetTable:
    """A table of several classes per image.

    Parameters
    ----------
    path:
        Its path, for messages.
    classes:
        Names of the classes that it has: those of its columns, or those in its rows, sorted.
    rows:
        Its rows, those of one image and annotator joined.
    """

    path: Path
    classes: tuple[str, ...]
    rows: tuple[Row, ...]


def read_set_table(path: str | Path, content: bytes | None = None, classes: Sequence[str] = ()) -> SetTable:
    """Return the content of a table.

    Parameters
    ----------
    content:
        The content of the file; None to read it.
    classes:
        The classes, if they are known. Without them, a table without a column ``class`` has a class in each column that
        holds only 1, 0 and unknown.

    Raises
    ------
    DataError
        The file is not such a table.
    """
    path = without_tilde(path)
    names, lines = _lines(path, _content(path) if content is None else content)
    lower = [name.lower() for name in names]
    image = next((lower.index(name) for name in IMAGES if name in lower), None)
    if image is None:
        raise DataError(
            f"{path} must begin with the names of its columns, among them {' or '.join(IMAGES)}",
            got=", ".join(map(repr, names)) or "an empty file",
        )
    if twice := sorted(name for name, number in Counter(names).items() if name and number > 1):
        raise DataError(f"{path} must have a different name for each column", got=repr(twice[0]))
    by = lower.index(ANNOTATOR) if ANNOTATOR in lower else None
    sets = next((lower.index(name) for name in SETS if name in lower), None)
    if sets is not None and not (classes and set(classes) <= set(names)):
        why = next((lower.index(name) for name in sorted(REASONS) if name in lower), None)
        return _of_sets(path, lines, image, by, sets, why, classes)
    return _of_columns(path, names, lines, image, by, classes)


def read_sets(path: str | Path, spec: LabelSpec) -> dict[str, Label]:
    """Return the label of each image by its id. An id may have the suffix of its file.

    Raises
    ------
    DataError
        The file is not such a table, or a row has no image, no label or a wrong one; or an image has two labels.
    """
    table = read_set_table(path, classes=spec.classes)
    found: dict[str, Label] = {}
    for row in table.rows:
        where = f"line {row.line} of {table.path}"
        label = row.read(spec)
        if not row.image or label is None:
            raise LabelError(
                f"{where} has no {'class' if row.image else 'id'}", hint=f"{NONE} for an image without one"
            )
        id = without_suffix(row.image)
        if not np.array_equal(found.setdefault(id, label), label):
            raise LabelError(f"{table.path} has two labels of image {id!r}", got=f"another one on line {row.line}")
    return found


def without_suffix(name: str) -> str:
    """Return the id of the image with this name of a file.

    >>> without_suffix("ward 3/0017.PNG"), without_suffix("ward.3")
    ('ward 3/0017', 'ward.3')
    """
    stem, dot, suffix = name.replace("\\", "/").rpartition(".")
    return stem if dot + suffix.lower() in SUFFIXES else name


Lines = Sequence[tuple[int, list[str]]]


def _of_sets(
    path: Path, lines: Lines, image: int, by: int | None, sets: int, why: int | None, classes: Sequence[str]
) -> SetTable:
    reasons = {} if why is None else {cell(cells, image): cell(cells, why) for _, cells in lines if cell(cells, why)}
    own: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for line, cells in lines:
        key = cell(cells, image), "" if by is None else cell(cells, by)
        own.setdefault(key, (line, []))[1].extend(filter(None, [cell(cells, sets)]))
    names = sorted({name for _, texts in own.values() for text in texts for name in split_set(text, classes)})
    rows = tuple(
        Row(name, who, line, _read_texts(path, line, texts), partial(_skip, texts, classes), reasons.get(name, ""))
        for (name, who), (line, texts) in own.items()
    )
    return SetTable(path, tuple(dict.fromkeys(name.removeprefix(UNKNOWN) for name in names)), rows)


def _skip(texts: Sequence[str], classes: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 and texts[0] not in classes and says_skip(texts[0]) else ""


def _read_texts(path: Path, line: int, texts: Sequence[str]) -> Callable[[LabelSpec], Label | None]:
    def read(spec: LabelSpec) -> Label | None:
        where = f"line {line} of {path.name}"
        parts = [split_set(text, spec.classes) for text in texts]
        if len(parts) > 1 and not all(parts):
            raise LabelError(f"{where} begins rows of one image that say {NONE} and classes")
        return label_of([name for part in parts for name in part], spec, where) if texts else None

    return read


def _of_columns(
    path: Path, names: Sequence[str], lines: Lines, image: int, by: int | None, classes: Sequence[str]
) -> SetTable:
    there = set(names)
    if missing := [name for name in classes if name not in there]:
        raise DataError(
            f"{path} must have a column class, or one for each class",
            got=f"no column {missing[0]!r} among {', '.join(map(repr, names))}",
        )
    if by is not None and names[by] in classes:  # the answers for this class, not names of people
        by = None
    columns = {name: place for place, name in enumerate(names) if place not in (image, by) and name}
    wanted = set(classes)
    others = set() if classes else {at for _, cells in lines for at, text in enumerate(cells) if _value(text) is None}
    known = {name: place for name, place in columns.items() if name in wanted or not (classes or place in others)}
    if not known:
        raise DataError(
            f"{path} must have a column class, or one for each class that holds 1 and 0",
            got=", ".join(map(repr, columns)) or "no other column",
        )
    rows = tuple(
        Row(cell(cells, image), "" if by is None else cell(cells, by), line, _read_cells(path, line, cells, known))
        for line, cells in lines
    )
    return SetTable(path, tuple(known), rows)


def _read_cells(
    path: Path, line: int, cells: Sequence[str], columns: dict[str, int]
) -> Callable[[LabelSpec], Label | None]:
    def read(spec: LabelSpec) -> Label | None:
        where = f"line {line} of {path.name}"
        texts = [cell(cells, columns[name]) for name in spec.classes]
        if not any(texts):
            return None  # nobody has looked at the image
        label = np.zeros(len(texts), np.uint8)
        for place, (name, text) in enumerate(zip(spec.classes, texts, strict=True)):
            value = _value(text)
            if value is None:
                expected = f"1, 0, or {UNKNOWN} for unknown"
                raise LabelError(f"the column {name!r} on {where} has another value", got=repr(text), expected=expected)
            known = spec.ignore if value < 0 else value
            if known is None:
                raise unknown_class(where, name)
            label[place] = known
        label.flags.writeable = False
        return label

    return read


def _value(text: str) -> int | None:
    """Return 1, 0, or -1 for unknown; None for another text.

    >>> [_value(text) for text in ("1.0", "No", "", "-1.0", "2", ".")]
    [1, 0, -1, -1, None, None]
    """
    plain = text.strip().lower()
    plain = plain.partition(".")[0] if _DECIMAL.fullmatch(plain) else plain
    return 1 if plain in PRESENT else 0 if plain in ABSENT else -1 if plain in UNCERTAIN else None


def _content(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as reason:
        raise LabelError(f"labels must be a CSV file that can be read ({reason.strerror})", got=path) from reason


def _lines(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and each line that is not empty with its number."""
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        delimiter = next((mark for mark in text.partition("\n")[0] if mark in DELIMITERS), ",")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = [name.strip() for name in next(rows, [])]
        found = list(_cells(path, rows, len(names)))
    except (ValueError, csv.Error) as reason:
        if isinstance(reason, DataError):
            raise
        raise DataError(f"{path} is not a table of classes", got=reason, expected="CSV in UTF-8") from reason
    if not found:
        raise DataError(
            f"{path} must have a line for each image", got="only column names" if names else "an empty file"
        )
    return names, found


def _cells(path: Path, rows: Any, columns: int) -> Iterator[tuple[int, list[str]]]:
    for cells in rows:
        values = [cell.strip() for cell in cells]
        if any(values[columns:]):
            what = f"line {rows.line_num} of {path} must have {columns} columns"
            raise DataError(what, got=len(values), hint="quotation marks around a value with a comma")
        if any(values):
            yield rows.line_num, values[:columns]


def cell(cells: Sequence[str], place: int) -> str:
    """Return a cell of a row, which is empty if the row ends before: rows are not filled up to all columns of a header.

    >>> cell(["a", "b"], 1), cell(["a", "b"], 9)
    ('b', '')
    """
    return cells[place] if place < len(cells) else ""
