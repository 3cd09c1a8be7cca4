"""Protocols as roles: the members that an object must have, and their names in messages."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

from alkit.arguments.words import with_article

NEEDED = {
    "View": frozenset({"candidates"}),
    "Labelled": frozenset({"ids"}),
    "Predictor": frozenset({"probabilities"}),
}
"""Members that some roles cannot do without; of every other role, all members are needed."""

FUNCTIONS = {"Strategy": "a function of view, n and rng"}
"""Roles that a function may take, too."""


@functools.cache
def members_of(role: type) -> frozenset[str]:
    """Return the names of a protocol's members, those of the protocols it inherits from included."""
    names = [
        name
        for base in role.__mro__[:-1]
        if getattr(base, "_is_protocol", False)
        for name in (*vars(base), *vars(base).get("__annotations__", ()))
        if not name.startswith("_") or name == "__call__" or name in ("__getitem__", "__len__")
    ]
    return frozenset(names)


def missing_members(thing: object, role: type) -> list[str]:
    """Return which members of a protocol an object lacks. A property of the object's class is not computed.

    >>> from typing import Protocol
    >>> class Duck(Protocol):
    ...     def quack(self, times): ...
    >>> missing_members("mallard", Duck), role_in_words(Duck)
    (['quack'], 'a duck, an object with a method quack(times)')
    """
    kind = type(thing)
    # A tensor has methods called select, fit and so on, but is never a part. It can be a row of items.
    if hasattr(kind, "__array__") and not all(name.startswith("__") for name in members_of(role)):
        return sorted(members_of(role))
    wanted = NEEDED.get(role.__name__, members_of(role))
    if role.__name__ in FUNCTIONS and callable(thing):
        return []
    return sorted(name for name in wanted if not _has(thing, kind, name))


def _has(thing: object, kind: type, name: str) -> bool:
    if name == "__call__":  # every class has it, from its metaclass
        return callable(thing)
    return hasattr(kind, name) or hasattr(thing, name)


@functools.cache
def role_in_words(role: type) -> str:
    """Name a role and its members, to follow "must be"."""
    noun = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", role.__name__).lower()
    members: list[tuple[str, Any]] = [(name, inspect.getattr_static(role, name, None)) for name in _in_order(role)]
    if [name for name, _ in members] == ["__call__"]:
        return f"{with_article(noun)}, a function or class called as {noun.split()[-1]}{_parameters(members[0][1])}"
    attributes = [name for name, member in members if not inspect.isfunction(member)]
    methods = [f"{name}{_parameters(member)}" for name, member in members if inspect.isfunction(member)]
    word = "a method" if len(methods) == 1 else "the methods"
    parts = [*attributes, *([f"{word} {_listed(methods)}"] if methods else [])]
    function = f", or {FUNCTIONS[role.__name__]}" if role.__name__ in FUNCTIONS else ""
    return f"{with_article(noun)}, an object with {_listed(parts)}{function}"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 2 else words)


def _in_order(role: type) -> list[str]:
    members = members_of(role)
    declared = [name for base in role.__mro__ for name in (*vars(base).get("__annotations__", ()), *vars(base))]
    return [name for name in dict.fromkeys(declared) if name in members]


def _parameters(method: Any) -> str:
    """Return the parameters that a method needs, in brackets."""
    entries = list(inspect.signature(method).parameters.values())[1:]
    return f"({', '.join(entry.name for entry in entries if entry.default is entry.empty)})"
