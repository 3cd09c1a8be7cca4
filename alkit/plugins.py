"""Strategies by name: whatever an installed distribution registers in the entry-point group ``alkit.strategies``.

Names are read from metadata; nothing is imported until a strategy is asked for. alkit's own baselines are found the
same way as anybody else's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

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
        Two distributions register the name, the plugin cannot be imported, or it does not take these parameters.

    Examples
    --------
    >>> strategy("random")
    Random()
    >>> strategy("randm")
    Traceback (most recent call last):
    alkit.errors.UnknownNameError: there is no strategy 'randm'. Try: 'random'.
    """
    factory = _loaded(_found(name))
    accepted = inspect.signature(factory).parameters
    for parameter in parameters:
        if parameter not in accepted:
            raise ConfigurationError(
                f"strategy {name!r} has no parameter {parameter!r}",
                expected=", ".join(accepted) or "none",
                hint=nearest(parameter, accepted) if accepted else None,
            )
    return cast(Strategy, factory(**parameters))


def parameters_of(name: str) -> tuple[str, ...]:
    """Return the names of the parameters a registered strategy takes.

    >>> parameters_of("random")
    ()
    """
    return tuple(inspect.signature(_loaded(_found(name))).parameters)


def cold_strategies() -> list[str]:
    """Return the names of the registered strategies that can choose before there is a model; broken ones are left out.

    >>> "random" in cold_strategies()
    True
    """
    names = []
    for name, point in strategies().items():
        try:
            cold = getattr(_loaded(point), "starts_cold", True)
        except ConfigurationError:
            continue
        if cold:
            names.append(name)
    return names


def _found(name: str) -> EntryPoint:
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


def _loaded(point: EntryPoint) -> Callable[..., object]:
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
