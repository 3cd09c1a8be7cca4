"""Every public function, class and method of alkit, found through the names that its namespaces offer."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from typing import Any

import alkit
from alkit.arguments.annotations import evaluate


@dataclass(frozen=True)
class Public:
    """A public callable: its address, the callable, and the types that its parameters declare."""

    address: str
    thing: Any
    declared: dict[str, Any]

    @property
    def is_method(self) -> bool:
        return inspect.isfunction(self.thing) and "." in self.thing.__qualname__


def public_callables() -> list[Public]:
    seen: set[int] = set()
    found = []
    for address, thing in _offered():
        if id(thing) not in seen and not (isinstance(thing, type) and thing.__init__ is object.__init__):
            seen.add(id(thing))
            found.append(Public(address, thing, _declared(thing)))
    return found


def _offered() -> Iterator[tuple[str, Any]]:
    top = {name: getattr(alkit, name) for name in sorted(alkit.__all__)}
    for name, thing in top.items():
        if not inspect.ismodule(thing):
            yield from _with_methods(f"alkit.{name}", thing)
    for name, module in top.items():
        if inspect.ismodule(module):
            own = [key for key, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
            for public in sorted(getattr(module, "__all__", None) or own):
                if not public.startswith("_"):
                    yield from _with_methods(f"alkit.{name}.{public}", getattr(module, public))


def _with_methods(address: str, thing: Any) -> Iterator[tuple[str, Any]]:
    if inspect.isfunction(thing) and thing.__module__.startswith("alkit"):
        yield address, thing
    if not isinstance(thing, type) or not thing.__module__.startswith("alkit"):
        return
    if getattr(thing, "_is_protocol", False) or issubclass(thing, enum.Enum | BaseException):
        return
    yield address, thing
    for name in sorted(dir(thing)):
        method = inspect.getattr_static(thing, name)
        method = method.fset if isinstance(method, property) else getattr(method, "__func__", method)
        public = not name.startswith("_") or name == "__call__"
        public = public and name not in getattr(thing, "__dataclass_fields__", ())  # that is the default of a field
        if public and inspect.isfunction(method) and method.__module__.startswith("alkit"):
            yield f"{address}.{name}", method


def _declared(thing: Any) -> dict[str, Any]:
    """Return the declared type of each parameter."""
    entries = inspect.signature(thing).parameters.values()
    types = {}
    for entry in entries:
        if entry.name in ("self", "cls"):
            continue
        owners = thing.__mro__ if isinstance(thing, type) and hasattr(thing, "__dataclass_fields__") else ()
        module = next((base.__module__ for base in owners if entry.name in _own(base)), thing.__module__)
        kind = evaluate(entry.annotation, module) if isinstance(entry.annotation, str) else entry.annotation
        types[entry.name] = kind.type if isinstance(kind, InitVar) else kind
    return types


def _own(base: type) -> Any:
    return vars(base).get("__annotations__", ())
