"""Read the groups and other facts of images from a table: a file of comma-separated values."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alkit._files import without_tilde
from alkit.errors import DataError

DELIMITERS = ",;\t"
"""Characters that may separate the columns of a table."""


def read_table(path: str | Path) -> dict[str, dict[str, str]]:
    """Return the columns of each row after the first, by the id in the first column.

    The columns are separated by commas, semicolons or tabs, whichever follows the word ``id`` in the first line. Spaces
    around a value do not count.

    Raises
    ------
    DataError
        The file cannot be read, is not UTF-8, or its first line is not ``id`` and other names; a row has another number
        of columns, no id or no group; or an id has two rows that differ. The message names the line.
    """
    file = without_tilde(path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            first = text.readline()
            delimiter = next((mark for mark in first if mark in DELIMITERS), ",")
            text.seek(0)
            return _rows(file, csv.reader(text, delimiter=delimiter, strict=True))
    except UnicodeError as reason:
        raise DataError(
            "groups must be a CSV file in UTF-8",
            got=f"{file} ({reason})",
            hint="save it as 'CSV UTF-8' in the spreadsheet",
        ) from reason
    except (OSError, ValueError, csv.Error) as reason:
        if isinstance(reason, DataError):
            raise
        raise DataError("groups must be a CSV file that can be read", got=f"{file} ({reason})") from reason


def _rows(file: Path, reader: Iterator[list[str]]) -> dict[str, dict[str, str]]:
    names = [name.strip() for name in next(reader, [])]
    if len(names) < 2 or names[0] != "id":
        raise DataError(
            f"{file} must begin with a line of column names: id, then the group, such as patient",
            got=", ".join(map(repr, names)) or "an empty file",
            hint="id,patient as the first line",
        )
    if twice := [name for name, number in Counter(names).items() if not name or number > 1]:
        raise DataError(f"{file} must have a different name for each column", got=repr(twice[0]))
    found: dict[str, dict[str, str]] = {}
    lines: dict[str, int] = {}
    for cells in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        if len(values) != len(names):
            raise DataError(f"line {line} of {file} must have {len(names)} columns", got=len(values))
        for place in (0, 1):
            if not values[place]:
                raise DataError(f"line {line} of {file} has no {names[place]}", expected="a value in each row")
        id, row = values[0], dict(zip(names[1:], values[1:], strict=True))
        if found.setdefault(id, row) != row:
            name = next(name for name in row if row[name] != found[id][name])
            raise DataError(
                f"line {line} of {file} contradicts line {lines[id]} about {id!r}",
                got=f"{name} {row[name]!r} and {found[id][name]!r}",
                hint="one row for each id",
            )
        lines.setdefault(id, line)
    if not found:
        raise DataError(f"{file} must have a row for each image", got="only column names")
    return found


def rows_of(mapping: Mapping[Any, object]) -> dict[str, dict[str, str]]:
    """Return the rows of a mapping from ids to groups, or to columns of which the first is the group.

    Raises
    ------
    DataError
        An id is not text, or a group is neither text nor an integer, or it is empty.

    Examples
    --------
    >>> rows_of({"a": "p1", "b": {"patient": "p2", "site": "A"}})
    {'a': {'group': 'p1'}, 'b': {'patient': 'p2', 'site': 'A'}}
    """
    found: dict[str, dict[str, str]] = {}
    for id, entry in mapping.items():
        if not isinstance(id, str):
            raise DataError("the ids in groups must be text", got=repr(id), hint=repr(str(id)))
        columns = entry if isinstance(entry, Mapping) else {"group": entry}
        row = {str(name): _text(id, str(name), value) for name, value in columns.items()}
        if not row or not next(iter(row.values())):
            raise DataError(f"groups must have a group for {id!r}", got=repr(entry))
        found[id] = row
    return found


def _text(id: str, name: str, value: object) -> str:
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if not isinstance(value, str) and not whole:
        raise DataError(f"groups must be text or integers; the {name} of {id!r} is not", got=repr(value))
    return str(value).strip()
