"""Plugins by name: the entry points that installed distributions register in the groups of alkit.

There is one group each for strategies, feature extractors, learners and stopping rules. Listing names reads metadata
and imports nothing; a plugin is imported when it is asked for. alkit finds its own parts in the same way.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from alkit.configuration.parameters import convert, in_words, kinds_of
from alkit.configuration.parts import PARTS
from alkit.errors import AlkitError, ConfigurationError, UnknownNameError, failure_in_words, nearest, one_line

RESERVED = frozenset({*PARTS, "reconstruction"})
"""Names that mean a part of alkit in a strategy file (:mod:`alkit.strategies.toml`); a strategy needs its full name."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of entry points.

    Parameters
    ----------
    name:
        Name of the group.
    noun, plural:
        Words for one plugin and for several, for messages.
    reserved:
        Short names that no plugin can have.
    """

    name: str
    noun: str
    plural: str
    reserved: frozenset[str] = frozenset()


STRATEGIES = Group("alkit.strategies", "strategy", "strategies", RESERVED)
FEATURES = Group("alkit.features", "feature extractor", "feature extractors")
LEARNERS = Group("alkit.learners", "learner", "learners")
STOPPING_RULES = Group("alkit.stopping_rules", "stopping rule", "stopping rules")
GROUPS = (STRATEGIES, FEATURES, LEARNERS, STOPPING_RULES)


def list_plugins(group: Group) -> dict[str, EntryPoint]:
    """Return the entry points of all plugins of a group by name, without importing them.

    A name that two distributions register, or that is reserved, appears as ``distribution:name`` for each of them and
    not on its own. A name that one distribution gives to two objects appears as ``distribution:name=object``. Metadata
    is read again after something was installed.
    """
    return dict(_by_group(entry_points, tuple(map(_stamp, sys.path)))[group.name])


@functools.lru_cache(maxsize=8)
def _by_group(
    read: Callable[..., Iterable[EntryPoint]], stamps: tuple[object, ...]
) -> dict[str, dict[str, EntryPoint]]:
    """Return the entry points by group and name. Reading metadata takes a hundred times as long as all else here."""
    return {group.name: _by_name(read(group=group.name), group.reserved) for group in GROUPS}


def _stamp(place: str) -> object:
    """Return a value that changes when a distribution is installed in a place of ``sys.path``."""
    place = place or os.curdir
    try:
        return _distributions(place, os.stat(place).st_mtime_ns)
    except OSError:
        return place


@functools.lru_cache(maxsize=64)
def _distributions(place: str, changed: int) -> tuple[object, ...]:
    """Return the folders of metadata in a place, with their times; a file such as an archive has its own time."""
    if not os.path.isdir(place):
        return place, changed
    with os.scandir(place) as entries:
        found = sorted(
            (it.name, it.stat().st_mtime_ns) for it in entries if it.name.endswith((".dist-info", ".egg-info"))
        )
    return place, *found


def _by_name(points: Iterable[EntryPoint], reserved: frozenset[str]) -> dict[str, EntryPoint]:
    owners_of: dict[str, dict[str, dict[str, EntryPoint]]] = {}
    for point in points:
        owners_of.setdefault(point.name, {}).setdefault(distribution(point), {})[point.value] = point
    by_name: dict[str, EntryPoint] = {}
    for name, owners in sorted(owners_of.items()):
        for owner, values in sorted(owners.items()):
            alone = len(owners) == len(values) == 1 and name not in reserved
            short = name if alone else f"{owner}:{name}"
            for value, point in sorted(values.items()):
                by_name[short if len(values) == 1 else f"{short}={value}"] = point
    return by_name


def distribution(point: EntryPoint) -> str:
    """Return the name of the distribution of an entry point, or ``?`` if its metadata has none."""
    return _metadata(point, "name")


def version(point: EntryPoint) -> str:
    """Return the version of the distribution of an entry point, or ``?`` if its metadata has none."""
    return _metadata(point, "version")


def _metadata(point: EntryPoint, field: str) -> str:
    """Read metadata that may be missing; the error for that depends on the version of Python."""
    try:
        value = getattr(point.dist, field, None)
    except Exception:
        return "?"
    return one_line(value) if isinstance(value, str) and value else "?"


def owner_of(thing: object) -> str:
    """Return ``" of "`` and the distribution that registers a plugin of the same package, or ``""``."""
    package = str(getattr(thing, "__module__", "")).partition(".")[0]
    for group in GROUPS:
        for point in list_plugins(group).values():
            if package_of(point) == package:
                return f" of {distribution(point)}"
    return ""


def package_of(point: EntryPoint) -> str:
    """Return the top-level package of an entry point."""
    return point.value.partition(":")[0].partition(".")[0]


def plugin_packages() -> set[str]:
    """Return the top-level packages of all plugins."""
    return {package_of(point) for group in GROUPS for point in list_plugins(group).values()}


def plugins_of(package: str) -> list[tuple[Group, EntryPoint]]:
    """Return the entry points of all groups whose objects are in a top-level package."""
    return [
        (group, point) for group in GROUPS for point in list_plugins(group).values() if package_of(point) == package
    ]


def create(name: str, group: Group, parameters: Mapping[str, object]) -> object:
    """Find a plugin by name, import it, and call it with parameters.

    Raises
    ------
    UnknownNameError
        No plugin of the group has this name; the message lists the nearest names.
    ConfigurationError
        `name` is not a string; or as :func:`find`, :func:`load` and :func:`call`.
    """
    if not isinstance(name, str):
        raise ConfigurationError(
            f"name of the {group.noun} must be a string",
            got=f"the class {name.__name__}" if isinstance(name, type) else f"an object of type {type(name).__name__}",
            hint=f"the name of an installed {group.noun}, such as {next(iter(list_plugins(group)), 'my-name')!r}",
        )
    return call(name, load(find(name, group), group), parameters, group)


def find(name: str, group: Group = STRATEGIES) -> EntryPoint:
    """Return the entry point of a plugin. The name of its distribution may be spelled in any way that pip accepts.

    Raises
    ------
    UnknownNameError
        No plugin of the group has this name; the message lists the nearest names.
    ConfigurationError
        Two distributions register the name, one distribution registers it twice, or it is reserved.
    """
    known = list_plugins(group)
    if name in known:
        return known[name]
    owner, colon, short = name.partition(":")
    full = {
        key: point
        for key, point in known.items()
        if point.name == name or (colon and point.name == short and _normal(distribution(point)) == _normal(owner))
    }
    if colon and len(full) == 1:
        return next(iter(full.values()))
    if not full:
        raise UnknownNameError(f"{group.noun} {name!r} is not installed", hint=nearest(name, known))
    owners = {distribution(point) for point in full.values()}
    if len(owners) > 1:
        problem = f"{len(owners)} distributions register a {group.noun} {name!r}"
    elif len(full) > 1:
        problem = f"{next(iter(owners))} registers {len(full)} {group.plural} {name!r}"
    else:
        problem = f"{name!r} is the name of a part of alkit and of a {group.noun} of {next(iter(owners))}"
    raise ConfigurationError(problem, hint="the full name: " + " or ".join(full))


def _normal(distribution: str) -> str:
    """Spell the name of a distribution as package indices compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def load(point: EntryPoint, group: Group = STRATEGIES) -> Callable[..., object]:
    """Import the class or function of an entry point.

    Raises
    ------
    ConfigurationError
        It cannot be imported, or cannot be called.
    """
    try:
        factory = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as reason:  # a plugin may fail in any way and must not end alkit
        raise ConfigurationError(
            f"{_full_name(point, group)} cannot be imported ({failure_in_words(reason)})"
        ) from reason
    if not callable(factory):
        raise ConfigurationError(
            f"{_full_name(point, group)} cannot be made from {point.value}",
            got=f"a {type(factory).__name__}",
            expected="a class or a function",
            hint="package:Class on the right side of the entry point",
        )
    return cast("Callable[..., object]", factory)


