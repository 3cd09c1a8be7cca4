"""The form of a change in a journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from alkit.record.row_form import can_hold, has_form
from alkit.record.tables import BY_NAME

Change = Sequence[Any]
"""A line's kind and what follows it."""


def is_change(change: Change) -> bool:
    """Whether a line's kind and what follows it are those of a change that alkit makes."""
    match change:
        case ["record", {"whole": bool()}]:
            return True
        case ["insert", str(name), list(values)] if name in BY_NAME:
            return len(values) == len(BY_NAME[name].c) - 1 and has_form(BY_NAME[name], values)
        case ["change", str(name), list(keys), dict(values)] if name in BY_NAME:
            own = {column.name: column for column in list(BY_NAME[name].c)[:-1] if not column.primary_key}
            return _are_keys(BY_NAME[name], keys) and all(
                name in own and can_hold(own[name], value) for name, value in values.items()
            )
        case ["delete", str(name), list(keys)] if name in BY_NAME:
            return _are_keys(BY_NAME[name], keys)
    return False


def _are_keys(table: sa.Table, keys: Sequence[Any]) -> bool:
    columns = list(table.primary_key)
    return all(isinstance(key, list) and len(key) == len(columns) and all(map(can_hold, columns, key)) for key in keys)


def is_unicode(body: bytes, change: Change) -> bool:
    """Whether all texts of a line are Unicode: JSON can escape half a character."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return True
    try:
        json.dumps(change, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
