"""Types from the text of annotations."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any, get_type_hints


def evaluate(annotation: str, module: str) -> Any:
    """Return the type that an annotation in a module of alkit names.

    A name that the module imports for type checkers only is imported now. Names inside other types that a module
    cannot see, such as ``Tensor`` in the type of a score, count as ``Any``, so that no check imports torch for them.

    >>> evaluate("Fault | None", "alkit.arguments.kinds").__args__[0].__name__
    'Fault'
    """
    said = SimpleNamespace(__annotations__={"": annotation})
    return get_type_hints(said, {}, _Names(annotation, module))[""]


class _Names(dict[str, Any]):
    """The names that an annotation may use."""

    def __init__(self, annotation: str, module: str) -> None:
        super().__init__(vars(sys.modules[module]))
        self._annotation, self._module = annotation, module

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)  # Python finds it
        hidden = _imports_for_type_checkers(self._module)
        if name not in self._annotation or name not in hidden:
            return Any
        found = import_module(hidden[name][0])
        return getattr(found, hidden[name][1]) if hidden[name][1] else found


@functools.cache
def _imports_for_type_checkers(module: str) -> dict[str, tuple[str, str]]:
    """Return the module and the object of each name that a module imports for type checkers only."""
    source = ast.parse(inspect.getsource(sys.modules[module]))
    blocks = [
        node.body
        for node in source.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    found: dict[str, tuple[str, str]] = {}
    for node in (node for block in blocks for node in block):
        if isinstance(node, ast.ImportFrom):
            found.update({alias.asname or alias.name: (str(node.module), alias.name) for alias in node.names})
        elif isinstance(node, ast.Import):
            found.update({alias.asname or alias.name: (alias.name, "") for alias in node.names})
    return found
