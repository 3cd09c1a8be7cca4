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

Names are those of the installed strategies and, for compositions and parts, those of :data:`PARTS`; a strategy that is
called as one of these is named in full, ``distribution:name``. Names and types of parameters are checked as everywhere,
and a mistake is reported with the table that it is in.

Images are compared by the features that the reader of the file gives, in ``alkit run`` those of the learner's own
network. A table that wants others says what is different about them::

    name = "ssl-cluster"
    features = { name = "reconstruction", epochs = 3 }
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from inspect import Parameter
from pathlib import Path
from typing import Any

from alkit.configuration.parameters import kinds_of
from alkit.configuration.registry import accepted_by, found, loaded, made
from alkit.errors import AlkitError, ConfigurationError, UnknownNameError, nearest
from alkit.features.reconstruction import Reconstruction
from alkit.protocols import DeclaresNeeds, FeatureExtractor, Sampler, Strategy
from alkit.samplers import Deterministic, Dropout, Members
from alkit.strategies.asking import Ranking
from alkit.strategies.duplicates_last import DuplicatesLast
from alkit.strategies.filter import Filter
from alkit.strategies.functions import as_strategy, is_among
from alkit.strategies.mix import Mix
from alkit.strategies.named import installed
from alkit.strategies.per_cluster import PerCluster
from alkit.strategies.stochastic import Stochastic
from alkit.strategies.then import Then
from alkit.strategies.uncertainty import Uncertainty


def _mix(parts: list[Any]) -> Mix:
    """Mix the strategies of tables ``{share = 0.7, strategy = {...}}``."""
    for place, part in enumerate(parts):
        if not isinstance(part, dict) or set(part) != {"share", "strategy"}:
            raise ConfigurationError(
                "the parts of a mix are tables", got=parts, expected='{ share = 0.7, strategy = { name = "random" } }'
            )
        _check_named(f"parts[{place}].strategy", part["strategy"])
    mixed: dict[Any, Any] = {}
    for place, part in enumerate(parts):
        if is_among(part["strategy"], mixed):
            raise ConfigurationError(
                f"parts[{place}].strategy is there already",
                got=repr(part["strategy"]),
                hint="one part with the sum of the shares",
            )
        try:
            mixed[part["strategy"]] = part["share"]
        except TypeError as reason:  # it cannot be hashed
            raise ConfigurationError(f"parts[{place}].strategy cannot be told from others ({reason})") from reason
    return Mix(mixed)


PARTS: dict[str, Callable[..., object]] = {
    "deterministic": Deterministic,
    "dropout": Dropout,
    "duplicates-last": DuplicatesLast,
    "filter": Filter,
    "members": Members,
    "mix": _mix,
    "per-cluster": PerCluster,
    "reconstruction": Reconstruction,
    "stochastic": Stochastic,
    "then": Then,
    "uncertainty": Uncertainty,
}
"""Compositions, samplers, the ranking by score and the feature extractor, by the name a table gives them."""


