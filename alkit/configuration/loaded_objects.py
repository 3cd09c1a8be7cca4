"""The code behind an object as it is loaded now, so that what was computed by other code is not used any more.

A class that is defined again in a notebook, or by ``importlib.reload``, has the same name and parameters as before.
Files and digests cannot tell both apart: :mod:`alkit.configuration.definitions` reads files, and a notebook has none.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from alkit.configuration.code import file_of_user

MOST = 1000
"""Most objects that are followed."""

LIBRARIES = ("alkit", "torch", "numpy")
"""Packages whose code is not followed."""

PLAIN = (bool, int, float, complex, str, bytes, type(None))
CACHED = type(lru_cache(print))
CODE = (type, FunctionType, MethodType, partial, CACHED)


class LoadedCode:
    """The classes and functions behind some objects, and the constants that they use; equal if all are the same.

    The user's classes and functions are followed to those that they refer to by a global name, or by a name of a
    module of the user. Names that functions assign, such as counters, and what lists and mappings of a module hold are
    left out.

    Examples
    --------
    >>> from functools import lru_cache, partial
    >>> LoadedCode(partial(dict, a=1)) == LoadedCode(partial(dict, a=2)), LoadedCode(dict) == LoadedCode(list)
    (True, False)
    """

    def __init__(self, *things: object) -> None:
        left, seen = list(reversed(things)), set[int]()
        self._objects: list[object] = []  # classes and functions, compared by identity and kept alive
        constants: dict[str, object] = {}
        stored = set[str]()
        while left and len(seen) < MOST:
            thing = left.pop()
            if id(thing) in seen or isinstance(thing, PLAIN):
                continue
            seen.add(id(thing))
            if isinstance(thing, type | FunctionType):
                self._objects.append(thing)
                if _is_of_user(thing.__module__):
                    for name, value, assigns in _used_by(thing):
                        stored |= {name} if assigns else set()
                        if _is_plain(value):
                            constants[name] = value
                        elif isinstance(value, CODE) or is_dataclass(value):
                            left.append(value)
            else:
                left += _inside(thing)
        used = ((name, repr(value)) for name, value in constants.items() if name not in stored)
        self._constants = tuple(sorted(used))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LoadedCode)
            and self._constants == other._constants
            and [*map(id, self._objects)] == [*map(id, other._objects)]
        )

    def __hash__(self) -> int:
        return hash((self._constants, *map(id, self._objects)))


def _inside(thing: object) -> Iterator[object]:
    """Yield what an object that is neither a class nor a function consists of."""
    if isinstance(thing, partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, MethodType):
        yield from (thing.__func__, thing.__self__)
    elif isinstance(thing, CACHED):
        yield thing.__wrapped__
    elif isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, list | tuple):
        yield from thing
    else:
        yield type(thing)
        if is_dataclass(thing):
            yield from (getattr(thing, entry.name, None) for entry in fields(thing))


def _used_by(thing: type | FunctionType) -> Iterator[tuple[str, object, bool]]:
    """Yield name and value of each global that a class or function refers to, and whether it assigns it."""
    if isinstance(thing, type):
        for base in thing.__bases__:
            yield base.__qualname__, base, False
        for name, value in list(vars(thing).items()):
            parts = (value.fget, value.fset) if isinstance(value, property) else (getattr(value, "__func__", value),)
            yield from ((name, part, False) for part in parts if isinstance(part, type | FunctionType))
        return
    space, module = thing.__globals__, thing.__module__
    for cell in thing.__closure__ or ():
        try:
            yield "", cell.cell_contents, False
        except ValueError:  # it has no content yet
            continue
    for name, assigns in _names(thing.__code__):
        if name not in space:
            continue
        value = space[name]
        if not isinstance(value, ModuleType):
            yield f"{module}:{name}", value, assigns
        elif _is_of_user(value.__name__):
            inner = ((other, vars(value).get(other)) for other, _ in _names(thing.__code__))
            yield from ((f"{value.__name__}:{other}", own, False) for other, own in inner if own is not None)


def _is_plain(value: object) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else isinstance(value, PLAIN)


def _names(code: CodeType) -> Iterator[tuple[str, bool]]:
    """Yield the names that code and the functions inside it use, and whether they assign a global of this name."""
    assigned = {one.argval for one in dis.get_instructions(code) if one.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")}
    yield from ((name, name in assigned) for name in code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _is_of_user(name: Any) -> bool:
    """Whether a module is neither installed nor a part of Python."""
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or name.partition(".")[0] in LIBRARIES or name.partition(".")[0] in sys.stdlib_module_names:
        return bool(name == "__main__")
    if vars(module).get("__file__") is not None:
        return file_of_user(name, module) is not None
    return not hasattr(module, "__path__")  # such as that of a notebook
