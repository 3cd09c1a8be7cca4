"""The options of metrics."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alkit.cli.options import class_names
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


def choose_metrics(names: str | None, groups: Path | None, per: str = "pixel") -> Sequence[Any] | None:
    """Return the metrics that options choose; None for the defaults.

    Parameters
    ----------
    names:
        Names with commas between them.
    groups:
        CSV file with the group of each image; the first metric is measured over the groups too.

    per:
        What has a class: each ``pixel``, or each ``image``.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or has another form.
    """
    from alkit.evaluation.chosen import DEFAULTS, PerGroup

    chosen: list[Any] = list(DEFAULTS[per]) if names is None else list(class_names(names))
    if groups is not None:
        return [*chosen, PerGroup(chosen[0], read_groups(groups))]
    return None if names is None else chosen


def read_groups(file: Path) -> dict[str, str]:
    """Return the group of each image by its id, from a CSV file with the columns ``id`` and ``group``.

    Raises
    ------
    ConfigurationError
        The file cannot be read, lacks a column or a value, or gives an image two groups. The message names the line.
    """
    groups: dict[str, str] = {}
    try:
        with file.expanduser().open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text)
            columns = rows.fieldnames or ()
            if not {"id", "group"} <= set(columns):
                found = ", ".join(columns) or "an empty file"
                raise ConfigurationError(
                    "groups must be a file with the columns id and group", got=f"{found} in {file}"
                )
            for row in rows:
                id, group, line = row["id"], row["group"], f"line {rows.line_num} of {file}"
                if not id or not group:
                    raise ConfigurationError("groups must have an id and a group on each line", got=f"less on {line}")
                if groups.setdefault(id, group) != group:
                    raise ConfigurationError(
                        f"groups must have one group for each image, and {id!r} has {groups[id]!r}",
                        got=f"{group!r} on {line}",
                    )
    except (OSError, UnicodeError, csv.Error) as reason:
        raise ConfigurationError("groups must be a CSV file in UTF-8", got=f"{file} ({reason})") from reason
    return groups
