"""What an argument must be, by the type that its parameter declares.

A declared type becomes a :class:`Kind`: words for messages, and a function that finds what is wrong with a value. The
rules are those of alkit's documentation, which differ from a type checker's:

- An integer or a number may come from Python or numpy, and a bool is neither.
- A sequence or a tuple may be a list, a tuple, an array or another collection, but neither a string nor a mapping.
- A path is a string or a path object, and not empty.
- An array of numbers (``npt.ArrayLike``) may be a tensor, a list or a number; ``npt.NDArray`` is an array of numpy.
- A protocol asks for its members.
- A type that is not in this list, such as ``Any`` or a type variable, accepts everything.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
import numpy.typing as npt

from alkit.arguments.roles import members_of, missing_members, role_in_words
from alkit.arguments.words import found, with_article


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an argument.

    Parameters
    ----------
    place:
        The parameter, or the item in it, such as ``classes[1]``.
    expected:
        What must hold, in words.
    got:
        What was found, in words.
    value:
        The wrong value, from which a hint may be made.
    """

    place: str
    expected: str
    got: str
    value: object


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument must be.

    Parameters
    ----------
    words:
        What must hold, to follow "must be".
    fits:
        Whether a value is of this kind, its items aside.
    inside:
        The first fault of a fitting value's items, if there is one.
    at_once:
        Types all of whose values are right, so that most checks are one look-up.
    """

    words: str
    fits: Callable[[Any], bool]
    inside: Callable[[str, Any], Fault | None] | None = None
    at_once: frozenset[type] = frozenset()

    def fault(self, place: str, value: object) -> Fault | None:
        """Return what is wrong with a value; None if nothing is."""
        if type(value) in self.at_once:
            return None
        if not self.fits(value):
            return Fault(place, self.words, found(value), value)
        return None if self.inside is None else self.inside(place, value)


@functools.cache
def kind_of(declared: Any) -> Kind | None:
    """Return the kind that a declared type asks for; None if every value is right.

    >>> kind_of(int | None).words, kind_of(Sequence[str]).words, kind_of(Any)
    ('an integer or None', 'a sequence of strings', None)
    >>> kind_of(Sequence[str]).fault("classes", ["skin", 3])
    Fault(place='classes[1]', expected='a string', got='3', value=3)
    """
    while get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    origin, inner = get_origin(declared) or declared, get_args(declared)
    if declared in _PLAIN:
        return _PLAIN[declared]
    if hasattr(origin, "__value__"):  # an alias: since version 2.5, numpy declares its types by statements of ``type``
        return kind_of(origin.__value__)
    if origin in (Union, types.UnionType):
        return _union(inner)
    if origin is Literal:
        return Kind(" or ".join(map(repr, inner)), lambda value: isinstance(value, str) and value in inner)
    if origin is tuple and inner and inner[-1] is not ...:
        return _fixed(inner)
    if origin in _COLLECTIONS:
        return _collection(origin, inner[0] if inner else Any)
    if origin in (Mapping, dict):
        return _mapping(*(inner or (Any, Any)))
    if origin is Callable:
        return Kind("a function", callable, at_once=frozenset({types.FunctionType}))
    if origin is np.ndarray:
        return Kind("a numpy array of numbers", _is_numeric)
    if not isinstance(origin, type) or origin is object:
        return None
    if getattr(origin, "_is_protocol", False):
        words = role_in_words(origin)
        called = "__call__" in members_of(origin)
        return Kind(words, lambda value: (called or not isinstance(value, type)) and not missing_members(value, origin))
    return Kind(_class_in_words(origin), lambda value: isinstance(value, origin), at_once=frozenset({origin}))


LONGEST_NAME = 255
"""Greatest number of bytes of a name of a file, in all usual file systems."""


def _is_real(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, float | np.integer | np.floating)


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_path(value: object) -> bool:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text or "\0" in text:
        return False
    try:
        return all(len(part) <= LONGEST_NAME for part in os.fsencode(text).split(os.fsencode(os.sep)))
    except UnicodeEncodeError:
        return False


def _is_numeric(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"


def _is_array_like(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return _is_numeric(value)
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return True
    if isinstance(value, list | tuple):
        try:
            return np.asarray(value).dtype.kind in "biuf"
        except (ValueError, TypeError, RuntimeError):
            return False
    return not isinstance(value, type) and (hasattr(value, "__array__") or hasattr(value, "__array_interface__"))


_PATH = Kind("a path", _is_path)
_ARRAY_LIKE = Kind("an array of numbers", _is_array_like)
_PLAIN: dict[Any, Kind | None] = {
    Any: None,
    str: Kind("a string", lambda value: isinstance(value, str), at_once=frozenset({str})),
    bytes: Kind("bytes", lambda value: isinstance(value, bytes), at_once=frozenset({bytes})),
    bool: Kind("True or False", lambda value: isinstance(value, bool | np.bool_), at_once=frozenset({bool, np.bool_})),
    int: Kind("an integer", _is_integer, at_once=frozenset({int, np.int64})),
    float: Kind("a number", _is_real, at_once=frozenset({float, np.float64})),
    None: Kind("None", lambda value: value is None, at_once=frozenset({type(None)})),
    type(None): Kind("None", lambda value: value is None, at_once=frozenset({type(None)})),
    Path: Kind("a Path", lambda value: isinstance(value, os.PathLike) and _is_path(value)),
    os.PathLike: _PATH,
    npt.ArrayLike: _ARRAY_LIKE,
}

_COLLECTIONS = {
    Sequence: "a sequence",
    tuple: "a sequence",
    list: "a list",
    Collection: "a collection",
    Container: "a collection",
    Iterable: "a collection",
    Iterator: "an iterator",
}

_PLURALS = {str: "strings", int: "integers", float: "numbers"}


def _union(members: tuple[Any, ...]) -> Kind | None:
    """Return the kind of a union; numpy's union of everything that becomes an array counts as one member.

    Before version 2.5 of numpy, it is spread among the other members.
    """
    arrays = get_args(npt.ArrayLike)
    if arrays and arrays[1] in members:
        members = (npt.ArrayLike, *(one for one in members if one not in arrays))
    if str in members and any(map(_is_path_type, members)):
        members = tuple(os.PathLike if _is_path_type(one) else one for one in members if one is not str)
    kinds = [kind_of(one) for one in members]
    wanted = [kind for kind in kinds if kind is not None]
    if len(wanted) < len(kinds):
        return None

    def inside(place: str, value: object) -> Fault | None:
        faults = [kind.fault(place, value) for kind in wanted if kind.fits(value)]
        return None if None in faults else faults[0]

    words = " or ".join(dict.fromkeys(kind.words for kind in wanted)).replace("True or False or ", "True, False or ")
    at_once = frozenset[type]().union(*(kind.at_once for kind in wanted))
    return Kind(words, lambda value: any(kind.fits(value) for kind in wanted), inside, at_once)


def _is_path_type(declared: Any) -> bool:
    return (get_origin(declared) or declared) in (Path, os.PathLike)


def _collection(origin: Any, item: Any) -> Kind:
    kind, whole = kind_of(item), _COLLECTIONS[origin]
    base: Any = {Iterable: Iterable, Iterator: Iterator, Container: Container}.get(origin, Collection)
    ordered = origin in (Sequence, tuple, list)

    def fits(value: object) -> bool:
        if isinstance(value, str | bytes | type) or (ordered and isinstance(value, Mapping | set | frozenset)):
            return False
        return isinstance(value, base) and not (isinstance(value, np.ndarray) and value.ndim == 0)

    def inside(place: str, value: Any) -> Fault | None:
        if kind is None or not isinstance(value, list | tuple | set | frozenset):  # others are checked when read
            return None
        for position, one in enumerate(value):
            if type(one) not in kind.at_once and (fault := kind.fault(f"{place}[{position}]", one)) is not None:
                return fault
        return None

    plural = _PLURALS.get(item) or (kind.words.partition(" ")[2] + "s" if kind and kind.words[:2] == "a " else "")
    return Kind(f"{whole} of {plural}" if plural and " " not in plural else whole, fits, inside)


def _fixed(items: tuple[Any, ...]) -> Kind:
    kinds = [kind_of(item) for item in items]
    words = ", ".join("anything" if kind is None else kind.words for kind in kinds)

    def fits(value: Any) -> bool:
        collection = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping | set | type)
        return collection and not (isinstance(value, np.ndarray) and value.ndim != 1) and len(value) == len(items)

    def inside(place: str, value: Any) -> Fault | None:
        for position, (kind, one) in enumerate(zip(kinds, value, strict=True)):
            if kind is not None and (fault := kind.fault(f"{place}[{position}]", one)) is not None:
                return fault
        return None

    return Kind(f"({words})", fits, inside)


def _mapping(key: Any, item: Any) -> Kind:
    keys, items = kind_of(key), kind_of(item)

    def inside(place: str, value: Any) -> Fault | None:
        if type(value) is not dict:  # others may be computed when they are read
            return None
        for name, one in value.items():
            if keys is not None and (fault := keys.fault(f"the key {found(name)} of {place}", name)) is not None:
                return fault
            if items is not None and (fault := items.fault(f"{place}[{name!r}]", one)) is not None:
                return fault
        return None

    return Kind("a mapping", lambda value: isinstance(value, Mapping), inside)


def _class_in_words(kind: type) -> str:
    package = kind.__module__.partition(".")[0]
    return with_article(kind.__name__) + ("" if package in ("alkit", "builtins") else f" of {package}")
