"""The decorator of public functions and classes: a wrong argument is an error that names it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection
from dataclasses import InitVar
from typing import TYPE_CHECKING, Any, TypeVar

from alkit.arguments.annotations import evaluate
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from alkit.arguments.kinds import Kind

Thing = TypeVar("Thing", bound=Callable[..., Any])
Made = TypeVar("Made")


def checked(thing: Thing) -> Thing:
    """Check the arguments of a function, method or class against the types that it declares.

    The decorator reads the annotations at the first call. A wrong number of arguments remains a :class:`TypeError` of
    Python. The rules for each type are in :mod:`alkit.arguments.kinds`; ranges are checked by the function itself.

    Raises
    ------
    ConfigurationError
        An argument is of another kind than its parameter declares. The message begins with the parameter.

    Examples
    --------
    >>> @checked
    ... def repeat(text: str, times: int = 2) -> str:
    ...     return text * times
    >>> repeat("ab")
    'abab'
    >>> repeat("ab", "3")
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: times must be an integer: got '3'
    """
    return _apply(thing, ())


def checked_except(*names: str) -> Callable[[Thing], Thing]:
    """Check the arguments as :func:`checked` does, but for the named ones, which the function checks itself.

    >>> @checked_except("times")
    ... def repeat(text: str, times: int) -> str:
    ...     return text * check_integer("times", times, least=0)
    >>> from alkit.checks import check_integer
    >>> repeat("ab", 2.5)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: times must be an integer >= 0: got 2.5
    """
    return lambda thing: _apply(thing, names)


def _apply(thing: Thing, left_out: Collection[str]) -> Thing:
    if isinstance(thing, type):
        thing.__init__ = _checking(thing.__init__, thing, left_out)  # type: ignore[misc]
        return thing
    return _checking(thing, None, left_out)  # type: ignore[return-value]


def make_unchecked(thing: type[Made], *args: Any, **kwargs: Any) -> Made:
    """Return an instance of a checked class without a check of the arguments, for values that were checked before.

    >>> @checked
    ... class Point:
    ...     def __init__(self, x: int) -> None:
    ...         self.x = x
    >>> make_unchecked(Point, 3).x
    3
    """
    made, checking = thing.__new__(thing), vars(thing)["__init__"]
    checking.__wrapped__(made, *args, **kwargs)
    return made


def check_argument(name: str, value: object, declared: Any) -> None:
    """Check one value against a type, as :func:`checked` does for each argument.

    >>> check_argument("members", "3", int)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: members must be an integer: got '3'
    """
    from alkit.arguments.kinds import kind_of

    kind = kind_of(declared)
    if kind is not None:
        _check(name, value, kind)


def _check(name: str, value: object, kind: Kind) -> None:
    fault = kind.fault(name, value)
    if fault is not None:
        from alkit.arguments.hints import hint_for

        raise ConfigurationError(
            f"{fault.place} must be {fault.expected}", got=fault.got, hint=hint_for(fault.expected, fault.value)
        )


def _checking(function: Callable[..., Any], owner: type | None, left_out: Collection[str]) -> Callable[..., Any]:
    parameters = functools.cache(lambda: _Parameters(function, owner, left_out))

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        compiler = getattr(sys.modules.get("torch"), "compiler", None)
        if compiler is not None and compiler.is_compiling():  # torch would compile the checks, too
            return function(*args, **kwargs)
        known = parameters()
        for (name, kind), value in zip(known.positional, args, strict=False):
            if kind is not None and type(value) not in kind.at_once:
                _check(name, value, kind)
        if known.rest is not None:
            for value in args[len(known.positional) :]:
                _check(known.rest[0], value, known.rest[1])
        for name, value in kwargs.items():
            kind = known.named.get(name)
            if kind is not None and type(value) not in kind.at_once:
                _check(name, value, kind)
        return function(*args, **kwargs)

    return wrapper


class _Parameters:
    """The kinds of a function's parameters; None for those whose every argument is right."""

    def __init__(self, function: Callable[..., Any], owner: type | None, left_out: Collection[str]) -> None:
        self.positional: list[tuple[str, Kind | None]] = []
        self.named: dict[str, Kind | None] = {}
        self.rest: tuple[str, Kind] | None = None  # of *names
        for name, entry in inspect.signature(function).parameters.items():
            kind = None if name in left_out else _declared_kind(function, owner, entry)
            if entry.kind is entry.VAR_POSITIONAL:
                self.rest = None if kind is None else (f"each of {name}", kind)
            elif entry.kind is not entry.VAR_KEYWORD:
                if entry.kind is not entry.KEYWORD_ONLY:
                    self.positional.append((name, kind))
                if entry.kind is not entry.POSITIONAL_ONLY:
                    self.named[name] = kind


def _declared_kind(function: Callable[..., Any], owner: type | None, entry: inspect.Parameter) -> Kind | None:
    """Return the kind of a parameter; None if every argument is right."""
    from alkit.arguments.kinds import kind_of  # imports numpy, which the import of alkit does not need

    if entry.annotation is entry.empty:
        return None
    declared: Any = entry.annotation
    if isinstance(declared, str):
        declared = evaluate(declared, _module_of(function, owner, entry.name))
    if isinstance(declared, InitVar):
        declared = declared.type
    return kind_of(declared)


def _module_of(function: Callable[..., Any], owner: type | None, name: str) -> str:
    """Return the module whose names an annotation uses: of a field of a dataclass, that of the class with the field."""
    for base in owner.__mro__ if hasattr(owner, "__dataclass_fields__") and owner is not None else ():
        if name in vars(base).get("__annotations__", ()):
            return base.__module__
    return function.__module__
