"""Objects from written forms.

:func:`build` is for records, which may come from a stranger: it calls only classes that are registered in
:mod:`alkit.configuration.roles`. :func:`rebuild` is for forms that the running program has written itself.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

from alkit.arguments.checked import checked
from alkit.configuration.addresses import FORMER
from alkit.configuration.forms import Written, written_form
from alkit.configuration.parameter_changes import (
    changes_of,
    is_unless_default,
    parameters_by_position,
    parameters_in_records,
)
from alkit.configuration.parameters import convert, kinds_of
from alkit.configuration.roles import PART, Named, find_registered
from alkit.configuration.versions import present_arguments
from alkit.errors import AlkitError, ConfigurationError

Find = Callable[[str, str], Named]
"""A function that returns the object with an address for a role, or raises a :class:`ConfigurationError`."""

Step = Callable[[], Any]
"""A checked part of a form, which is built when it is called."""


@checked
def build(form: Written, role: str, typed: type[Any] | None = None) -> Any:
    """Return the value of a written form from a record.

    The whole form is checked before anything is called. Each name in it must be registered for its place, and every
    other argument is plain data. Lists become tuples and sets become frozen sets. Paths, and members of an enumeration
    of numbers or texts, remain text and numbers. If a field of a dataclass declares another of these types, the value
    has that type.

    Parameters
    ----------
    form:
        The written form.
    role:
        Role of the value: ``pool``, ``learner``, ``strategy``, ``label specification`` or ``set of terms``.
    typed:
        A dataclass that the user names on this machine: the form may name it as a learner, and the parts that its
        parameters declare, as if a plugin registered it.

    Raises
    ------
    ConfigurationError
        The form is opaque or malformed, names an object that a record may not name at this place, or contains a
        parameter that a record may not set. The message names it.

    Examples
    --------
    >>> form = {"is": "alkit:LabelSpec", "with": {"classes": ["skin", "lesion"], "ignore": None, "per": "pixel"}}
    >>> build(form, "label specification").classes
    ('skin', 'lesion')
    >>> build({"partial": {"named": "os:system"}, "args": ["reboot"], "with": {}}, "learner")
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: os:system is not a learner that a record may name
    """
    find = functools.cache(functools.partial(find_registered, typed=typed))  # it reads the metadata of all plugins
    if isinstance(form, dict):
        return _build(form, role, find)
    try:
        _prepare(form, role, "", find)  # whose refusal says more
    except RecursionError as reason:
        raise _too_deep() from reason
    raise _refusal("", f"a value of the type {type(form).__name__} is not a {role} that a record may name")


@checked
def rebuild(form: Written, packages: Collection[str] = ("alkit",)) -> Any:
    """Return the value of a written form that the running program has written itself, never one from a record.

    Parameters
    ----------
    form:
        The written form.
    packages:
        Top-level packages. The form may name all their classes and functions.

    Raises
    ------
    ConfigurationError
        The form is opaque, or names an object that is not in these packages or does not exist any more.
    """
    return _build(form, PART, lambda address, role: Named(_imported(address, packages), role, bare=True))


def _build(form: Written, role: str, find: Find) -> Any:
    try:
        return _prepare(form, role, "", find)()
    except RecursionError as reason:
        raise _too_deep() from reason


def _too_deep() -> ConfigurationError:
    return ConfigurationError("the written form is nested too deeply")


def _prepare(form: Written, role: str, place: str, find: Find) -> Step:
    """Check a form, and return a function that builds it."""
    match form:
        case None | bool() | int() | float() | str():
            return lambda: form
        case list():
            return _collection(tuple, form, role, place, find)
        case {"set": list() as entries, **rest} if not rest:
            return _collection(frozenset, entries, role, place, find)
        case {"items": list() as pairs, **rest} if not rest and all(_is_pair(pair) for pair in pairs):
            return _collection(dict, pairs, role, place, find)
        case {"number": "inf" | "-inf" | "nan" as number, **rest} if not rest:
            return lambda: float(number)
        case {"opaque": name}:
            raise _refusal(place, f"{name} cannot be imported by its name")
        case {"named": str(address), **rest} if not rest:
            return _prepare_name(address, {}, role, place, find)
        case {"partial": {"named": str(address), **inner}, "args": list() as args, "with": dict() as given, **rest} if (
            not rest and not inner
        ):
            return _prepare_partial(address, args, given, role, place, find)
        case {"partial": {"opaque": name}}:
            raise _refusal(place, f"{name} cannot be imported by its name")
        case {"is": str(address), "with": dict() as given, **rest} if not rest:
            return _prepare_object(address, given, role, place, find)
    raise _refusal(place, f"{_shorten(repr(form), 80)} is not a written form")


def _collection(kind: Callable[[Any], Any], forms: Sequence[Written], role: str, place: str, find: Find) -> Step:
    steps = [_prepare(entry, role, place, find) for entry in forms]

    def make() -> Any:
        entries = [step() for step in steps]
        try:
            return kind(entries)
        except TypeError as reason:  # an entry cannot be hashed
            raise _refusal(place, f"a set or mapping cannot be made ({reason})") from reason

    return make


def _is_pair(form: Written) -> bool:
    return isinstance(form, list) and len(form) == 2


def _prepare_name(
    address: str, arguments: Mapping[str, Written], role: str, place: str, find: Find, *, called: bool = False
) -> Step:
    """Prepare a function that is given, not called; `called` says that it is given with arguments."""
    named = _found(address, role, place, find)
    if isinstance(named.thing, type) and is_dataclass(named.thing):
        if not named.bare:
            raise _refusal(place, f"{address} is a class, and a record may only contain objects of it")
    elif not called and changes_of(named.thing).added:
        return _prepare_partial(address, [], {}, role, place, find)
    _check_arguments(named, arguments, place)
    return lambda: named.thing


def _prepare_partial(
    address: str, args: list[Written], given: Mapping[str, Written], role: str, place: str, find: Find
) -> Step:
    named = _found(address, role, place, find)
    given = present_arguments(changes_of(named.thing), given, parameters_by_position(named.thing, len(args)))
    _check_removed(address, named.thing, given, place)
    by_name, positions = dict(given), [f"{address}[{number}]" for number in range(len(args))]
    if named.takes is not None:
        positions = _bind(address, named.thing, args, given, place)
        by_name |= dict(zip(positions, args, strict=True))
    ordered = [
        _prepare(entry, named.role_of(name), _inside(place, name), find)
        for name, entry in zip(positions, args, strict=True)
    ]
    keywords = {name: _prepare(entry, named.role_of(name), _inside(place, name), find) for name, entry in given.items()}
    function = _prepare_name(address, by_name, role, place, find, called=True)

    def make() -> Any:
        return functools.partial(
            function(), *(step() for step in ordered), **{name: step() for name, step in keywords.items()}
        )

    return make


def _prepare_object(address: str, given: Mapping[str, Written], role: str, place: str, find: Find) -> Step:
    named = _found(address, role, place, find)
    made = named.thing
    if not (isinstance(made, type) and is_dataclass(made)):
        raise _refusal(place, f"{address} must be a dataclass")
    given = present_arguments(changes_of(made), given)
    _check_removed(address, made, given, place)
    for name in given:
        _check_field(address, made, name, place)
    _check_arguments(named, given, place)
    steps = {name: _prepare(entry, named.role_of(name), _inside(place, name), find) for name, entry in given.items()}
    _check_missing(address, made, given, place)

    def make() -> Any:
        arguments = {name: step() for name, step in steps.items()}
        for name, kind in kinds_of(made).items():
            if name in arguments:
                with suppress(ValueError):  # the class raises its own error
                    arguments[name] = convert(arguments[name], kind)
        try:
            return made(**arguments)
        except AlkitError:
            raise
        except Exception as reason:  # a class of a plugin may fail in any way
            raise _refusal(place, f"{address} cannot be made ({type(reason).__name__}: {reason})") from reason

    return make


def _found(address: str, role: str, place: str, find: Find) -> Named:
    try:
        return find(address, role)
    except ConfigurationError as reason:
        raise _refusal(place, str(reason)) from reason


def _check_field(address: str, made: Any, name: str, place: str) -> None:
    kept = {entry.name: entry for entry in fields(made) if entry.init}
    if name not in kept:
        raise _refusal(
            place,
            f"{address} has no parameter {name!r}; " + _remedy(made, "renamed=..., removed"),
        )
    if kept[name].metadata.get("runtime"):
        raise _refusal(place, f"{name} of {address} says where to compute, and a record may not set it")


def _check_removed(address: str, thing: Any, given: Mapping[str, Written], place: str) -> None:
    """Refuse a removed parameter that has another value than the one that the present version works with."""
    for name, value in changes_of(thing).removed.items():
        if name in given:
            raise _refusal(
                place,
                f"{address} has no parameter {name!r} any more, and works as with {name}={written_form(value)!r}: got "
                f"{_shorten(repr(given[name]), 80)}; an earlier version of {_package(thing)} opens this record",
            )


def _check_missing(address: str, made: Any, given: Mapping[str, Written], place: str) -> None:
    """Refuse a form without a parameter that has a default: this default need not be that of the form's time."""
    known = parameters_in_records(made) or {}
    optional = {entry.name for entry in fields(made) if is_unless_default(entry)}
    missing = [name for name in known if name not in given and name not in optional]
    if missing and all(known[name] is not inspect.Parameter.empty for name in missing):
        raise _refusal(
            place,
            f"the record has no value for the parameter {missing[0]!r} of {address}, which the version that wrote it "
            f"did not have; {_remedy(made, 'added')}",
        )


