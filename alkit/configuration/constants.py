"""Settings in the user's modules that have another value than their source says.

A program may set them, for example from its arguments: ``mine.FACTOR = 2``, ``mine.CONFIG["rate"] = 0.1`` or
``mine.Settings.size = 64``. No record and no other process sees that: a worker loads the module again, with the values
in the source.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from types import ModuleType
from typing import Any

from alkit.configuration.code import changed_since_start, file_of_user

NAME, KEY = "name", "key"

Place = tuple[tuple[str, Any], ...]
"""The name of a definition, and the names of attributes and the keys that lead from there to a setting."""

MAKERS = {"dict": KEY, "SimpleNamespace": NAME, "Namespace": NAME}
"""Classes whose objects hold the arguments of their call, and how."""

GROWING = frozenset({"append", "extend", "insert", "add", "setdefault", "pop", "popitem", "remove", "discard", "clear"})
"""Methods of lists and mappings that are logs and memories rather than settings."""

_read: dict[str, tuple[object, dict[Place, Any]]] = {}  # by module: how it was loaded, and its settings


def changed_constants() -> dict[str, tuple[Any, Any]]:
    """Return the value in the source and the present one of each setting that differs, by address.

    Settings are numbers, texts, bytes, truth values, and lists and tuples of these, written at the top of a module that
    is loaded and not installed: constants, entries of a mapping, attributes of a class, and those of an object that a
    namespace or a class without ``__init__`` makes. They are assigned once. Counters are left out.
    """
    return {f"{name}:{setting}": pair for name in list(sys.modules) for setting, pair in changed_in(name).items()}


def changed_in(name: str) -> dict[str, tuple[Any, Any]]:
    """Return the value in the source and the present one of each setting of one module that differs, by its name.

    The name is such as ``FACTOR``, ``CONFIG['rate']`` or ``Settings.size``.
    """
    found, module = {}, sys.modules.get(name)
    if isinstance(module, ModuleType):
        for place, value in _settings(name, module).items():
            with suppress(LookupError):
                now = _present(module, place)
                if (now is None or _is_plain(now)) and not _is_same(now, value):
                    found[_shown(place)] = value, now
    return found


def _is_same(now: object, value: object) -> bool:
    """Return whether a value is that of the source: ``True`` is not 1, but a number of a class of its own may be."""
    return now == value and (type(now) is type(value) or type(now) not in (bool, int, float, complex))


def definition_of(setting: str) -> str:
    """Return the name of the definition that a setting belongs to.

    >>> definition_of("FACTOR"), definition_of("CONFIG['rate']"), definition_of("Settings.size")
    ('FACTOR', 'CONFIG', 'Settings')
    """
    return setting.partition("[")[0].partition(".")[0]


def _shown(place: Place) -> str:
    return "".join(f"[{part!r}]" if kind == KEY else f".{part}" for kind, part in place).removeprefix(".")


def _present(module: ModuleType, place: Place) -> Any:
    """Return the present value of a setting; raise a :class:`LookupError` if it was deleted."""
    value: Any = module
    for kind, part in place:
        if kind == KEY and not isinstance(value, Mapping):
            raise LookupError(part)
        value = value[part] if kind == KEY else getattr(value, "__dict__", {})[part]
    if isinstance(value, Enum):  # it is equal to the value in the source
        raise LookupError(place)
    return value


def _settings(name: str, module: ModuleType) -> dict[Place, Any]:
    """Return the settings in the source of a module; none if it is not the user's, or cannot be told."""
    spec = vars(module).get("__spec__")
    if name not in _read or _read[name][0] is not spec:
        known: dict[Place, Any] = {}
        file = file_of_user(name, module)
        with suppress(OSError, SyntaxError, ValueError, RecursionError):
            if file is not None and file.suffix == ".py" and not changed_since_start(file):
                known = _of_source(ast.parse(file.read_bytes()))
        _read[name] = spec, known
    return _read[name][1]


def _of_source(tree: ast.Module) -> dict[Place, Any]:
    """Return the values in the source of a module by their places."""
    top = [node for node in tree.body if not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))]
    classes = {node.name: node for node in top if isinstance(node, ast.ClassDef)}
    found = dict(_in_body(top, {name: node for name, node in classes.items() if _is_simple(node)}))
    for name, node in classes.items():
        found |= {((NAME, name), *place): value for place, value in _in_body(node.body, {})}
    counted = set(_counted(tree))
    return {place: value for place, value in found.items() if counted.isdisjoint(_parts(place))}


def _in_body(body: Sequence[ast.stmt], classes: Mapping[str, ast.ClassDef]) -> Iterator[tuple[Place, Any]]:
    """Yield the settings that the body of a module or a class assigns once."""
    stored = Counter(
        part.id
        for node in body
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    )
    for node in body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if stored[name] == 1 and not name.startswith("__"):
                    yield from ((((NAME, name), *place), plain) for place, plain in _in_value(value, classes))


def _in_value(value: ast.expr, classes: Mapping[str, ast.ClassDef]) -> Iterator[tuple[Place, Any]]:
    """Yield the settings in an expression: itself, the entries of a mapping, or the attributes of an object."""
    parts: dict[tuple[str, Any], ast.expr] = {}
    match value:
        case ast.Dict(keys=keys, values=entries):
            for key, entry in zip(keys, entries, strict=True):
                if isinstance(key, ast.Constant):
                    parts[KEY, key.value] = entry
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[], keywords=given):
            if name in MAKERS or name in classes:
                parts = {(MAKERS.get(name, NAME), entry.arg): entry.value for entry in given if entry.arg is not None}
            if name in classes:
                own = _in_body(classes[name].body, {})
                yield from ((place, plain) for place, plain in own if place[0] not in parts)
        case _:
            with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                if _is_plain(found := ast.literal_eval(value)) and found != []:  # an empty list will be filled
                    yield (), found
    for part, entry in parts.items():
        yield from (((part, *place), plain) for place, plain in _in_value(entry, classes))


def _is_simple(node: ast.ClassDef) -> bool:
    """Return whether objects of a class have its attributes, or those that they are made with."""
    made_by = {"__init__", "__new__", "__post_init__"}
    return not node.bases and not any(isinstance(part, ast.FunctionDef) and part.name in made_by for part in node.body)


def _counted(tree: ast.Module) -> Iterator[str]:
    """Yield what a module counts or collects while it runs, as :func:`_parts` names it."""
    for node in ast.walk(tree):
        match node:
            case ast.AugAssign(target=target):
                pass
            case ast.Call(func=ast.Attribute(value=target, attr=name)) if name in GROWING:
                pass
            case _:
                continue
        if isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Constant):
            target = target.value
        yield f".{target.attr}" if isinstance(target, ast.Attribute) else ast.unparse(target)


def _parts(place: Place) -> Iterator[str]:
    """Yield the source of a setting and of what it is in; of attributes the name, because any object may have them."""
    yield from (_shown(place[:end]) for end in range(1, len(place) + 1))
    yield from (f".{part}" for kind, part in place[1:] if kind == NAME)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | complex | str | bytes)
