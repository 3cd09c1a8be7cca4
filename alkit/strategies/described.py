"""Descriptions of installed strategies: those of any plugin, with the start and the needs of a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

from alkit.arguments.checked import checked
from alkit.configuration import described
from alkit.configuration.registry import STRATEGIES, find, load, parameters_of
from alkit.errors import ConfigurationError
from alkit.protocols import DeclaresNeeds, DeclaresStart, DeclaresUse
from alkit.strategies.functions import needs_of
from alkit.strategies.named import installed


@checked
@dataclass(frozen=True, slots=True)
class Description(described.Description):
    """Description of an installed strategy, made without running it.

    Parameters
    ----------
    name, distribution, version, object:
        Metadata of the installed distribution.
    summary:
        First line of the docstring.
    parameters:
        Parameters in the order of their declaration.
    problem:
        Reason why the plugin cannot be imported or described, in which case only the metadata is known; empty if none.
    starts_cold:
        Whether the strategy can select before there is a model. None if that depends on its parameters or on the return
        value of a function, or if there is a problem.
    needs:
        What else it uses: ``features``, ``dropout``, ``members``, ``heads``, ``pseudo-labels``. None as above.
    when_to_use:
        Sentence about when to use the strategy, with its evidence; empty if the author wrote none.
    """

    starts_cold: bool | None = None
    needs: tuple[str, ...] | None = None
    when_to_use: str = ""


@checked
def describe(name: str) -> Description:
    """Describe an installed strategy; if it cannot be imported or described, the description contains the reason.

    Raises
    ------
    UnknownNameError
        No installed strategy has this name.
    ConfigurationError
        Several have it.

    Examples
    --------
    >>> describe("ssl-cluster").parameters[1].default
    '10'
    """
    plain = described.describe(name, STRATEGIES)
    known = {entry.name: getattr(plain, entry.name) for entry in fields(plain)}
    if plain.problem:
        return Description(**known)
    factory = load(find(name))
    accepted = parameters_of(name, factory)
    try:
        start, needs = _start(factory, accepted), _needs(factory, accepted)
        return Description(**known, starts_cold=start, needs=needs, when_to_use=_use(name, factory))
    except ConfigurationError as reason:  # its needs are not a tuple of names, or its use is not a text
        return Description(plain.name, plain.distribution, plain.version, plain.object, problem=str(reason))


def describe_all() -> list[Description]:
    """Describe every installed strategy, in order of names."""
    return [describe(name) for name in installed()]


def cold_strategies() -> list[str]:
    """Return the names of the installed strategies that certainly can select before there is a model.

    >>> "random" in cold_strategies()
    True
    """
    return [entry.name for entry in describe_all() if entry.starts_cold and not entry.problem]


def _start(factory: object, accepted: Mapping[str, object]) -> bool | None:
    """Return ``starts_cold`` if it is the same for all strategies of a factory; a class without it starts cold."""
    if "starts_cold" in accepted:
        return None
    declared = factory.starts_cold if isinstance(factory, DeclaresStart) else isinstance(factory, type) or None
    return declared if isinstance(declared, bool) else None  # a property depends on the strategy


def _use(name: str, factory: object) -> str:
    """Return the sentence about when to use the strategies of a factory; empty if it depends on the strategy."""
    said: object = factory.when_to_use if isinstance(factory, DeclaresUse) else ""
    if isinstance(said, property | cached_property):
        return ""
    if not isinstance(said, str):
        raise ConfigurationError(f"the attribute when_to_use of {name!r} must be a text", got=repr(said))
    return " ".join(said.split())


def _needs(factory: object, accepted: Mapping[str, object]) -> tuple[str, ...] | None:
    """Return ``needs`` if they are the same for all strategies of a factory; a class without them needs nothing."""
    if "needs" in accepted or not isinstance(factory, type | DeclaresNeeds):
        return None
    if isinstance(factory, DeclaresNeeds) and isinstance(factory.needs, property | cached_property):
        return None
    return needs_of(factory)