def _remedy(thing: Any, kind: str) -> str:
    return (
        f"an earlier version of {_package(thing)} opens this record, and so does a version that declares the change "
        f"with alkit.configuration.changes({kind}=...)"
    )


def _package(thing: Any) -> str:
    return str(getattr(thing, "__module__", "?")).partition(".")[0]


def _check_arguments(named: Named, arguments: Mapping[str, Written], place: str) -> None:
    if named.check is not None:
        try:
            named.check(arguments)
        except ConfigurationError as reason:
            raise _refusal(place, str(reason)) from None


def _bind(
    address: str, function: Callable[..., object], args: list[Written], given: Mapping[str, Written], place: str
) -> list[str]:
    """Return the names of the parameters that take `args`, after a check that the function declares them all."""
    parameters = inspect.signature(function).parameters.values()
    declared = [entry.name for entry in parameters if entry.kind is entry.POSITIONAL_OR_KEYWORD]
    by_name = {entry.name for entry in parameters if entry.kind in (entry.POSITIONAL_OR_KEYWORD, entry.KEYWORD_ONLY)}
    positions = declared[: len(args)]
    if len(positions) < len(args):
        raise _refusal(place, f"{address} has only {len(declared)} parameters: got {len(args)}")
    for name in given:
        if name not in by_name or name in positions:
            raise _refusal(place, f"{address} has no other parameter {name!r}")
    return positions


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}".lstrip(".")


def _refusal(place: str, what: str) -> ConfigurationError:
    """Return an error whose message is one short printable line, because a record may contain any text."""
    text = f"{place}: {what}" if place else what
    return ConfigurationError(_shorten(text if text.isprintable() else repr(text)[1:-1], 400))


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _imported(address: str, packages: Collection[str]) -> Any:
    name = FORMER.get(address, address)
    module, _, path = name.partition(":")
    if module.partition(".")[0] not in packages:
        raise ConfigurationError(
            f"{name} is not in a package that this form may name", expected=", ".join(sorted(packages))
        )
    try:
        thing: Any = importlib.import_module(module)
        for part in path.split("."):
            thing = getattr(thing, part)
            if isinstance(thing, ModuleType):  # a module of a package may import others
                break
    except (ImportError, AttributeError) as reason:
        raise ConfigurationError(f"{name} does not exist any more ({reason})") from reason
    if str(getattr(thing, "__module__", "")).partition(".")[0] not in packages:
        raise ConfigurationError(
            f"{name} is defined in another package", expected=f"one of {', '.join(sorted(packages))}"
        )
    return thing
