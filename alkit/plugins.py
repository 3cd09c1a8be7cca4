"""Strategies by name: whatever an installed distribution registers in the entry-point group ``alkit.strategies``.

Names are read from metadata; nothing is imported until a strategy is asked for. alkit's own baselines are found the
same way as anybody else's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

from alkit.errors import ConfigurationError, UnknownNameError, nearest
from alkit.protocols import Strategy

GROUP = "alkit.strategies"


def strategies() -> dict[str, EntryPoint]:
    """Return the entry points of all registered strategies by name, importing none.

    A name that two distributions register appears as ``distribution:name`` for each, and no longer alone.

    >>> "random" in strategies()
    True
    """
    return _named(entry_points(group=GROUP))


def _named(found: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for point in found:
        by_name.setdefault(point.name, {})[distribution(point)] = point
    named: dict[str, EntryPoint] = {}
    for name, owners in sorted(by_name.items()):
        if len(owners) == 1:
            named[name] = next(iter(owners.values()))
        else:
            named.update({f"{owner}:{name}": point for owner, point in sorted(owners.items())})
    return named


def distribution(point: EntryPoint) -> str:
    """Return the name of the distribution that registered an entry point."""
    return point.dist.name if point.dist is not None else "?"


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
        Two distributions register the name, the plugin cannot be imported, or it does not take these parameters: one
        of another name, or of another type than the strategy says.

    Examples
    --------
    >>> strategy("random")
    Random()
    >>> strategy("randm")
    Traceback (most recent call last):
    alkit.errors.UnknownNameError: there is no strategy 'randm'. Try: 'random'.
    """
    factory = loaded(found(name))
    return cast(Strategy, made(name, factory, parameters))


def made(name: str, factory: Callable[..., object], parameters: Mapping[str, object]) -> object:
    """Call a factory with parameters that were checked by name and type.

    Raises
    ------
    ConfigurationError
        One that it does not take, one that is missing, or one of another type than it says.
    """
    accepted = inspect.signature(factory).parameters
    for parameter in parameters:
        if parameter not in accepted:
            raise ConfigurationError(
                f"strategy {name!r} has no parameter {parameter!r}",
                expected=", ".join(accepted) or "none",
                hint=nearest(parameter, accepted) if accepted else None,
            )
    if missing := [key for key, entry in accepted.items() if entry.default is entry.empty and key not in parameters]:
        raise ConfigurationError(f"strategy {name!r} needs a value for {', '.join(missing)}")
    kinds = kinds_of(factory)
    for parameter, value in parameters.items():
        if not fits(value, kinds.get(parameter, Any)):
            raise ConfigurationError(
                f"{parameter} of strategy {name!r} is of another type",
                got=f"{value!r}, {type(value).__name__}",
                expected=in_words(kinds[parameter]),
            )
    return factory(**parameters)


def kinds_of(factory: Callable[..., object]) -> dict[str, Any]:
    """Return what a factory says of the types of its parameters; nothing of those it does not say, or not in time."""
    try:
        parameters = inspect.signature(factory, eval_str=True).parameters.values()
    except NameError:  # names that are only imported for type checkers
        return {}
    return {entry.name: entry.annotation for entry in parameters if entry.annotation is not entry.empty}


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of a plain type; whatever is not made of plain types fits, and the strategy itself will say.

    A whole number is a float too, and a bool is no number.

    >>> fits(3, float), fits(True, int), fits("3", int | None), fits(None, int | None), fits([1, 2], tuple[int, ...])
    (True, False, False, True, True)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(fits(value, entry) for entry in inner)
    if origin in (tuple, list, Sequence):
        if isinstance(value, str) or not isinstance(value, list | tuple):
            return False
        if origin is tuple and inner[-1:] != (Ellipsis,):
            return len(value) == len(inner) and all(map(fits, value, inner))
        return all(fits(entry, inner[0]) for entry in value)
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str) else True


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


def parameters_of(name: str) -> tuple[str, ...]:
    """Return the names of the parameters a registered strategy takes.

    >>> parameters_of("random")
    ()
    """
    return tuple(inspect.signature(loaded(found(name))).parameters)


def cold_strategies() -> list[str]:
    """Return the names of the registered strategies that can choose before there is a model; broken ones are left out.

    >>> "random" in cold_strategies()
    True
    """
    names = []
    for name, point in strategies().items():
        try:
            cold = getattr(loaded(point), "starts_cold", True)
        except ConfigurationError:
            continue
        if cold:
            names.append(name)
    return names


def found(name: str) -> EntryPoint:
    """Return the entry point of a registered strategy.

    Raises
    ------
    UnknownNameError
        No such strategy.
    ConfigurationError
        Two distributions register the name.
    """
    known = strategies()
    point = known.get(name) or next((p for p in known.values() if f"{distribution(p)}:{p.name}" == name), None)
    if point is not None:
        return point
    if twins := [full for full in known if full.endswith(f":{name}")]:
        raise ConfigurationError(
            f"{len(twins)} distributions register a strategy {name!r}",
            hint="say which: " + " or ".join(twins),
        )
    raise UnknownNameError(f"there is no strategy {name!r}", hint=nearest(name, known))


def loaded(point: EntryPoint) -> Callable[..., object]:
    """Import what an entry point names; a :class:`ConfigurationError` says why it cannot be."""
    try:
        return cast("Callable[..., object]", point.load())
    except Exception as reason:  # a plugin may fail in any way; it must say so, not take alkit down
        raise ConfigurationError(
            f"strategy {point.name!r} of {distribution(point)} cannot be imported ({type(reason).__name__}: {reason})"
        ) from reason


def trusted_packages() -> set[str]:
    """Return the packages a record may name: alkit, the plugins installed, and the networks of torch and smp."""
    plugins = {point.value.partition(":")[0].partition(".")[0] for point in entry_points(group=GROUP)}
    return {"alkit", "segmentation_models_pytorch", "torchvision"} | plugins
