"""A table of classes: a CSV file with the columns ``image`` and ``class``, if each image has one class.

The class of an image that nobody has looked at is empty, and the row is no answer. The word ``skip`` or ``unusable`` in
its place skips the image; a column ``reason`` or ``comment`` states why, and a column ``seconds`` how long it took.
Columns are separated by commas, semicolons or tabs; further columns are ignored.

If an image can have several classes, the class is a text such as ``cat|dog`` or ``none``, and an image can have several
rows; or the table has a column for each class: see :mod:`alkit.oracles.class_sets`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from alkit.errors import DataError, LabelError
from alkit.labels.sets import set_text
from alkit.oracles.annotations import AnnotatedImage, Content
from alkit.oracles.class_sets import cell, read_set_table
from alkit.oracles.formats.format import Format, Page
from alkit.oracles.label_names import REASONS
from alkit.oracles.times import seconds_of
from alkit.values.label_spec import LabelSpec

IMAGES = ("image", "id")
IMAGE, CLASS = IMAGES[0], "class"
"""Names of the columns; the first can have two."""

SECONDS = "seconds"
"""Name of the column with the time that an annotator needed."""

DELIMITERS = ",;\t"


def encode(pages: Sequence[Page], spec: LabelSpec) -> bytes:
    """Return the content of a file with these images, whose classes are to be filled in."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([(IMAGE, CLASS), *((page.name, "") for page in pages)])
    return text.getvalue().encode("utf-8-sig")  # by this mark, spreadsheets know that it is UTF-8


def decode(path: Path, content: bytes) -> Content:
    """Return the images in the content of a file.

    Raises
    ------
    DataError
        The content is not a table with these columns. The message names `path`.
    """
    images: list[AnnotatedImage] = []
    strays: list[str] = []
    for row in read_rows(path, content):
        if not row.image:
            strays.append(f"line {row.line} without an image")
        elif row.fault is not None:
            images.append(AnnotatedImage(row.image, (0, 0), fault=str(row.fault).partition(". Try: ")[0]))
        else:
            tags = (row.label,) if row.label else ()
            images.append(AnnotatedImage(row.image, (0, 0), tags=tags, reason=row.reason, seconds=row.seconds))
    try:
        return Content(tuple(images), tuple(strays)).check(path)
    except ValueError as reason:
        if isinstance(reason, DataError):
            raise
        raise DataError(f"{path} must have a line for each image", got="only column names") from reason


def decode_sets(path: Path, content: bytes, spec: LabelSpec) -> Content:
    """Return the images in the content of a table of several classes per image; their tags are the classes.

    Raises
    ------
    DataError
        The content is not such a table. The message names `path`.
    """
    images: list[AnnotatedImage] = []
    strays: list[str] = []
    for row in read_set_table(path, content, spec.classes).rows:
        if not row.image:
            strays.append(f"line {row.line} without an image")
            continue
        try:
            said = row.skip() or row.read(spec)
        except LabelError as reason:
            images.append(AnnotatedImage(row.image, (0, 0), fault=str(reason).partition(". Try: ")[0]))
            continue
        tags = () if said is None else (said,) if isinstance(said, str) else (set_text(said, spec),)
        images.append(AnnotatedImage(row.image, (0, 0), tags=tags, reason=row.reason))
    return Content(tuple(images), tuple(strays)).check(path)


class Row(NamedTuple):
    """A line of a table: its number, its image, class and reason, which may be empty, and seconds.

    `fault` is the error of a line that has more values than there are columns.
    """

    line: int
    image: str
    label: str
    reason: str = ""
    seconds: float | None = None
    fault: DataError | None = None


def read_rows(path: Path, content: bytes) -> Iterator[Row]:
    """Yield each line that is not empty.

    Raises
    ------
    DataError
        The content is not a table with these columns. The message names `path`.
    """
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        delimiter = next((mark for mark in text.partition("\n")[0] if mark in DELIMITERS), ",")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = [name.strip().lower() for name in next(rows, [])]
        image = next((names.index(name) for name in IMAGES if name in names), None)
        if image is None or CLASS not in names:
            raise DataError(
                f"{path} must begin with the names of its columns, among them {' or '.join(IMAGES)}, and {CLASS}",
                got=", ".join(map(repr, names)) or "an empty file",
                hint=f"{IMAGE},{CLASS} as the first line; or multiple=True for a table with a column for each class",
            )
        label, why = names.index(CLASS), next((names.index(name) for name in sorted(REASONS) if name in names), None)
        spent = names.index(SECONDS) if SECONDS in names else None
        if names.count(names[image]) > 1 or names.count(CLASS) > 1:
            raise DataError(f"{path} must have a different name for each column", got=", ".join(map(repr, names)))
        for cells in rows:
            values = [cell.strip() for cell in cells]
            fault = None
            if any(values[len(names) :]):
                what = f"line {rows.line_num} of {path} must have {len(names)} columns"
                fault = DataError(what, got=len(values), hint="quotation marks around a value with a comma")
            if any(values):
                reason = "" if why is None else cell(values, why)
                seconds = None if spent is None else _seconds(cell(values, spent))
                yield Row(rows.line_num, cell(values, image), cell(values, label), reason, seconds, fault)
    except (ValueError, csv.Error) as reason:
        if isinstance(reason, DataError):
            raise
        raise DataError(f"{path} is not a table of classes", got=reason, expected="CSV in UTF-8") from reason


def _seconds(text: str) -> float | None:
    """Return a number of seconds; None if the text is not one.

    >>> _seconds("4.5"), _seconds("-1"), _seconds("nan"), _seconds(""), _seconds("1e300")
    (4.5, None, None, None, None)
    """
    try:
        return seconds_of(float(text))
    except ValueError:
        return None


CSV = Format("csv", ".csv", encode, decode, per=("image",), decode_sets=decode_sets)
