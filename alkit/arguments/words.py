"""How messages name what was found in place of a right argument."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection

import numpy as np

LONGEST = 80
"""Characters of the longest value that is printed in full."""


def found(value: object) -> str:
    """Describe a wrong argument: short plain values as they are written, anything else by its type.

    >>> found("a.png"), found(dict), found(object()), found(np.zeros((2, 3)))
    ("'a.png'", 'the class dict', 'an object of type object', 'an array of shape (2, 3) and type float64')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if value is None or isinstance(value, str | bytes | int | float | complex | np.generic | os.PathLike):
        return _cut(repr(value))
    if isinstance(value, list | tuple | dict | set) and len(repr_ := _repr(value)) <= LONGEST:
        return repr_
    if isinstance(value, list | tuple | dict | set):
        return f"a {type(value).__name__} of {len(value)} items"
    return f"an object of type {type(value).__name__}"


def with_article(noun: str) -> str:
    """Return a noun with its indefinite article.

    >>> with_article("integer"), with_article("UNet"), with_article("pool")
    ('an integer', 'a UNet', 'a pool')
    """
    return f"{'an' if noun[:1] in 'aeioAEIO' else 'a'} {noun}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _repr(value: Collection[object]) -> str:
    """Return the ``repr`` of a short collection of plain values; of another one a text that is too long."""
    items = [*value, *(value.values() if isinstance(value, dict) else ())]
    plain = len(items) <= 8 and all(one is None or isinstance(one, str | int | float | bytes) for one in items)
    return repr(value) if plain else " " * (LONGEST + 1)
