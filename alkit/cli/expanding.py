"""Options that several commands share, as dataclasses: each field is an option."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its parameters that are dataclasses, each in the place of the parameter.

    A field that is a dataclass itself is expanded, too.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Limits:
    ...     least: int = 0
    ...     most: int = 9
    >>> @expand
    ... def show(store: str, limits: Limits) -> None:
    ...     assert (store, limits) == ("a.db", Limits(least=1, most=5))
    >>> list(inspect.signature(show).parameters)
    ['store', 'least', 'most']
    >>> show(store="a.db", most=5, least=1)
    """

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(**_gathered(command, given))

    every = [entry.replace(kind=entry.KEYWORD_ONLY) for entry in _options(command)]
    run.__signature__ = inspect.Signature(every, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {entry.name: entry.annotation for entry in every}
    return run


def changed_options(group: Any) -> list[str]:
    """Return the options of a dataclass that have other values than their defaults, as they are typed.

    >>> from dataclasses import make_dataclass
    >>> changed_options(make_dataclass("Group", [("max_size", int, 3), ("name", str, "a")])(max_size=4))
    ['--max-size']
    """
    return [option_name(entry.name) for entry in fields(group) if getattr(group, entry.name) != entry.default]


def option_name(parameter: str) -> str:
    """Return a parameter as an option.

    >>> option_name("max_size")
    '--max-size'
    """
    return f"--{parameter.replace('_', '-')}"


def _options(taker: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    for entry in inspect.signature(taker, eval_str=True).parameters.values():
        if _is_group(entry):
            yield from _options(entry.annotation)
        else:
            yield entry


def _gathered(taker: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command or a dataclass, and remove them from `given`."""
    found = {}
    for name, entry in inspect.signature(taker, eval_str=True).parameters.items():
        if _is_group(entry):
            found[name] = entry.annotation(**_gathered(entry.annotation, given))
        elif name in given:
            found[name] = given.pop(name)
    return found


def _is_group(entry: inspect.Parameter) -> bool:
    return isinstance(entry.annotation, type) and is_dataclass(entry.annotation)
