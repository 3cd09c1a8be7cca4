"""Descriptions of plugins: from the metadata of their distribution, their signature and their docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass

import docstring_parser

from alkit.configuration.parameters import in_words, kinds_of
from alkit.configuration.registry import Group, distribution, find, list_plugins, load, parameters_of, version
from alkit.errors import ConfigurationError, failure_in_words, one_line


@dataclass(frozen=True, slots=True)
class Parameter:
    """Description of a parameter of a plugin.

    Parameters
    ----------
    name:
        Name of the parameter.
    kind:
        Type in words, or as the source writes it if it cannot be imported; empty without an annotation.
    default:
        Default value as Python writes it; None if a value must be given.
    meaning:
        Text of the docstring.
    """

    name: str
    kind: str
    default: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Description:
    """Description of a plugin, made without running it.

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
    """

    name: str
    distribution: str
    version: str
    object: str
    summary: str = ""
    parameters: tuple[Parameter, ...] = ()
    problem: str = ""


def describe(name: str, group: Group) -> Description:
    """Describe a plugin; if it cannot be imported or described, the description contains the reason.

    Raises
    ------
    UnknownNameError
        No plugin of the group has this name.
    ConfigurationError
        Several have it.
    """
    point = find(name, group)
    metadata = name, distribution(point), version(point), point.value
    try:
        return _described(metadata, load(point, group), group)
    except ConfigurationError as reason:
        return Description(*metadata, problem=str(reason))
    except KeyboardInterrupt:
        raise
    except BaseException as reason:  # docstrings, signatures and defaults are code of the plugin, too
        return Description(*metadata, problem=f"it cannot be described ({failure_in_words(reason)})")


def describe_all(group: Group) -> list[Description]:
    """Describe every plugin of a group, in order of names."""
    return [describe(name, group) for name in list_plugins(group)]


def _described(metadata: tuple[str, str, str, str], factory: Callable[..., object], group: Group) -> Description:
    parsed = docstring_parser.parse_from_object(factory) if isinstance(factory, type) else None
    text = inspect.getdoc(factory) or ""
    meanings = {entry.arg_name: entry.description or "" for entry in (parsed or docstring_parser.parse(text)).params}
    meaning_of = {part.strip(): words for names, words in meanings.items() for part in names.split(",")}
    kinds = kinds_of(factory)
    return Description(
        *metadata,
        summary=one_line(_without_roles(text.partition("\n")[0])),
        parameters=tuple(
            Parameter(
                entry.name,
                in_words(kinds[entry.name]) if entry.name in kinds else _annotation(entry),
                None if entry.default is entry.empty else _default(entry.default),
                one_line(_without_roles(" ".join(meaning_of.get(entry.name, "").split()))),
            )
            for entry in parameters_of(metadata[0], factory, group).values()
        ),
    )


def _without_roles(text: str) -> str:
    """Return the text of a docstring without the roles of Sphinx.

    >>> _without_roles("Default: :class:`alkit.Reconstruction`.")
    'Default: alkit.Reconstruction.'
    """
    return re.sub(r":[\w:]+:`~?([^`]+)`", r"\1", text)


def _annotation(entry: inspect.Parameter) -> str:
    return one_line(entry.annotation) if isinstance(entry.annotation, str) else ""


def _default(value: object) -> str:
    """Write a default value: a class or function by its name; the default factory of a dataclass is only mentioned."""
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__qualname__
    return "made when needed" if type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS" else repr(value)
