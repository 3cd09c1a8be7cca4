"""Plugins by name: whatever an installed distribution registers in an entry-point group of alkit's.

Strategies are in the group ``alkit.strategies``, stopping rules in ``alkit.stopping_rules``; one code finds both.
Names are read from metadata; nothing is imported until a plugin is asked for. alkit's own baselines are found the
same way as anybody else's.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from alkit.configuration.parameters import as_declared, fits, in_words, kinds_of
from alkit.errors import AlkitError, ConfigurationError, UnknownNameError, nearest

GROUP = "alkit.strategies"

RESERVED = frozenset(
    {
        "deterministic", "dropout", "duplicates-last", "filter", "members", "mix", "per-cluster", "reconstruction",
        "stochastic", "then", "uncertainty",
    }
)  # fmt: skip
"""What :mod:`alkit.strategies.toml` calls alkit's own compositions and parts: no strategy's short name."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of plugin.

    Parameters
    ----------
    group:
        Its entry-point group.
    noun:
        What one is called in messages.
    plural:
        What several are called.
    reserved:
        Names that mean something of alkit's own, and no plugin by themselves.
    """

    group: str
    noun: str
    plural: str
    reserved: frozenset[str] = frozenset()


STRATEGIES = Kind(GROUP, "strategy", "strategies", RESERVED)
STOPPING = Kind("alkit.stopping_rules", "stopping rule", "stopping rules")


def registered(kind: Kind) -> dict[str, EntryPoint]:
    """Return the entry points of all plugins of a kind by name, importing none, as :func:`strategies` does."""
    return _named(entry_points(group=kind.group), kind.reserved)


def _named(found: Iterable[EntryPoint], reserved: frozenset[str]) -> dict[str, EntryPoint]:
    by_name: dict[str, dict[str, dict[str, EntryPoint]]] = {}
    for point in found:
        by_name.setdefault(point.name, {}).setdefault(distribution(point), {})[point.value] = point
    named: dict[str, EntryPoint] = {}
    for name, owners in sorted(by_name.items()):
        for owner, points in sorted(owners.items()):
            alone = len(owners) == len(points) == 1 and name not in reserved
            short = name if alone else f"{owner}:{name}"
            for value, point in sorted(points.items()):
                named[short if len(points) == 1 else f"{short}={value}"] = point
    return named


def distribution(point: EntryPoint) -> str:
    """Return the name of the distribution that registered an entry point; ``?`` where it does not say."""
    return _said(point, "name")


def version(point: EntryPoint) -> str:
    """Return the version of the distribution that registered an entry point; ``?`` where it does not say."""
    return _said(point, "version")


def whose(thing: object) -> str:
    """Return ``" of "`` and the distribution that registers something of the same package; nothing where none does."""
    package = str(getattr(thing, "__module__", "")).partition(".")[0]
    for kind in (STRATEGIES, STOPPING):
        for point in entry_points(group=kind.group):
            if point.value.partition(":")[0].partition(".")[0] == package:
                return f" of {distribution(point)}"
    return ""


def _said(point: EntryPoint, what: str) -> str:
    """Read metadata that may be missing; which way it then fails depends on the version of Python."""
    try:
        value = getattr(point.dist, what, None)
    except Exception:
        return "?"
    return value if isinstance(value, str) and value else "?"


def made(
    name: str, factory: Callable[..., object], parameters: Mapping[str, object], kind: Kind = STRATEGIES
) -> object:
    """Call a factory with parameters that were checked by name and type.

    What a file or a command line cannot write comes as the type that is asked for: see :func:`as_declared`.

    Raises
    ------
    ConfigurationError
        One that it does not take, one that is missing, or one of another type than it says; or it does not say what
        it takes at all, or fails.
    """
    accepted = accepted_by(name, factory, kind)
    if not any(entry.kind is entry.VAR_KEYWORD for entry in inspect.signature(factory).parameters.values()):
        for parameter in parameters:
            if parameter not in accepted:
                raise ConfigurationError(
                    f"{kind.noun} {name!r} has no parameter {parameter!r}",
                    expected=", ".join(accepted) or "none",
                    hint=nearest(parameter, accepted) if accepted else None,
                )
    if missing := [key for key, entry in accepted.items() if entry.default is entry.empty and key not in parameters]:
        chooses = kind is STRATEGIES and missing[:3] == ["view", "n", "rng"]
        raise ConfigurationError(
            f"{kind.noun} {name!r} needs a value for {', '.join(missing)}",
            hint="register a function that returns this one, which is itself the strategy" if chooses else None,
        )
    kinds = kinds_of(factory)
    for parameter, value in parameters.items():
        if not fits(value, kinds.get(parameter, Any)):
            raise ConfigurationError(
                f"{parameter} of {kind.noun} {name!r} is of another type",
                got=f"{value!r}, {type(value).__name__}",
                expected=in_words(kinds[parameter]),
            )
    arguments = {key: as_declared(value, kinds.get(key, Any)) for key, value in parameters.items()}
    try:
        return factory(**arguments)
    except AlkitError:
        raise
    except (Exception, SystemExit) as reason:  # as at import, a plugin may fail in any way
        raise ConfigurationError(
            f"{kind.noun} {name!r}{whose(factory)} cannot be made ({type(reason).__name__}: {reason})",
            hint="see the traceback, which alkit --debug shows",
        ) from reason


def accepted_by(name: str, factory: Callable[..., object], kind: Kind = STRATEGIES) -> dict[str, inspect.Parameter]:
    """Return the parameters that a factory names; ``*args`` and ``**kwargs`` are none.

    Raises
    ------
    ConfigurationError
        It does not say what it takes.
    """
    try:
        entries = inspect.signature(factory).parameters
    except (TypeError, ValueError) as reason:
        raise ConfigurationError(
            f"{kind.noun} {name!r} does not say what parameters it takes ({reason})",
            hint="register a class or a function that is written in Python",
        ) from reason
    return {key: entry for key, entry in entries.items() if entry.kind not in (entry.VAR_POSITIONAL, entry.VAR_KEYWORD)}


def found(name: str, kind: Kind = STRATEGIES) -> EntryPoint:
    """Return the entry point of a registered plugin; the name of its distribution may be spelt as pip allows.

    Raises
    ------
    UnknownNameError
        No such plugin of that kind.
    ConfigurationError
        Two distributions register the name, or one does twice, or alkit has a part of that name.
    """
    known = registered(kind)
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
        raise UnknownNameError(f"there is no {kind.noun} {name!r}", hint=nearest(name, known))
    owners = {distribution(point) for point in full.values()}
    if len(owners) > 1:
        what = f"{len(owners)} distributions register a {kind.noun} {name!r}"
    elif len(full) > 1:
        what = f"{next(iter(owners))} registers {len(full)} {kind.plural} {name!r}"
    else:
        own = f"{name!r} is a part of alkit's own that {kind.plural} are made of"
        what = f"{own}, and a {kind.noun} of {next(iter(owners))}"
    raise ConfigurationError(what, hint="say which: " + " or ".join(full))


def _normal(distribution: str) -> str:
    """Spell a distribution's name as package indices compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def loaded(point: EntryPoint, kind: Kind = STRATEGIES) -> Callable[..., object]:
    """Import what an entry point names; a :class:`ConfigurationError` says why it cannot be, or cannot be called."""
    who = f"{kind.noun} {point.name!r} of {distribution(point)}"
    try:
        factory = point.load()
    except (Exception, SystemExit) as reason:  # a plugin may fail in any way; it must say so, not take alkit down
        raise ConfigurationError(f"{who} cannot be imported ({type(reason).__name__}: {reason})") from reason
    if not callable(factory):
        raise ConfigurationError(
            f"{who} cannot be made from {point.value}",
            got=f"a {type(factory).__name__}",
            expected="a class or a function",
            hint="package:Class on the right side of the entry point",
        )
    return cast("Callable[..., object]", factory)


def trusted_packages() -> set[str]:
    """Return the packages a record may name: alkit, the plugins installed, and the networks of torch and smp."""
    plugins = {point.value.partition(":")[0].partition(".")[0] for point in entry_points(group=GROUP)}
    return {"alkit", "segmentation_models_pytorch", "torchvision"} | plugins
