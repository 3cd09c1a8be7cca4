"""The form of rows: what alkit writes into each column. A stranger may have written others, with right digests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, datetime
from functools import lru_cache
from math import isfinite
from typing import Any, get_args

import sqlalchemy as sa

from alkit.checks import is_number
from alkit.record import tables
from alkit.record.columns import GREATEST, storable_text
from alkit.record.states import Kind
from alkit.values.audit import is_written_audit, is_written_interval
from alkit.values.people import is_name
from alkit.values.queries import Purpose


def has_form(table: sa.Table, row: Sequence[Any]) -> bool:
    """Whether the values of a row, with or without its digest, are such as alkit writes.

    >>> has_form(tables.totals, ("facts", 2, "00000000000000ff"))
    True
    >>> has_form(tables.totals, ("facts", "2", "00000000000000ff"))
    False
    """
    return _have_types(table.name, tuple(map(type, row))) and malformed_column(table, row) is None


def malformed_column(table: sa.Table, row: Sequence[Any]) -> str | None:
    """Return the first column of a row of the right types whose value alkit does not write; None if there is none."""
    for place, check in _checks(table.name):
        if not check(row[place]):
            return str(table.c.keys()[place])
    if table is tables.round_figures and not _FIGURES[row[1]](row[2]):
        return "value"
    return None


def can_hold(column: sa.Column[Any], value: Any) -> bool:
    """Whether alkit may have written a value into a column."""
    if type(value) not in _types(column) or (isinstance(value, str) and storable_text(value) != value):
        return False
    check = _CHECKS.get((column.table.name, column.name)) or _by_type(column)
    return check is None or check(value)


def _types(column: sa.Column[Any]) -> set[type]:
    own = str if isinstance(column.type, sa.String) else float if isinstance(column.type, sa.Float) else int
    return {own, type(None)} if column.nullable else {own}


@lru_cache(maxsize=1000)
def _have_types(name: str, types: tuple[type, ...]) -> bool:
    columns = list(_TABLES[name].columns)
    return len(types) >= len(columns) - 1 and all(
        type in _types(column) for type, column in zip(types, columns, strict=False)
    )


@lru_cache
def _checks(name: str) -> list[tuple[int, Callable[[Any], bool]]]:
    """Return the checks of a table by the place of their column."""
    columns = list(_TABLES[name].columns)[:-1]
    found = ((place, _CHECKS.get((name, column.name)) or _by_type(column)) for place, column in enumerate(columns))
    return [(place, check) for place, check in found if check is not None]


def _by_type(column: sa.Column[Any]) -> Callable[[Any], bool] | None:
    return _is_finite if isinstance(column.type, sa.Float) else None


def _is_finite(value: float | None) -> bool:
    return value is None or isfinite(value)


def _is_count(value: int | None) -> bool:
    return value is None or 0 <= value <= GREATEST


@lru_cache(maxsize=1000)
def _is_sizes(text: str) -> bool:
    """Whether a text is a list of heights and widths."""
    found = _parsed(text)
    return isinstance(found, list) and all(
        isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side <= GREATEST for side in size)
        for size in found
    )


def _is_mapping(text: str) -> bool:
    """Whether a text is a JSON object of numbers."""
    found = _parsed(text)
    return isinstance(found, Mapping) and all(value is None or is_number(value) for value in found.values())


def _are_numbers(text: str) -> bool:
    """Whether a text is a JSON object of numbers, none of them missing."""
    return _is_mapping(text) and None not in _parsed(text).values()


def _are_intervals(text: str) -> bool:
    """Whether a text is a JSON object of intervals."""
    found = _parsed(text)
    return isinstance(found, Mapping) and all(map(is_written_interval, found.values()))


def _is_size_of_test(text: str) -> bool:
    """Whether a text is a JSON object with the number of images of a test set."""
    found = _parsed(text)
    return isinstance(found, Mapping) and found.keys() == {"images"} and type(found["images"]) is int


_FIGURES: dict[str, Callable[[str], bool]] = {
    "stability": _are_numbers,
    "audit": lambda text: is_written_audit(_parsed(text)),
    "intervals": _are_intervals,
    "tested": _is_size_of_test,
}
"""The checks of the further figures of a round by their name."""


def _are_names(text: str | None) -> bool:
    """Whether a text is a list of names of people, which become names of folders."""
    found = [] if text is None else _parsed(text)
    return isinstance(found, list) and all(isinstance(entry, str) and is_name(entry) for entry in found)


def _is_time(text: str | None) -> bool:
    """Whether a text is a time with a time zone, which can be shown in any other, or is missing."""
    try:
        time = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return False
    return time is None or (time.tzinfo is not None and MINYEAR < time.year < MAXYEAR)


def _is_texts(text: str | None) -> bool:
    found = [] if text is None else _parsed(text)
    return isinstance(found, list) and all(isinstance(entry, str) for entry in found)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_TABLES = {table.name: table for table in (*tables.TABLES, tables.totals, tables.journal)}

_COUNTS = {
    "queries": ("round", "rank", "ask", "wanted", "withdrawn"),
    "query_terms": ("round", "rank"),
    "answer_queries": ("number",),
    "round_figures": ("round",),
    "answers": ("number", "used_from", "used_until"),
    "pseudo_labels": ("round",),
    "rounds": ("round", "n_labels", "n_pseudo", "n_held_out"),
    "totals": ("rows",),
    "journal": ("lines", "length"),
}

_CHECKS: dict[tuple[str, str], Callable[[Any], bool]] = {
    **{(table, column): _is_count for table, columns in _COUNTS.items() for column in columns},
    ("queries", "sizes"): _is_sizes,
    ("query_terms", "purpose"): frozenset(get_args(Purpose)).__contains__,
    ("query_terms", "assigned"): _are_names,
    ("query_terms", "due"): _is_time,
    ("queries", "asked_at"): _is_time,
    ("queries", "sent_at"): _is_time,
    ("answers", "told_at"): _is_time,
    ("rounds", "committed_at"): _is_time,
    ("answers", "kind"): frozenset(get_args(Kind)).__contains__,
    ("round_figures", "name"): _FIGURES.__contains__,
    ("rounds", "metrics"): _is_mapping,
    ("rounds", "seconds"): _is_mapping,
    ("rounds", "warnings"): _is_texts,
    ("totals", "sum"): lambda text: re.fullmatch("[0-9a-f]{16}", text) is not None,
    ("journal", "chain"): lambda text: re.fullmatch("([0-9a-f]{32})?", text) is not None,
}
