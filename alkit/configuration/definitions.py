"""The code of the user behind a written form, definition by definition, so that an edit can be named.

The source of a class or function is read, and so are the definitions of the user that it refers to: functions, classes
and constants of its module and of modules that this one imports. A setting that the program has changed counts by
its value. Comments, docstrings and the form of the text do not count, and neither does other code in the same files.
What a program finds by a name that it makes while it runs, such as ``getattr(module, "score_" + name)``, is not seen.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from alkit.configuration.code import addresses, as_file_of_user, changed_since_start, file_of_user
from alkit.configuration.constants import changed_in, definition_of
from alkit.configuration.forms import Written, opaque_parts

MOST = 1000
"""Most definitions that are followed."""

LIBRARIES = ("alkit", "torch", "numpy")
"""Packages whose code is not compared."""

_read: dict[str, tuple[object, _Source | None]] = {}  # by module: how it was loaded, and its source at that time


@dataclass(frozen=True)
class _Source:
    """The definitions of a module, and what its names stand for in other modules: a module, and a name in it or None.

    Of a module from which all names are imported, only the module is known.
    """

    package: str = ""
    definitions: dict[str, ast.AST] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)


def definitions_of(form: Written) -> dict[str, str]:
    """Return a digest of each definition of the user's code behind a form, by address, and versions of packages.

    Classes and functions of alkit, of Python and of torch and numpy are left out. What cannot be told is left out, too,
    such as functions of a notebook, and files that were changed between the start of the program and the first call.

    >>> definitions_of({"is": "alkit:LabelSpec", "with": {"classes": ["skin", "lesion"]}})
    {}
    """
    found: dict[str, str] = {}
    changed = functools.cache(changed_in)
    for module, name, node in _behind(form):
        if node is not None:
            with suppress(RecursionError):  # of an expression that is nested very deeply
                found[f"{module}:{name}"] = _digest(node)
            own = {setting: now for setting, (_, now) in changed(module).items() if definition_of(setting) == name}
            if own:
                now = own[name] if name in own else [found.get(f"{module}:{name}"), *own.items()]
                found[f"{module}:{name}"] = hashlib.sha256(repr(now).encode()).hexdigest()[:16]
        elif name == "" and (version := _version(module)) is not None:
            found[module.partition(".")[0]] = version
    return dict(sorted(found.items()))


def untold(*forms: Written) -> list[str]:
    """Return the addresses of the user's code behind some forms that cannot be told, so that no edit would be seen.

    Such are functions of a notebook, which have no file; lambdas, functions inside others and objects without a written
    form, which may hold anything; and files that were changed between the start of the program and the first call.

    >>> untold({"is": "alkit:LabelSpec", "with": {"classes": ["skin", "lesion"]}})
    []
    """
    found = {f"{module}:{name}" for module, name, _ in _behind(list(forms)) if name and _is_hidden(module)}
    opaque = {address for form in forms for address in opaque_parts(form)}
    for address in set(addresses(list(forms))):
        module, _, name = address.partition(":")
        source = _source(module)
        known = source is not None and address not in opaque and name.partition(".")[0] in source.definitions
        if _is_hidden(module) or (source is not None and not known):
            found.add(address)
    return sorted(found)


def _behind(form: Written) -> Iterator[tuple[str, str, ast.AST | None]]:
    """Yield module, name and source of what a form names and of what that refers to; None for the source of others.

    The name is empty for a module that the form names and that is not the user's.
    """
    left: list[tuple[str, str]] = []
    for address in sorted(set(addresses(form))):
        module, _, name = address.partition(":")
        if _source(module) is not None:
            left.append((module, name.partition(".")[0]))
        else:
            yield module, "", None
    seen = set(left)
    while left and len(seen) < MOST:
        module, name = left.pop()
        source = _source(module)
        node = None if source is None else source.definitions.get(name)
        yield module, name, node
        for other in () if source is None or node is None else _references(source, node, module):
            if other not in seen:
                seen.add(other)
                left.append(other)


def _is_hidden(name: str) -> bool:
    """Whether a module is the user's, and its source cannot be told."""
    module, top = sys.modules.get(name), name.partition(".")[0]
    if not isinstance(module, ModuleType) or top in LIBRARIES or top in sys.stdlib_module_names:
        return False
    if vars(module).get("__file__") is not None:
        return file_of_user(name, module) is not None and _source(name) is None
    return not hasattr(module, "__path__") and _version(name) is None  # such as that of a notebook


def own_definitions(*forms: Written) -> dict[str, str]:
    """Return a digest of each definition of the user's code behind some forms, without versions of packages."""
    return {address: digest for address, digest in definitions_of(list(forms)).items() if ":" in address}


