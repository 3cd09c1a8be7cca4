"""Values of columns, in the form in which SQLite returns them. Digests are computed from this form only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from operator import index
from typing import Any

import numpy as np
import sqlalchemy as sa

from alkit.errors import DataError

GREATEST = 2**63 - 1
"""The greatest integer that SQLite stores; the least is ``-2**63``."""


def stored_value(column: sa.Column[Any], value: Any) -> Any:
    """Return a value as SQLite returns it after it was written into a column.

    Numbers of NumPy and other number types become numbers of Python, and -0.0 becomes 0.0. Texts are kept to the last
    character: Unicode forms (NFC, NFD) and NUL characters stay as they are.

    Raises
    ------
    DataError
        The column cannot hold the value: it is of another type, not finite, too large, or text that is not Unicode.
    """
    if value is None:
        if column.nullable:
            return None
        raise DataError(f"{column} must have a value", got="None")
    if isinstance(column.type, sa.String):
        if not isinstance(value, str):
            raise DataError(f"{column} must be text", got=f"{value!r} of type {type(value).__name__}")
        text = str.__str__(value)  # the content of an enumeration's member, not its name
        if storable_text(text) != text:
            raise DataError(f"{column} must be Unicode text", got=ascii(text))
        return text
    if isinstance(column.type, sa.Float):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as reason:
            raise DataError(f"{column} must be a number", got=repr(value)) from reason
        if isinstance(value, str | bytes) or not isfinite(number):
            raise DataError(f"{column} must be finite", got=repr(value))
        return number + 0.0  # SQLite stores -0.0 as 0.0
    try:
        whole = int(index(value))
    except TypeError as reason:
        raise DataError(f"{column} must be an integer", got=repr(value)) from reason
    if not -GREATEST - 1 <= whole <= GREATEST:
        raise DataError(f"{column} must be an integer of at most 64 bits", got=whole)
    return whole


def storable_text(text: object) -> str:
    r"""Return text that a column can hold: parts that are not Unicode, as in some file names, become ``\udcff``.

    >>> storable_text("a" + chr(0xDCFF))
    'a\\udcff'
    """
    return str(text).encode(errors="backslashreplace").decode()


def stored_json(name: str, value: object) -> str:
    """Return a value as JSON; numbers of NumPy become numbers of Python.

    Parameters
    ----------
    name:
        What the value is, for messages.

    Raises
    ------
    DataError
        It contains a number that is not finite, or an object that JSON cannot hold. The message names its place.

    Examples
    --------
    >>> stored_json("metrics", {"dice": np.float32(0.5)})
    '{"dice": 0.5}'
    """
    return json.dumps(_plain(name, value), allow_nan=False)


def _plain(place: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not isfinite(value):
        raise DataError(f"{place} must be finite", got=repr(value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(f"{place}[{number}]", entry) for number, entry in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(f"{place}.{key}", entry) for key, entry in value.items()}
    raise DataError(f"{place} must be plain data", got=f"an object of type {type(value).__name__}")
