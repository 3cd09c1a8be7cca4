"""Typed parameters: the types that a factory declares, and values converted to them."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar
from enum import Enum
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints


def kinds_of(factory: Callable[..., object]) -> dict[str, Any]:
    """Return the types of a factory's parameters by name, for those that are annotated with types that can be found.

    If a type is imported for type checkers only, that one parameter is left out. The annotation of an inherited field
    of a dataclass is evaluated in the module of the class that declares it.

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
            except Exception:  # an annotation is code and may fail in any way
                continue
            kinds[entry.name] = kind.type if isinstance(kind, InitVar) else kind
    return kinds


def _names_at(factory: Callable[..., object], parameter: inspect.Parameter) -> dict[str, Any]:
    """Return the names that the annotation of a parameter may use: those of the module that contains it."""
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


def convert(value: object, kind: Any) -> Any:
    """Return a value as the declared type, by pydantic's strict rules.

    An int fits a float, and a bool does not fit a number. A list may stand for a tuple or a set, and text for a path
    or, by value, for a member of an enumeration: a file cannot write these types. Types that are not made of plain
    types, collections, paths and enumerations accept any value.

    Parameters
    ----------
    value:
        Any value.
    kind:
        Type of a parameter, as :func:`kinds_of` returns it.

    Raises
    ------
    ValueError
        The value does not fit.

    Examples
    --------
    >>> convert(3, float), convert([1, [2, 3]], tuple[int, list[int]]), convert("a", Path | None) == Path("a")
    (3, (1, [2, 3]), True)
    >>> convert(True, int)
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: ...
    """
    if type(value) is kind or kind is Any:
        return value
    return _validator(kind)(value)


_ACCEPTED: dict[Any, tuple[type, ...]] = {
    tuple: (list, tuple),  # and not a set, whose order differs between processes
    list: (list, tuple),
    set: (list, tuple, set, frozenset),
    frozenset: (list, tuple, set, frozenset),
    dict: (Mapping,),
}
"""Types of the values that may stand for a collection."""


@functools.cache
def _validator(kind: Any) -> Callable[[object], Any]:
    from pydantic import ConfigDict, TypeAdapter  # takes 0.1 s to import

    return TypeAdapter(_checked_type(kind), config=ConfigDict(strict=True)).validate_python


def _checked_type(kind: Any) -> Any:
    """Return the type that pydantic checks: strict, except for what a file cannot write."""
    from pydantic import Strict

    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin is Literal:
        return Annotated[kind, _only(*map(type, inner))]  # or True would fit Literal[1]
    if kind in (int, str, bool, None, type(None)):
        return kind
    if kind is float:
        return int | float  # an int remains one
    if isinstance(kind, type) and issubclass(kind, Path | Enum):
        return Annotated[kind, Strict(False)]
    if origin not in (Union, UnionType, Sequence, Mapping, *_ACCEPTED):
        return Any
    entries = tuple(entry if entry is ... else _checked_type(entry) for entry in inner)
    if origin in (Union, UnionType):
        return Union[entries]  # noqa: UP007
    if origin is Sequence:
        origin, entries = tuple, (*entries, ...) if entries else ()
    origin = dict if origin is Mapping else origin
    return Annotated[origin[entries] if entries else origin, Strict(False), _only(*_ACCEPTED[origin])]


def _only(*kinds: type) -> Any:
    """Return a validator that refuses values of other types, before pydantic converts them; a bool is not an int."""
    from pydantic import BeforeValidator

    def check(value: object) -> object:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError
        return value

    return BeforeValidator(check)


def in_words(kind: Any) -> str:
    """Name a type in words.

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
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(repr(member.value) for member in kind)
    return kind.__name__ if isinstance(kind, type) and not inner else str(kind).replace("typing.", "")
