"""Digests of rows: they reveal a value that was changed, or a row that disappeared, outside alkit.

Every row holds the first 64 bits of the SHA-256 of its table's name and its other values, written as a Python tuple in
ASCII. The table ``totals`` holds the number of rows of
each table and the sum of their digests, so a missing row is noticed as well.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

HALF = 2**64
"""Sums are computed modulo this number."""

MOST_EQUAL = 8
"""Most numbers of a row of schema 3 that SQLite can have changed: it had at most three columns of such numbers."""


def digest(table: str, values: Sequence[Any]) -> str:
    """Return the digest of a row: 16 hexadecimal digits.

    Parameters
    ----------
    values:
        The values of all columns but the digest, in the order of the columns, as SQLite stores them.

    >>> digest("facts", ("seed", "3"))
    '581ee7167d8fdf53'
    """
    return hashlib.sha256(ascii((table, *values)).encode()).hexdigest()[:16]


def holds(table: str, row: Sequence[Any]) -> bool:
    """Whether the last value of a row is the digest of the others."""
    return bool(row[-1] == digest(table, row[:-1]))


def add(total: str, digests: Iterable[str], sign: int = 1) -> str:
    """Return the sum of a total and some digests, or their difference.

    >>> add("ffffffffffffffff", ["0000000000000002"]), add("0000000000000001", ["0000000000000002"], -1)
    ('0000000000000001', 'ffffffffffffffff')
    """
    return f"{(int(total, 16) + sign * sum(int(one, 16) for one in digests)) % HALF:016x}"


def digest_of_schema_3(table: str, row: Mapping[str, Any]) -> str:
    """Return what schema 3 wrote into the column `seal` of a row."""
    values: dict[str, Any] = {name: value for name, value in row.items() if name != "seal"}
    for name in {"facts": ("value",), "queries": ("sizes",), "rounds": ("metrics", "seconds")}.get(table, ()):
        if isinstance(values[name], str):  # SQLite stored a JSON number as a number
            values[name] = json.loads(values[name])
    if table == "queries":
        values["withdrawn"] = bool(values["withdrawn"])
    text = json.dumps([table, values], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_whole(table: str, row: Mapping[str, Any]) -> bool:
    """Whether a row of this schema or of an earlier one equals what was written.

    Schema 3 computed digests before SQLite stored the values. SQLite returns -0.0 as 0.0, and an integer of more than
    64 bits as a float. A row whose digest holds for an equal number is whole.

    Parameters
    ----------
    row:
        Its values by column, in the order of the columns, the digest last.
    """
    if "seal" not in row:
        return holds(table, tuple(row.values()))
    numbers = [_equal_numbers(row[name]) for name in row]
    if sum(len(equal) > 1 for equal in numbers) > MOST_EQUAL:
        return False  # a stranger's row, whose spellings would never end
    try:
        spellings = product(*numbers)
        return any(row["seal"] == digest_of_schema_3(table, dict(zip(row, one, strict=True))) for one in spellings)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _equal_numbers(value: Any) -> tuple[Any, ...]:
    """Return a value, and the numbers that SQLite returns as this one."""
    if isinstance(value, float) and value == 0:
        return value, -value
    large = isinstance(value, float) and HALF / 2 <= abs(value) < math.inf
    return (value, int(value)) if large else (value,)


def rounded_columns(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of a row of schema 3 whose number SQLite may have rounded."""
    return [
        name for name, value in row.items() if "seal" in row and isinstance(value, float) and abs(value) >= HALF / 2
    ]
