"""Plugins by name: whatever an installed distribution registers in an entry-point group of alkit's.

Strategies are in the group ``alkit.strategies``, stopping rules in ``alkit.stopping_rules``; one code finds both.
Names are read from metadata; nothing is imported until a plugin is asked for. alkit's own baselines are found the
same way as anybody else's.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from enum import Enum
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from alkit.compose import as_strategy
from alkit.errors import AlkitError, ConfigurationError, UnknownNameError, nearest
from alkit.protocols import Strategy

GROUP = "alkit.strategies"

RESERVED = frozenset(
    {
        "deterministic", "dropout", "duplicates-last", "filter", "members", "mix", "per-cluster", "reconstruction",
        "stochastic", "then", "uncertainty",
    }
)  # fmt: skip
"""What :mod:`alkit.strategy_file` calls alkit's own compositions and parts: no strategy's short name."""


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


def strategies() -> dict[str, EntryPoint]:
    """Return the entry points of all registered strategies by name, importing none.

    A name that two distributions register, or that is one of :data:`RESERVED`, appears as ``distribution:name`` for
    each, and no longer alone. One that a single distribution gives to two things appears as
    ``distribution:name=object``.

    >>> "random" in strategies()
    True
    """
    return registered(STRATEGIES)


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


def strategy(name: str, /, **parameters: Any) -> Strategy:
    """Make a registered strategy.

    Parameters
    ----------
    name:
        As in :func:`strategies`; ``distribution:name`` always works.
    parameters:
        The strategy's own.

    Raises
    ------
    UnknownNameError
        No such strategy; the nearest names are listed.
    ConfigurationError
        Two distributions register the name, the plugin cannot be imported, it does not take these parameters (one of
        another name, or of another type than the strategy says), or what it returns is no strategy.

    Examples
    --------
    >>> strategy("random")
    Random()
    >>> strategy("randm")
    Traceback (most recent call last):
    alkit.errors.UnknownNameError: there is no strategy 'randm'. Try: 'random'.
    """
    return as_strategy(f"strategy {name!r}", made(name, loaded(found(name)), parameters))


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


def kinds_of(factory: Callable[..., object]) -> dict[str, Any]:
    """Return the types a factory says its parameters have, of those that it says and that can be found.

    A name that is imported for type checkers only leaves that one parameter without a type. A field that a dataclass
    inherits is looked up in the module of the class that declares it.

    >>> from alkit.compose import Uncertainty
    >>> sorted(kinds_of(Uncertainty))
    ['sampler']
    """
    try:
        entries = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return {}
    kinds = {}
    for entry in entries:
        if entry.annotation is not entry.empty:
            said = SimpleNamespace(__annotations__={"": entry.annotation})
            try:
                kind = get_type_hints(said, _names_at(factory, entry))[""]
            except Exception:  # an annotation is code, and may fail in any way
                continue
            kinds[entry.name] = kind.type if isinstance(kind, InitVar) else kind
    return kinds


def _names_at(factory: Callable[..., object], parameter: inspect.Parameter) -> dict[str, Any]:
    """Return the names that the annotation of a parameter may mean: those of the module it was written in."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    if isinstance(factory, type):
        for owner in factory.__mro__:
            if inspect.get_annotations(owner).get(parameter.name) == parameter.annotation:
                return vars(sys.modules[owner.__module__])
        routines: list[Any] = [vars(owner).get(verb) for owner in factory.__mro__ for verb in ("__init__", "__new__")]
    else:
        routines = [factory, type(factory).__call__]
    for routine in map(inspect.unwrap, routines):
        names = getattr(getattr(routine, "__func__", routine), "__globals__", None)
        if names is not None:
            return cast("dict[str, Any]", names)
    return vars(sys.modules[factory.__module__])


_SEQUENCES = (tuple, list, Sequence)
_SETS = (frozenset, set)
_COLLECTIONS = _SEQUENCES + _SETS
_MAPPINGS = (dict, Mapping)


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of a plain type; whatever is not made of plain types fits, and the strategy itself will say.

    A whole number is a float too, and a bool is no number.

    >>> fits(3, float), fits(True, int), fits("3", int | None), fits(None, int | None), fits([1, 2], tuple[int, ...])
    (True, False, False, True, True)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return any(type(value) is type(entry) and value == entry for entry in inner)
    if origin in (Union, UnionType):
        return any(fits(value, entry) for entry in inner)
    if origin in _SEQUENCES:
        if not isinstance(value, list | tuple):
            return False
        if origin is tuple and inner[-1:] != (Ellipsis,):
            return len(value) == len(inner) and all(map(fits, value, inner))
        return all(fits(entry, inner[0]) for entry in value)
    if origin in _MAPPINGS:
        return isinstance(value, Mapping) and all(
            fits(key, inner[0]) and fits(entry, inner[1]) for key, entry in value.items()
        )
    if origin in _SETS:
        return isinstance(value, list | tuple | set | frozenset) and all(fits(entry, inner[0]) for entry in value)
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str) else True


def as_declared(value: object, kind: Any) -> Any:
    """Return a value that fits as the very type that was asked for, where a file has no way to write that type.

    A list may be meant as a tuple or a set, and text as a path or as a member of an enumeration by its value.

    >>> as_declared([1, [2, 3]], tuple[int, list[int]]), as_declared("a/b", Path | None) == Path("a", "b")
    ((1, [2, 3]), True)
    """
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if isinstance(value, list | tuple | set | frozenset):
        sorts = [(cast(Any, get_origin(option) or option), option) for option in options]
        for sort, option in sorted(sorts, key=lambda pair: pair[0] is not type(value)):
            of = get_args(option)
            if sort in (_SETS if isinstance(value, set | frozenset) else _COLLECTIONS) and fits(value, option):
                of = of if sort is tuple and of[-1:] != (Ellipsis,) else of[:1] * len(value)
                parts = map(as_declared, value, of) if of else value
                return (tuple if sort is Sequence else sort)(parts)
    if isinstance(value, Mapping):
        for option in options:
            if get_origin(option) in _MAPPINGS and fits(value, option):
                keys, entries = get_args(option)
                return {as_declared(key, keys): as_declared(entry, entries) for key, entry in value.items()}
    if type(value) in options:
        return value
    if isinstance(value, str) and Path in options:
        return Path(value)
    for option in options:
        if isinstance(option, type) and issubclass(option, Enum) and not isinstance(value, Enum):
            try:
                return option(value)
            except (TypeError, ValueError):  # the strategy itself will say
                continue
    return value


def in_words(kind: Any) -> str:
    """Name a type as a person would write it.

    >>> in_words(int | None), in_words(Literal["a", "b"]), in_words(str)
    ('int or None', "'a' or 'b'", 'str')
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (Union, UnionType):
        return " or ".join(map(in_words, inner))
    if kind in (None, type(None)):
        return "None"
    if origin is Callable:
        return "function"
    return kind.__name__ if isinstance(kind, type) and not inner else str(kind).replace("typing.", "")


def cold_strategies() -> list[str]:
    """Return the names of the registered strategies that can choose before there is a model.

    Broken ones are left out, and so are those of which only the strategy itself can say, once it is made.

    >>> "random" in cold_strategies()
    True
    """
    from alkit.describe import describe_all

    return [entry.name for entry in describe_all() if entry.starts_cold and not entry.problem]


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
