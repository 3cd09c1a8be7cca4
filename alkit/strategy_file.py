"""A strategy written as a TOML file, compositions and their parts included.

A table with a ``name`` is a strategy, a sampler or a feature extractor; its other entries are the parameters::

    name = "then"
    after = 300
    cold = { name = "ssl-cluster", clusters = 10 }

    [warm]
    name = "filter"
    factor = 5
    ranking = { name = "uncertainty", score = "bald", sampler = { name = "dropout", draws = 10 } }
    then = { name = "random" }

Names are those of the installed strategies and, for compositions and parts, those of :data:`PARTS`. Names and types of
parameters are checked as everywhere.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alkit.compose import DuplicatesLast, Filter, Mix, PerCluster, Stochastic, Then, Uncertainty, as_strategy
from alkit.draws import Deterministic, Dropout, Members
from alkit.errors import ConfigurationError, UnknownNameError, nearest
from alkit.plugins import found, loaded, made, strategies
from alkit.protocols import FeatureExtractor, Strategy


def _mix(parts: list[Any]) -> Mix:
    """Mix the strategies of tables ``{share = 0.7, strategy = {...}}``."""
    if not all(isinstance(part, dict) and set(part) == {"share", "strategy"} for part in parts):
        raise ConfigurationError(
            "the parts of a mix are tables", got=parts, expected='{ share = 0.7, strategy = { name = "random" } }'
        )
    return Mix({part["strategy"]: part["share"] for part in parts})


PARTS: dict[str, Callable[..., object]] = {
    "deterministic": Deterministic,
    "dropout": Dropout,
    "duplicates-last": DuplicatesLast,
    "filter": Filter,
    "members": Members,
    "mix": _mix,
    "per-cluster": PerCluster,
    "stochastic": Stochastic,
    "then": Then,
    "uncertainty": Uncertainty,
}
"""Compositions, samplers and the ranking by score, by the name a table gives them."""


def read_strategy(path: str | Path, features: FeatureExtractor | None = None) -> Strategy:
    """Return the strategy of a TOML file.

    Parameters
    ----------
    path:
        The file: a table with a name, or with one such table called ``strategy``.
    features:
        For every part that takes features and is given none.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or describes no strategy; the message says what of it.
    UnknownNameError
        A name nobody knows; the nearest are listed.
    """
    try:
        table = tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as reason:
        raise ConfigurationError(f"{path} is no TOML file that can be read ({reason})") from reason
    inner = table["strategy"] if set(table) == {"strategy"} else table
    if not isinstance(inner, dict):
        raise ConfigurationError(f"the strategy in {path} is no table", got=repr(inner), expected='name = "random"')
    return strategy_from(inner, features)


def strategy_from(table: Mapping[str, object], features: FeatureExtractor | None = None) -> Strategy:
    """Return the strategy that a table describes: see :func:`read_strategy`.

    >>> strategy_from({"name": "then", "cold": {"name": "random"}, "warm": {"name": "random"}, "after": 9})
    Then(cold=Random(), warm=Random(), after=9)
    """
    return as_strategy("the table", _part(table, features))


def _part(value: object, features: FeatureExtractor | None) -> Any:
    if isinstance(value, list):
        return [_part(entry, features) for entry in value]
    if not isinstance(value, Mapping):
        return value
    inside = {key: _part(entry, features) for key, entry in value.items() if key != "name"}
    if "name" not in value:
        return inside
    name = str(value["name"])
    factory = _factory(name)
    if features is not None and "features" not in inside and "features" in _takes(factory):
        inside["features"] = features
    return made(name, factory, inside)


def _factory(name: str) -> Callable[..., object]:
    if name in PARTS:
        return PARTS[name]
    try:
        return loaded(found(name))
    except UnknownNameError:
        known = nearest(name, [*strategies(), *PARTS])
        raise UnknownNameError(f"there is no strategy or part of one called {name!r}", hint=known) from None


def _takes(factory: Callable[..., object]) -> Mapping[str, object]:
    return inspect.signature(factory).parameters