def _version(module: str) -> str | None:
    """Return the version of the installed package that has a module, unless it is alkit, Python, torch or numpy."""
    top = module.partition(".")[0]
    if top in (*LIBRARIES, "__main__") or top in sys.stdlib_module_names:
        return None
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(top)
    version = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(version, str):
        return version
    owners = sorted(set(_distributions().get(top, ())))  # whose names may be others than that of the package
    return ", ".join(f"{owner} {importlib.metadata.version(owner)}" for owner in owners) or None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the names of the distributions of each package. Reading them takes a second, and few packages need it."""
    return importlib.metadata.packages_distributions()


def _source(name: str) -> _Source | None:
    """Return the source of a module of the user as it was loaded; None if it cannot be told."""
    if (module := sys.modules.get(name)) is None:  # a function may import it when it runs
        return _source_to_load(name)
    if not isinstance(module, ModuleType):  # some packages put other objects there
        return None
    spec = vars(module).get("__spec__")
    if name not in _read or _read[name][0] is not spec:
        package = str(vars(module).get("__package__") or "")
        _read[name] = spec, _parsed(file_of_user(name, module), package, again=name in _read)
    return _read[name][1]


def _source_to_load(name: str) -> _Source | None:
    """Return the source of a module of the user that is not loaded; None if there is none, or its package is not."""
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:  # to look for the module would load it
        return None
    with suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and spec.has_location:
            return _parsed(as_file_of_user(name, Path(spec.origin)), spec.parent or "", again=True)
    return None


def _parsed(file: Path | None, package: str, *, again: bool) -> _Source | None:
    """Return the source in the file of a module of the user.

    Parameters
    ----------
    file:
        The file; None if the module is not the user's.
    package:
        The package of the module.
    again:
        Whether the file counts as it is now, because the module will be loaded, or has just been loaded again.
    """
    try:
        if file is None or file.suffix != ".py" or (changed_since_start(file) and not again):
            return None
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
    found = _Source(package=package)
    _collect(tree.body, found, package)
    return found


def _collect(body: list[ast.stmt], found: _Source, package: str) -> None:
    """Collect the definitions and imports of a module, those inside ``if``, ``try`` and ``with`` included."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.definitions[name] = node
            case ast.Assign(targets=targets):
                for target in targets:
                    found.definitions.update((one.id, node) for one in ast.walk(target) if isinstance(one, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.definitions[name] = node
            case ast.Import() | ast.ImportFrom():
                _add_imports(node, found, package)
            case _:
                for inner in ("body", "orelse", "finalbody"):
                    _collect(getattr(node, inner, []), found, package)
                for handler in getattr(node, "handlers", []):
                    _collect(handler.body, found, package)


def _add_imports(node: ast.Import | ast.ImportFrom, found: _Source, package: str) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            whole = alias.name if alias.asname else alias.name.partition(".")[0]
            found.imports[alias.asname or whole] = whole, None
        return
    origin = node.module or ""
    if node.level:
        with suppress(ImportError, ValueError):
            origin = importlib.util.resolve_name("." * node.level + origin, package)
    for alias in node.names:
        if alias.name == "*":
            found.stars.append(origin)
        else:
            found.imports[alias.asname or alias.name] = origin, alias.name


def _references(source: _Source, node: ast.AST, module: str) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each definition that a node may refer to."""
    inside = _Source(imports=dict(source.imports))
    for part in ast.walk(node):
        if isinstance(part, ast.Import | ast.ImportFrom):
            _add_imports(part, inside, source.package)
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute):
            yield from _of_module(part, inside)
        elif isinstance(part, ast.Name):
            if part.id in source.definitions:
                yield module, part.id
            elif (known := inside.imports.get(part.id)) is not None and known[1] is not None:
                yield known[0], known[1]
            else:
                yield from ((star, part.id) for star in (*source.stars, *inside.stars))


def _of_module(part: ast.Attribute, source: _Source) -> Iterator[tuple[str, str]]:
    """Yield what an attribute such as ``helper.score`` or ``package.helper.score`` refers to."""
    names = [part.attr]
    value = part.value
    while isinstance(value, ast.Attribute):
        names.append(value.attr)
        value = value.value
    if not isinstance(value, ast.Name) or (known := source.imports.get(value.id)) is None:
        return
    module = known[0] if known[1] is None else f"{known[0]}.{known[1]}"
    *path, name = reversed(names)
    yield ".".join([module, *path]), name


@functools.lru_cache(maxsize=2000)
def _digest(node: ast.AST) -> str:
    return hashlib.sha256(json.dumps(_dump(node)).encode()).hexdigest()[:16]


def _dump(value: object) -> Any:
    """Return a syntax tree without positions, docstrings and empty fields, equal in all versions of Python."""
    if isinstance(value, ast.AST):
        fields = [(name, entry) for name, entry in ast.iter_fields(value) if name not in ("ctx", "kind")]
        return [type(value).__name__, *([name, _dump(entry)] for name, entry in fields if entry not in (None, []))]
    if isinstance(value, list):
        match value:
            case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                value = rest
        return [_dump(entry) for entry in value]
    return repr(value)