def _full_name(point: EntryPoint, group: Group) -> str:
    return f"{group.noun} {point.name!r} of {distribution(point)}"


def call(
    name: str, factory: Callable[..., object], parameters: Mapping[str, object], group: Group = STRATEGIES
) -> object:
    """Call a factory with parameters whose names and types are checked and converted: see :func:`convert`.

    Raises
    ------
    ConfigurationError
        A parameter is unknown, missing, or of another type; or the factory has no signature, or fails.
    """
    accepted = parameters_of(name, factory, group)
    if not any(entry.kind is entry.VAR_KEYWORD for entry in inspect.signature(factory).parameters.values()):
        for parameter in parameters:
            if parameter not in accepted:
                close = get_close_matches(parameter, accepted, n=3, cutoff=0.5)
                raise ConfigurationError(
                    f"{group.noun} {name!r} has no parameter {parameter!r}",
                    expected=f"one of {', '.join(accepted)}" if accepted else None,
                    hint=(" or ".join(map(repr, close)) or None)
                    if accepted
                    else f"leave it out, because this {group.noun} takes none",
                )
    if missing := [key for key, entry in accepted.items() if entry.default is entry.empty and key not in parameters]:
        selects = group is STRATEGIES and missing[:3] == ["view", "n", "rng"]
        raise ConfigurationError(
            f"{group.noun} {name!r} needs a value for {', '.join(missing)}",
            hint="register a function that returns this one, which is itself the strategy" if selects else None,
        )
    arguments = dict(parameters)
    for parameter, kind in kinds_of(factory).items():
        if parameter in arguments:
            value = arguments[parameter]
            try:
                arguments[parameter] = convert(value, kind)
            except ValueError:
                raise ConfigurationError(
                    f"{parameter} of {group.noun} {name!r} must be of type {in_words(kind)}",
                    got=f"{value!r} of type {type(value).__name__}",
                ) from None
    try:
        return factory(**arguments)
    except AlkitError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as reason:  # as at import, a plugin may fail in any way
        raise ConfigurationError(
            f"{group.noun} {name!r}{owner_of(factory)} cannot be made ({failure_in_words(reason)})",
            hint="see the traceback",
        ) from reason


def parameters_of(name: str, factory: Callable[..., object], group: Group = STRATEGIES) -> dict[str, inspect.Parameter]:
    """Return the parameters of a factory by name, without ``*args`` and ``**kwargs``.

    Raises
    ------
    ConfigurationError
        Python cannot read the signature of the factory.
    """
    try:
        entries = inspect.signature(factory).parameters
    except (TypeError, ValueError) as reason:
        raise ConfigurationError(
            f"{group.noun} {name!r} does not say what parameters it takes ({reason})",
            hint="register a class or a function that is written in Python",
        ) from reason
    return {key: entry for key, entry in entries.items() if entry.kind not in (entry.VAR_POSITIONAL, entry.VAR_KEYWORD)}
