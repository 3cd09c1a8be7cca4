"""Typed parameters: what a factory accepts, whether a value fits, and the value as the declared type."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar
from enum import Enum
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints


def kinds_of(factory: Callable[..., object]) -> dict[str, Any]:
    """Return the types a factory says its parameters have, of those that it says and that can be found.

    A name that is imported for type checkers only leaves that one parameter without a type. A field that a dataclass
    inherits is looked up in the module of the class that declares it.

    >>> from alkit.strategies import Uncertainty
    >>> sorted(kinds_of(Uncertainty))
    ['sampler']
    """
    try:
        entries = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return {}
    kinds = {}
    for entry in entries:
        if entry.annotation is not entry.empty:
            said = SimpleNamespace(__annotations__={"": entry.annotation})
            try:
                kind = get_type_hints(said, _names_at(factory, entry))[""]
            except Exception:  # an annotation is code, and may fail in any way
                continue
            kinds[entry.name] = kind.type if isinstance(kind, InitVar) else kind
    return kinds


def _names_at(factory: Callable[..., object], parameter: inspect.Parameter) -> dict[str, Any]:
    """Return the names that the annotation of a parameter may mean: those of the module it was written in."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    if isinstance(factory, type):
        for owner in factory.__mro__:
            if inspect.get_annotations(owner).get(parameter.name) == parameter.annotation:
                return vars(sys.modules[owner.__module__])
        routines: list[Any] = [vars(owner).get(verb) for owner in factory.__mro__ for verb in ("__init__", "__new__")]
    else:
        routines = [factory, type(factory).__call__]
    for routine in map(inspect.unwrap, routines):
        names = getattr(getattr(routine, "__func__", routine), "__globals__", None)
        if names is not None:
            return cast("dict[str, Any]", names)
    return vars(sys.modules[factory.__module__])


_SEQUENCES = (tuple, list, Sequence)
_SETS = (frozenset, set)
_COLLECTIONS = _SEQUENCES + _SETS
_MAPPINGS = (dict, Mapping)


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of a plain type; whatever is not made of plain types fits, and the strategy itself will say.

    A whole number is a float too, and a bool is no number.

    >>> fits(3, float), fits(True, int), fits("3", int | None), fits(None, int | None), fits([1, 2], tuple[int, ...])
    (True, False, False, True, True)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return any(type(value) is type(entry) and value == entry for entry in inner)
    if origin in (Union, UnionType):
        return any(fits(value, entry) for entry in inner)
    if origin in _SEQUENCES:
        if not isinstance(value, list | tuple):
            return False
        if origin is tuple and inner[-1:] != (Ellipsis,):
            return len(value) == len(inner) and all(map(fits, value, inner))
        return all(fits(entry, inner[0]) for entry in value)
    if origin in _MAPPINGS:
        return isinstance(value, Mapping) and all(
            fits(key, inner[0]) and fits(entry, inner[1]) for key, entry in value.items()
        )
    if origin in _SETS:
        return isinstance(value, list | tuple | set | frozenset) and all(fits(entry, inner[0]) for entry in value)
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str) else True


def as_declared(value: object, kind: Any) -> Any:
    """Return a value that fits as the very type that was asked for, where a file has no way to write that type.

    A list may be meant as a tuple or a set, and text as a path or as a member of an enumeration by its value.

    >>> as_declared([1, [2, 3]], tuple[int, list[int]]), as_declared("a/b", Path | None) == Path("a", "b")
    ((1, [2, 3]), True)
    """
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if isinstance(value, list | tuple | set | frozenset):
        sorts = [(cast(Any, get_origin(option) or option), option) for option in options]
        for sort, option in sorted(sorts, key=lambda pair: pair[0] is not type(value)):
            of = get_args(option)
            if sort in (_SETS if isinstance(value, set | frozenset) else _COLLECTIONS) and fits(value, option):
                of = of if sort is tuple and of[-1:] != (Ellipsis,) else of[:1] * len(value)
                parts = map(as_declared, value, of) if of else value
                return (tuple if sort is Sequence else sort)(parts)
    if isinstance(value, Mapping):
        for option in options:
            if get_origin(option) in _MAPPINGS and fits(value, option):
                keys, entries = get_args(option)
                return {as_declared(key, keys): as_declared(entry, entries) for key, entry in value.items()}
    if type(value) in options:
        return value
    if isinstance(value, str) and Path in options:
        return Path(value)
    for option in options:
        if isinstance(option, type) and issubclass(option, Enum) and not isinstance(value, Enum):
            try:
                return option(value)
            except (TypeError, ValueError):  # the strategy itself will say
                continue
    return value


def in_words(kind: Any) -> str:
    """Name a type as a person would write it.

    >>> in_words(int | None), in_words(Literal["a", "b"]), in_words(str)
    ('int or None', "'a' or 'b'", 'str')
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (Union, UnionType):
        return " or ".join(map(in_words, inner))
    if kind in (None, type(None)):
        return "None"
    if origin is Callable:
        return "function"
    return kind.__name__ if isinstance(kind, type) and not inner else str(kind).replace("typing.", "")
