"""Constants of the user's modules that have another value than their source says.

A program may set them, for example from its arguments: ``mine.FACTOR = 2``. No record and no other process sees that: a
worker loads the module again, with the value in the source.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

from alkit.configuration.code import changed_since_start, file_of_user

_read: dict[str, tuple[object, dict[str, Any]]] = {}  # by module: how it was loaded, and its constants


def changed_constants() -> dict[str, tuple[Any, Any]]:
    """Return the value in the source and the present one of each constant that differs, by address.

    Constants are numbers, texts, bytes, truth values and tuples of these, assigned once and at the top of a module that
    is loaded and not installed. Counters are left out.
    """
    return {f"{name}:{constant}": pair for name in list(sys.modules) for constant, pair in changed_in(name).items()}


def changed_in(name: str) -> dict[str, tuple[Any, Any]]:
    """Return the value in the source and the present one of each constant of one module that differs, by its name."""
    found, module = {}, sys.modules.get(name)
    if isinstance(module, ModuleType):
        for constant, value in _constants(name, module).items():
            now = vars(module).get(constant)
            if _is_plain(now) and (type(now), now) != (type(value), value):
                found[constant] = value, now
    return found


def _constants(name: str, module: ModuleType) -> dict[str, Any]:
    """Return the constants in the source of a module; none if it is not the user's, or cannot be told."""
    spec = vars(module).get("__spec__")
    if name not in _read or _read[name][0] is not spec:
        known: dict[str, Any] = {}
        file = file_of_user(name, module)
        with suppress(OSError, SyntaxError, ValueError, RecursionError):
            if file is not None and file.suffix == ".py" and not changed_since_start(file):
                known = dict(_assigned(ast.parse(file.read_bytes())))
        _read[name] = spec, known
    return _read[name][1]


def _assigned(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of the constants of a module."""
    top = [node for node in tree.body if not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))]
    stored = Counter(
        part.id
        for node in top
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    )
    counters = {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    for node in top:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if stored[name] == 1 and name not in counters:
                    with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                        if _is_plain(found := ast.literal_eval(value)):
                            yield name, found


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | complex | str | bytes)
