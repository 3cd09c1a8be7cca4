"""The values of options that have a form of their own: ``key=value`` pairs, and lists of integers."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any


def read_parameters(pairs: list[str] | tuple[()]) -> dict[str, dict[str, Any]]:
    """Read ``key=value`` pairs, by part; a value is a Python literal, or else text.

    >>> read_parameters(["clusters=5", "learner.batch=4", "features.network=x"])
    {'strategy': {'clusters': 5}, 'features': {'network': 'x'}, 'learner': {'batch': 4}}
    """
    from alkit.errors import ConfigurationError

    parameters: dict[str, dict[str, Any]] = {"strategy": {}, "features": {}, "learner": {}}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        part, dot, name = key.rpartition(".")
        if not equals or not name:
            raise ConfigurationError("--param must have the form key=value", got=pair, expected="--param clusters=5")
        if dot and part not in parameters:
            raise ConfigurationError(
                f"--param {key} must begin with the name of a part",
                got=part,
                expected=", ".join(parameters),
                hint=f"--param {_closest(part, parameters)}.{name}={text}",
            )
        into = parameters[part or "strategy"]
        if name in into:
            raise ConfigurationError(f"--param gives {key} twice", got=pair, hint="leave one of them out")
        try:
            into[name] = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            into[name] = text
    return parameters


def _closest(part: str, parts: Iterable[str]) -> str:
    """Return the part with the most similar name."""
    return max(parts, key=lambda name: SequenceMatcher(None, part, name).ratio())


WIDTHS = "32,64,128,256,512"
"""Default of ``--widths``."""


def read_integers(name: str, text: str, example: str, most: int | None = None) -> tuple[int, ...]:
    """Return the integers >= 1 in a text with commas between them: two, or two to `most`."""
    from alkit.errors import ConfigurationError

    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) < 2 or (most is not None and len(found) > most) or min(found) < 1:
        which = "two integers >= 1 with a comma" if most == 2 else "two or more integers >= 1 with commas"
        raise ConfigurationError(
            f"--{name} must be {which} between them",
            got=repr(text),
            hint=f"--{name} {example}",
        )
    return found
