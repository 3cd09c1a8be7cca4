"""The code behind an object as it is loaded now, so that what was computed by other code is not used any more.

A class that is defined again in a notebook, or by ``importlib.reload``, has the same name and parameters as before.
Files and digests cannot tell both apart: :mod:`alkit.configuration.definitions` reads files, and a notebook has none.
"""

from __future__ import annotations

import dis
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from alkit.configuration.code import file_of_user
from alkit.configuration.constants import GROWING

MOST = 1000
"""Most objects that are followed."""

MOST_ENTRIES = 100
"""Most entries of a list or a mapping that are settings. A longer one is a table or a log."""

DEEPEST = 5
"""Most mappings inside each other whose entries are settings."""

LIBRARIES = ("alkit", "torch", "numpy")
"""Packages whose code is not followed."""

SIMPLE = (SimpleNamespace, Namespace)
"""Classes of objects that hold nothing but settings."""

MAKING = ("__init__", "__post_init__", "__new__")

CHANGING = {*GROWING, "update"}
"""Methods that change the entries of lists and mappings."""

PLAIN = (bool, int, float, complex, str, bytes, type(None))
CACHED = type(lru_cache(print))
CODE = (type, FunctionType, MethodType, partial, CACHED)


class LoadedCode:
    """The classes and functions behind some objects, and the settings that they use; equal if all are the same.

    The user's classes and functions are followed to those that they refer to by a global name, or by a name of a
    module of the user. Settings are numbers, texts and truth values: constants of a module, attributes of classes, and
    entries and attributes of what is in a module. What these functions assign, such as counters, is left out, and so
    are lists and mappings that they change.

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
        stored = set[str]()  # names of globals, and those of attributes with a dot before them
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
                        constants.update(_settings_in(name, value))
                        if isinstance(value, CODE) or is_dataclass(value):
                            left.append(value)
                        elif _is_of_user(type(value).__module__):  # its methods may change what it holds
                            left.append(type(value))
            else:
                left += _inside(thing)
        used = ((name, repr(value)) for name, value in constants.items() if stored.isdisjoint(_parts(name)))
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
            if not name.startswith("__") and not isinstance(value, CODE):
                yield f"{thing.__module__}:{thing.__qualname__}.{name}", value, False
        return
    space, module = thing.__globals__, thing.__module__
    names, attributes, changed = _facts(thing.__code__)
    if thing.__name__ not in MAKING:  # which give a new object its attributes
        yield from ((name, None, True) for name in attributes)
    yield from ((name, None, True) for name in changed if name.startswith("."))
    for cell in thing.__closure__ or ():
        try:
            yield "", cell.cell_contents, False
        except ValueError:  # it has no content yet
            continue
    for name, assigns in names:
        if name not in space:
            continue
        value = space[name]
        if not isinstance(value, ModuleType):
            yield f"{module}:{name}", value, assigns or (name in changed and isinstance(value, list | dict))
        elif _is_of_user(value.__name__):
            inner = ((other, vars(value).get(other)) for other, _ in names)
            yield from ((f"{value.__name__}:{other}", own, False) for other, own in inner if own is not None)


def _settings_in(name: str, value: object, depth: int = 0) -> Iterator[tuple[str, object]]:
    """Yield the name and value of each setting in what a global or an attribute holds."""
    if _is_plain(value):
        yield name, value
    elif isinstance(value, list):
        if len(value) <= MOST_ENTRIES and all(map(_is_plain, value)):
            yield name, value
    elif isinstance(value, dict):
        if len(value) <= MOST_ENTRIES and depth < DEEPEST:
            for key, entry in list(value.items()):
                yield from _settings_in(f"{name}[{key!r}]", entry, depth + 1)
    elif not isinstance(value, CODE) and (type(value) in SIMPLE or all(map(_is_of_user, _modules(value)))):
        yield from ((f"{name}.{key}", entry) for key, entry in list(vars(value).items()) if _is_plain(entry))


def _modules(value: object) -> list[str]:
    """Return the modules of the classes of an object that may have attributes; one of none if it may not."""
    return [kind.__module__ for kind in type(value).__mro__[:-1]] if hasattr(value, "__dict__") else [""]


def _parts(name: str) -> Iterator[str]:
    """Yield by which names a setting may be stored.

    >>> list(_parts("mine:CONFIG['a']")), list(_parts("mine:Settings.size"))
    (["mine:CONFIG['a']", 'mine:CONFIG'], ['mine:Settings.size', 'mine:Settings.size', '.size'])
    """
    yield from (name, name.partition("[")[0])
    if "." in (path := name.partition("[")[0].rpartition(":")[2]):
        yield f".{path.rpartition('.')[2]}"


def _is_plain(value: object) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else isinstance(value, PLAIN)


Facts = tuple[tuple[tuple[str, bool], ...], frozenset[str], frozenset[str]]


@lru_cache(maxsize=2000)
def _facts(code: CodeType) -> Facts:
    """Return what code and the functions inside it use and change.

    Returns
    -------
    names:
        The names that they use, and whether they assign a global of this name.
    attributes:
        The attributes that they assign, each with a dot before it.
    changed:
        The globals, and the attributes with a dot, whose entries they change.
    """
    assigned, attributes, changed = set[str](), set[str](), set[str]()
    last, before = "", ""  # what was loaded last, also if the last instruction has loaded it
    for one in dis.get_instructions(code):
        name = one.argval if isinstance(one.argval, str) else ""
        changes = before and name in CHANGING and one.opname in ("LOAD_METHOD", "LOAD_ATTR")
        if one.opname in ("STORE_SUBSCR", "DELETE_SUBSCR") or changes:
            changed.add(last)
        elif one.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            assigned.add(name)
        elif one.opname in ("STORE_ATTR", "DELETE_ATTR"):
            attributes.add(f".{name}")
        is_global, is_attribute = one.opname in ("LOAD_GLOBAL", "LOAD_NAME"), one.opname == "LOAD_ATTR" and not changes
        before = name if is_global else f".{name}" if is_attribute else ""
        last = before or last
    names = [(name, name in assigned) for name in code.co_names]
    for inner in filter(lambda one: isinstance(one, CodeType), code.co_consts):
        more, own, entries = _facts(inner)
        names += more
        attributes |= own
        changed |= entries
    return tuple(names), frozenset(attributes), frozenset(changed)


def _is_of_user(name: Any) -> bool:
    """Whether a module is neither installed nor a part of Python."""
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or name.partition(".")[0] in LIBRARIES or name.partition(".")[0] in sys.stdlib_module_names:
        return bool(name == "__main__")
    if vars(module).get("__file__") is not None:
        return file_of_user(name, module) is not None
    return not hasattr(module, "__path__")  # such as that of a notebook
