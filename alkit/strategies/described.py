"""What a registered strategy says of itself: in one line, what it needs, and what its parameters mean."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import docstring_parser

from alkit.configuration.parameters import in_words, kinds_of
from alkit.configuration.registry import accepted_by, distribution, found, loaded, version
from alkit.errors import ConfigurationError
from alkit.protocols import DeclaresNeeds, DeclaresStart
from alkit.strategies.functions import needs_of
from alkit.strategies.named import installed


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a strategy.

    Parameters
    ----------
    name:
        As it is passed.
    kind:
        Its type, in words, or as it is written where it cannot be found; empty where the strategy does not say.
    default:
        Its default, as Python writes it; None where there is none and a value must be given.
    meaning:
        From the docstring.
    """

    name: str
    kind: str
    default: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Description:
    """What can be known of a registered strategy without running it.

    Parameters
    ----------
    name, distribution, version, object:
        From the metadata of the installed distribution.
    summary:
        The first line of its docstring.
    starts_cold:
        Whether it can choose before there is a model; None where that depends on its parameters, or on what a
        function returns, and where there is a problem.
    needs:
        What else it relies on: ``features``, ``dropout``, ``members``, ``heads``, ``pseudo-labels``; None as before.
    parameters:
        In the order they are declared.
    problem:
        Why it cannot be imported or described, in which case nothing but the metadata is known; empty where it can.
    """

    name: str
    distribution: str
    version: str
    object: str
    summary: str = ""
    starts_cold: bool | None = None
    needs: tuple[str, ...] | None = None
    parameters: tuple[Parameter, ...] = ()
    problem: str = ""


def describe(name: str) -> Description:
    """Describe a registered strategy; one that cannot be imported or described by the reason why.

    Raises
    ------
    UnknownNameError
        No such strategy.
    ConfigurationError
        Two distributions register the name.

    Examples
    --------
    >>> describe("ssl-cluster").parameters[1].default
    '10'
    """
    point = found(name)
    facts = (name, distribution(point), version(point), point.value)
    try:
        return _described(facts, loaded(point))
    except ConfigurationError as reason:
        return Description(*facts, problem=str(reason))
    except (Exception, SystemExit) as reason:  # docstrings, signatures and defaults are a plugin's code too
        return Description(*facts, problem=f"it cannot be described ({type(reason).__name__}: {reason})")


def _described(facts: tuple[str, str, str, str], factory: Callable[..., object]) -> Description:
    said = docstring_parser.parse_from_object(factory) if isinstance(factory, type) else None
    text = inspect.getdoc(factory) or ""
    meanings = {entry.arg_name: entry.description or "" for entry in (said or docstring_parser.parse(text)).params}
    shared = {part.strip(): words for names, words in meanings.items() for part in names.split(",")}
    kinds, accepted = kinds_of(factory), accepted_by(facts[0], factory)
    return Description(
        *facts,
        summary=_plain(text.partition("\n")[0]),
        starts_cold=_whether_cold(factory, accepted),
        needs=_needs(factory, accepted),
        parameters=tuple(
            Parameter(
                entry.name,
                in_words(kinds[entry.name]) if entry.name in kinds else _as_written(entry),
                None if entry.default is entry.empty else _default(entry.default),
                _plain(" ".join(shared.get(entry.name, "").split())),
            )
            for entry in accepted.values()
        ),
    )


def describe_all() -> list[Description]:
    """Describe every registered strategy, by name."""
    return [describe(name) for name in installed()]


def cold_strategies() -> list[str]:
    """Return the names of the registered strategies that can choose before there is a model.

    Broken ones are left out, and so are those of which only the strategy itself can say, once it is made.

    >>> "random" in cold_strategies()
    True
    """
    return [entry.name for entry in describe_all() if entry.starts_cold and not entry.problem]


def _whether_cold(factory: object, accepted: Mapping[str, object]) -> bool | None:
    """Return what a factory says for all strategies it makes; a class that says nothing says yes."""
    if "starts_cold" in accepted:
        return None
    said = factory.starts_cold if isinstance(factory, DeclaresStart) else isinstance(factory, type) or None
    return said if isinstance(said, bool) else None  # a property is asked of the strategy itself


def _needs(factory: object, accepted: Mapping[str, object]) -> tuple[str, ...] | None:
    """Return what a factory says that all strategies it makes need; a class that says nothing needs nothing."""
    if "needs" in accepted or not isinstance(factory, type | DeclaresNeeds):
        return None
    if isinstance(factory, DeclaresNeeds) and isinstance(factory.needs, property | cached_property):
        return None
    return needs_of(factory)


def _plain(text: str) -> str:
    """Return what a docstring says without the roles of Sphinx.

    >>> _plain("Default: :class:`alkit.Reconstruction`.")
    'Default: alkit.Reconstruction.'
    """
    return re.sub(r":[\w:]+:`~?([^`]+)`", r"\1", text)


def _as_written(entry: inspect.Parameter) -> str:
    return entry.annotation if isinstance(entry.annotation, str) else ""


def _default(value: object) -> str:
    """Write a default; of one that is made anew each time, which dataclasses mark, only that there is one."""
    return "made when needed" if type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS" else repr(value)
