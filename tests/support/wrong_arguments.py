"""Wrong arguments, and which of them a declared type may accept all the same."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import numpy.typing as npt
import torch


def double(x):
    return 2 * x


class Empty:
    def __repr__(self):
        return "Empty()"


WRONG = {
    "None": None,
    "True": True,
    "3": 3,
    "-1": -1,
    "10**30": 10**30,
    "2.5": 2.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "1j": 1j,
    "text": "text",
    "no text": "",
    "bytes": b"",
    "[]": [],
    "[0]": [0],
    "[None]": [None],
    "['a', 'a']": ["a", "a"],
    "{}": {},
    "{'a': 'b'}": {"a": "b"},
    "{None: None}": {None: None},
    "set": {1, 2},
    "object": Empty(),
    "class": Empty,
    "function": double,
    "iterator": None,  # made for each call
    "array": np.zeros((2, 3)),
    "array of text": np.array(["a", "b"]),
    "empty array": np.zeros((0, 0)),
    "tensor": torch.zeros(2, 3),
    "path": Path("nowhere/at/all"),
    "type": int,
}
"""Values of many types, by name; most are wrong for most parameters."""


def wrong_value(name: str) -> Any:
    return iter([1, 2]) if name == "iterator" else WRONG[name]


def fits(value: Any, declared: Any) -> bool:
    """Whether a type may accept a value: False only where it certainly must not."""
    origin, inner = get_origin(declared) or declared, get_args(declared)
    if declared is npt.ArrayLike:
        return _is_numeric(value)
    if hasattr(origin, "__value__"):
        return fits(value, origin.__value__)
    if origin in (Union, types.UnionType):
        arrays = get_args(npt.ArrayLike)
        rest = [one for one in inner if one not in arrays] if arrays and arrays[1] in inner else list(inner)
        path = any(one is Path or (get_origin(one) or one) is os.PathLike for one in rest)
        if path and isinstance(value, str) and not value:
            return False
        return any(fits(value, one) for one in rest) or (len(rest) < len(inner) and _is_numeric(value))
    if declared is Any:
        return True
    if declared in (int, float):
        numbers = (int, np.integer) if declared is int else (int, float, np.integer, np.floating)
        return isinstance(value, numbers) and not isinstance(value, bool)
    if declared in (str, bytes, bool, type(None), None):
        return isinstance(value, declared or type(None))
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin in (Path, os.PathLike):
        return isinstance(value, os.PathLike)
    if origin is np.ndarray:
        return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    if origin in (Sequence, tuple, list, Collection, Iterable, Iterator, Container):
        return _fits_collection(value, origin, inner)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if origin is Callable:
        return callable(value)
    if not isinstance(origin, type) or origin is object:
        return True
    if getattr(origin, "_is_protocol", False):
        return callable(value) if "__call__" in vars(origin) or origin.__name__ == "Strategy" else False
    return isinstance(value, origin)


def _fits_collection(value: Any, origin: Any, inner: tuple[Any, ...]) -> bool:
    if isinstance(value, str | bytes | type) or not isinstance(value, Iterable):
        return False
    if isinstance(value, Mapping | set) and origin in (Sequence, tuple, list):
        return False
    if isinstance(value, list) and inner:
        fixed = origin is tuple and inner[-1] is not ...
        return not fixed and all(fits(one, inner[0]) for one in value)
    return True


def _is_numeric(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.ndarray | torch.Tensor | list | tuple)