def read_strategy(path: str | Path, features: FeatureExtractor | None = None) -> Strategy:
    """Return the strategy of a TOML file.

    Parameters
    ----------
    path:
        The file: a table with a name, or with one such table called ``strategy``.
    features:
        For every part that takes features (see :func:`takes_features`) and is given none. A table ``reconstruction``
        has from them whatever it does not say itself, the network above all.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or describes no strategy; the message says which table of it.
    UnknownNameError
        A name nobody knows; the nearest are listed.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as reason:
        raise ConfigurationError(f"{path} is no TOML file that can be read ({reason})") from reason
    inner = table["strategy"] if set(table) == {"strategy"} else table
    if not isinstance(inner, dict):
        raise ConfigurationError(f"the strategy in {path} is no table", got=repr(inner), expected='name = "random"')
    return _strategy(inner, features, str(path), "strategy" if inner is not table else "")


def strategy_from(table: Mapping[str, object], features: FeatureExtractor | None = None) -> Strategy:
    """Return the strategy that a table describes: see :func:`read_strategy`.

    >>> strategy_from({"name": "then", "cold": {"name": "random"}, "warm": {"name": "random"}, "after": 9})
    Then(cold=Random(), warm=Random(), after=9)
    >>> strategy_from({"name": "then", "cold": {"nam": "random"}, "warm": {"name": "random"}, "after": 9})
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: the table: cold has no name: got {'nam': 'random'}, expected name = "..."
    """
    return _strategy(table, features, "the table", "")


def _strategy(table: Mapping[str, object], features: FeatureExtractor | None, whole: str, path: str) -> Strategy:
    return as_strategy(_place(whole, path), _part(table, features, whole, path))


def _part(value: object, features: FeatureExtractor | None, whole: str, path: str) -> Any:
    """Make what a table describes; `whole` and `path` say where in the file it is."""
    if isinstance(value, list):
        return [_part(entry, features, whole, f"{path}[{place}]") for place, entry in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    inside = {
        key: _part(entry, features, whole, f"{path}.{key}".lstrip(".")) for key, entry in value.items() if key != "name"
    }
    if "name" not in value:
        return inside
    try:
        return _made(str(value["name"]), inside, features)
    except AlkitError as reason:
        alike = type(reason).__init__ is AlkitError.__init__  # one of a plugin's own may be made of anything
        raise (type(reason) if alike else ConfigurationError)(f"{_place(whole, path)}: {reason}") from reason


def _place(whole: str, path: str) -> str:
    return f"{whole}, at {path}" if path else whole


def _made(name: str, inside: dict[str, Any], features: FeatureExtractor | None) -> object:
    factory = _factory(name)
    if factory is Reconstruction:
        return _reconstruction(inside, features)
    kinds = kinds_of(factory)
    for key, value in inside.items():
        if kinds.get(key) in (Strategy, Ranking, Sampler, FeatureExtractor):
            _check_named(key, value)
    if features is not None and "features" not in inside and takes_features(name, factory):
        inside = {**inside, "features": features}
    return made(name, factory, inside)


def _check_named(key: str, value: object) -> None:
    """Refuse a table that should be a part and does not say which."""
    if isinstance(value, dict):
        raise ConfigurationError(f"{key} has no name", got=value, expected='name = "..."')


def _reconstruction(inside: dict[str, Any], features: FeatureExtractor | None) -> object:
    """Return the extractor that a table asks for: where it says nothing, the one at hand."""
    if code := [key for key in ("network", "deformation") if key in inside]:
        raise ConfigurationError(f"{code[0]} of features cannot be written in a file", hint="leave it out")
    own = made("reconstruction", Reconstruction, inside)
    return replace(features, **inside) if isinstance(features, Reconstruction) else own


def _factory(name: str) -> Callable[..., object]:
    if name in PARTS:
        return PARTS[name]
    try:
        return loaded(found(name))
    except UnknownNameError:
        known = nearest(name, [*installed(), *PARTS])
        raise UnknownNameError(f"there is no strategy or part of one called {name!r}", hint=known) from None


def takes_features(name: str, factory: Callable[..., object]) -> bool:
    """Whether a strategy's parameter `features` is for the extractor at hand.

    It is where the strategy says that it needs features and brings no extractor but the standard one. Of a factory
    whose needs can only be asked of the strategy it makes, the type of the parameter decides. Anything else that is
    called `features`, such as a number of them, is left alone.

    >>> takes_features("per-cluster", PerCluster), takes_features("random", lambda features=64: None)
    (True, False)
    """
    parameter = accepted_by(name, factory).get("features")
    if parameter is None:
        return False
    if isinstance(factory, DeclaresNeeds) and isinstance(factory.needs, tuple | list):
        return "features" in factory.needs and _is_open(factory, parameter)
    return kinds_of(factory).get("features") is FeatureExtractor and _is_open(factory, parameter)


def _is_open(factory: Callable[..., object], parameter: Parameter) -> bool:
    """Whether a parameter has no default, or that of :class:`Reconstruction`."""
    default = parameter.default
    if is_dataclass(factory) and isinstance(factory, type):
        for entry in fields(factory):
            if entry.name == parameter.name and callable(entry.default_factory):
                default = entry.default_factory()
    return default is Parameter.empty or (isinstance(default, Reconstruction) and default == Reconstruction())
