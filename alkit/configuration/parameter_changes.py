"""Parameters that a later version of a class or function has added, renamed or removed.

A record contains the parameters of the version that wrote it. The table here states what stands for the others, so that
a later version opens the record and computes what the earlier one did.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from alkit.arguments.checked import checked
from alkit.configuration.addresses import address_of
from alkit.errors import ConfigurationError

T = TypeVar("T", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Changes:
    """What later versions have changed: see :func:`changes`."""

    added: Mapping[str, object] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, object] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.renamed or self.removed)

    def __or__(self, other: Changes) -> Changes:
        return Changes(
            {**self.added, **other.added}, {**self.renamed, **other.renamed}, {**self.removed, **other.removed}
        )


_DECLARED: dict[Any, Changes] = {}


@checked
def changes(
    *,
    added: Mapping[str, object] | None = None,
    renamed: Mapping[str, str] | None = None,
    removed: Mapping[str, object] | None = None,
) -> Callable[[T], T]:
    """Declare, as a decorator, what has changed since records could first contain a class or function.

    Parameters
    ----------
    added:
        By the name of a parameter that was added later the value that stands for it in a record without it: the value
        with which this version does what the version without the parameter did. It need not be the default.
    renamed:
        The present name by each former name.
    removed:
        By the name of a parameter that was removed the value with which the earlier version did what this one does. A
        record with another value is refused.

    Raises
    ------
    ConfigurationError
        `added` or `renamed` names a parameter that the class or function does not have, or `renamed` or `removed` one
        that it still has.

    Examples
    --------
    Version 1 had the parameters `weight`, `fast` and no other. Version 2 can also measure distances by cosine.

    >>> from dataclasses import dataclass
    >>> @changes(added={"metric": "euclidean"}, renamed={"weight": "apart"}, removed={"fast": False})
    ... @dataclass(frozen=True)
    ... class NearTheMiddle:
    ...     apart: float = 0.5
    ...     metric: str = "cosine"
    >>> changes_of(NearTheMiddle).added
    {'metric': 'euclidean'}
    """
    declared = Changes(dict(added or {}), dict(renamed or {}), dict(removed or {}))

    def declare(thing: T) -> T:
        known = parameters_in_records(thing)
        for name in (*declared.added, *declared.renamed.values()):
            if known is not None and name not in known:
                raise ConfigurationError(
                    f"changes of {thing.__qualname__} name {name!r}, which it does not have", expected=", ".join(known)
                )
        for name in (*declared.renamed, *declared.removed):
            if known is not None and name in known:
                raise ConfigurationError(f"changes of {thing.__qualname__} remove {name!r}, which it still has")
        _DECLARED[thing] = _DECLARED.get(thing, Changes()) | declared
        return thing

    return declare


def parameters_in_records(thing: Any) -> dict[str, Any] | None:
    """Return the parameters that a record contains, each with its default; None if a function takes any.

    A parameter without a default has :attr:`inspect.Parameter.empty`.
    """
    try:
        parameters = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return None
    if isinstance(thing, type) and is_dataclass(thing):
        kept = [entry.name for entry in fields(thing) if entry.init and not entry.metadata.get("runtime")]
        return {name: parameters[name].default for name in kept if name in parameters}
    if any(entry.kind is entry.VAR_KEYWORD for entry in parameters.values()):
        return None
    return {name: entry.default for name, entry in parameters.items() if entry.kind is not entry.VAR_POSITIONAL}


def is_unless_default(entry: Field[Any]) -> bool:
    """Whether a field is written only if it differs from its default, so that older forms stay as they are.

    Its metadata are ``{"written": "unless default"}``. Its default is what earlier versions did.
    """
    return bool(entry.metadata.get("written") == "unless default")


def changes_of(thing: Any) -> Changes:
    """Return the declared changes of a class or function; a class has those of its base classes, too."""
    found = Changes()
    if isinstance(thing, type):
        for owner in reversed(thing.__mro__):
            found |= _DECLARED.get(owner, Changes())
        return found
    try:
        return _DECLARED.get(thing, found)
    except TypeError:  # it cannot be hashed
        return found


def parameters_by_position(thing: Any, count: int) -> list[str]:
    """Return the names of the parameters that take so many values by position."""
    try:
        entries = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return []
    return [entry.name for entry in entries if entry.kind in (entry.POSITIONAL_ONLY, entry.POSITIONAL_OR_KEYWORD)][
        :count
    ]


def changed_things() -> dict[str, Any]:
    """Return by address everything with declared changes, subclasses included."""
    found: list[Any] = list(_DECLARED)
    for thing in found:  # which grows meanwhile
        if isinstance(thing, type):
            subclasses: list[Any] = type.__subclasses__(thing)
            found += [other for other in subclasses if other not in found]
    return {address_of(thing): thing for thing in found}
