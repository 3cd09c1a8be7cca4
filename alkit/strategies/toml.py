"""Strategy files: a strategy in TOML, with its compositions and parts.

A table with a ``name`` is a strategy, a sampler or a feature extractor; its other entries are the parameters::

    name = "then"
    after = 300
    cold = { name = "ssl-cluster", clusters = 10 }

    [warm]
    name = "filter"
    factor = 5
    ranking = { name = "uncertainty", score = "bald", sampler = { name = "dropout", draws = 10 } }
    then = { name = "random" }

Names are those of the installed strategies, and of alkit's own compositions and samplers
(:data:`alkit.configuration.parts.PARTS`). An installed strategy with the name of a part needs its full name,
``distribution:name``. A table for a parameter of type :class:`alkit.protocols.FeatureExtractor` takes the name of an
installed feature extractor. Names and types of parameters are checked as everywhere, and an error says which table it
is in.

A file may come from a stranger, so it cannot say where to compute: parameters such as `device` and `cache` are
refused. It cannot name a path of weights either.

Parameters for features get the default extractor that the caller passes; ``alkit run`` passes the one that its options
describe. A table with the name of that extractor states only what differs from it::

    name = "ssl-cluster"
    features = { name = "reconstruction", epochs = 3 }
"""

from __future__ import annotations

import os
import pkgutil
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass, replace
from inspect import Parameter
from pathlib import Path
from typing import Any, Protocol, cast, get_args

from alkit.arguments.checked import checked
from alkit.configuration.parameters import kinds_of
from alkit.configuration.parts import PARTS
from alkit.configuration.registry import (
    FEATURES,
    STRATEGIES,
    Group,
    call,
    find,
    list_plugins,
    load,
    parameters_of,
)
from alkit.errors import AlkitError, ConfigurationError, UnknownNameError, nearest
from alkit.features.embeddings import Embeddings
from alkit.features.embeddings import check_form as check_embeddings
from alkit.features.named import check_extractor
from alkit.features.pretrained import Pretrained
from alkit.features.reconstruction import Reconstruction
from alkit.features.weights import check_form as check_pretrained
from alkit.protocols import DeclaresNeeds, FeatureExtractor, Sampler, Strategy
from alkit.strategies.asking import Ranking
from alkit.strategies.functions import as_strategy, is_among
from alkit.strategies.mix import Mix

LONGEST = 2**14
"""Greatest number of bytes of a file. The time to read a hostile file grows with the square of its length."""


def mix_tables(parts: list[Any]) -> Mix:
    """Mix the strategies of tables ``{share = 0.7, strategy = {...}}``."""
    for place, part in enumerate(parts):
        if not isinstance(part, dict) or set(part) != {"share", "strategy"}:
            raise ConfigurationError(
                "the parts of a mix must be tables",
                got=parts,
                expected='{ share = 0.7, strategy = { name = "random" } }',
            )
        _check_named(f"parts[{place}].strategy", part["strategy"])
    mixed: dict[Any, Any] = {}
    for place, part in enumerate(parts):
        if is_among(part["strategy"], mixed):
            raise ConfigurationError(
                f"parts[{place}].strategy is the same as that of an earlier part",
                got=repr(part["strategy"]),
                hint="use one part with the sum of the shares",
            )
        try:
            mixed[part["strategy"]] = part["share"]
        except TypeError as reason:  # it cannot be hashed
            raise ConfigurationError(f"parts[{place}].strategy cannot be compared with others ({reason})") from reason
    return Mix(mixed)


@checked
def read_strategy(path: str | Path, features: FeatureExtractor | None = None) -> Strategy:
    """Return the strategy of a TOML file.

    Parameters
    ----------
    path:
        File that contains a table with a name, or one such table called ``strategy``.
    features:
        Default extractor for every part that takes features (see :func:`takes_features`) and states none. A table of
        the same class of extractor takes from it the parameters that it does not state.

    Raises
    ------
    ConfigurationError
        The file cannot be read or does not describe a strategy; the message says which table is wrong.
    UnknownNameError
        A name is unknown; the message lists the nearest names.
    """
    try:
        table = _read(path)
    except FileNotFoundError as reason:
        raise ConfigurationError(f"the strategy file {path} does not exist", hint="check the path") from reason
    except (OSError, ValueError, RecursionError) as reason:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ConfigurationError(f"{path} cannot be read as a TOML file ({reason})") from reason
    inner = table["strategy"] if set(table) == {"strategy"} else table
    if not isinstance(inner, dict):
        raise ConfigurationError(f"strategy in {path} must be a table", got=repr(inner), expected='name = "random"')
    try:
        return _strategy(inner, features, str(path), "strategy" if inner is not table else "")
    except RecursionError as reason:
        raise ConfigurationError(f"the tables of {path} are nested too deeply") from reason


def _read(path: str | Path) -> dict[str, Any]:
    """Return the tables of a file, which may be a stranger's; an :class:`OSError` or a :class:`ValueError` if none."""
    if stat.S_ISFIFO(os.stat(path).st_mode):
        raise ValueError("it is a pipe, and not a file")
    with open(path, "rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise ValueError(f"it has more than {LONGEST} bytes")
    return tomllib.loads(content.decode())


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
    return as_strategy(_place(whole, path), _part(table, features, whole, path, object))


def _part(value: object, features: FeatureExtractor | None, whole: str, path: str, kind: object) -> Any:
    """Make the object that a value describes.

    Parameters
    ----------
    whole, path:
        File and place in the file, for messages.
    kind:
        Declared type of the parameter.
    """
    if isinstance(value, list):
        return [_part(entry, features, whole, f"{path}[{place}]", object) for place, entry in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    with _blame(whole, path):
        name = str(value.get("name"))
        group, factory = _factory(name, kind) if "name" in value else (STRATEGIES, None)
        kinds = {} if factory is None else kinds_of(factory)
    inside = {
        key: _part(entry, features, whole, f"{path}.{key}".lstrip("."), kinds.get(key, object))
        for key, entry in value.items()
        if key != "name"
    }
    if factory is None:
        return inside
    with _blame(whole, path):
        _check_runtime(name, factory, inside)
        if group is FEATURES:
            return _extractor(name, factory, inside, features)
        for key, entry in inside.items():
            if kinds.get(key) in (Strategy, Ranking, Sampler, FeatureExtractor):
                _check_named(key, entry)
        if features is not None and "features" not in inside and takes_features(name, factory):
            inside = {**inside, "features": features}
        return call(name, factory, inside)


def _check_runtime(name: str, factory: Callable[..., object], inside: Mapping[str, object]) -> None:
    """Raise a :class:`ConfigurationError` if a table says where to compute: a file may come from a stranger."""
    if isinstance(factory, type) and is_dataclass(factory):
        for entry in fields(factory):
            if entry.metadata.get("runtime") and entry.name in inside:
                raise ConfigurationError(
                    f"{entry.name} of {name!r} says where to compute, and a strategy file may not set it",
                    hint=f"leave it out; in Python, pass an extractor with {entry.name}=... to read_strategy",
                )


@contextmanager
def _blame(whole: str, path: str) -> Iterator[None]:
    """Name the file and the table in an error of alkit."""
    try:
        yield
    except AlkitError as reason:
        alike = type(reason).__init__ is AlkitError.__init__  # an error class of a plugin may take other arguments
        raise (type(reason) if alike else ConfigurationError)(f"{_place(whole, path)}: {reason}") from reason


def _place(whole: str, path: str) -> str:
    return f"{whole}, at {path}" if path else whole


def _check_named(key: str, value: object) -> None:
    """Raise a :class:`ConfigurationError` if a part is a table without a name."""
    if isinstance(value, dict):
        raise ConfigurationError(f"{key} has no name", got=value, expected='name = "..."')


def _extractor(
    name: str, factory: Callable[..., object], inside: dict[str, Any], default: FeatureExtractor | None
) -> FeatureExtractor:
    """Return the extractor of a table; if it has the class of the default, it changes only the stated parameters."""
    kinds = kinds_of(factory)
    for key, value in inside.items():
        if _needs_code(kinds.get(key), value):
            raise ConfigurationError(f"{key} of {name!r} cannot be written in a file", hint="leave it out")
    if factory is Pretrained:
        check_pretrained(inside)
    if factory is Embeddings:
        check_embeddings(inside)
    own = check_extractor(f"feature extractor {name!r}", call(name, factory, inside, FEATURES))
    if type(default) is factory and is_dataclass(default) and not isinstance(default, type):
        return replace(default, **inside)
    return own


def _needs_code(kind: object, value: object) -> bool:
    """Whether a plain value stands where a class of Python is declared, such as a network factory."""
    plain = isinstance(value, str | int | float | list | dict)
    return plain and isinstance(kind, type) and (is_dataclass(kind) or cast(type, Protocol) in kind.__mro__)


def _factory(name: str, kind: object) -> tuple[Group, Callable[..., object]]:
    """Return the class or function of this name and its group: an extractor if `kind`, the declared type, is one.

    If the declared type is something else, strategies and parts come first.
    """
    if kind is FeatureExtractor or FeatureExtractor in get_args(kind):
        return FEATURES, load(find(name, FEATURES), FEATURES)
    if name in PARTS:
        return STRATEGIES, pkgutil.resolve_name(PARTS[name])
    for group in (STRATEGIES, FEATURES):
        with suppress(UnknownNameError):
            return group, load(find(name, group), group)
    known = nearest(name, [*list_plugins(STRATEGIES), *PARTS, *list_plugins(FEATURES)])
    raise UnknownNameError(f"strategy or part {name!r} is not installed", hint=known)


def takes_features(name: str, factory: Callable[..., object]) -> bool:
    """Whether the parameter `features` of a strategy is for the default extractor.

    It is if the strategy declares that it needs features and has no default extractor except
    ``alkit.Reconstruction()`` or ``alkit.features.Pretrained()``. If the needs depend on the strategy that a factory
    makes, the annotation of the parameter decides. Other parameters called `features`, such as a number, are not
    touched.

    >>> from alkit.strategies import PerCluster
    >>> takes_features("per-cluster", PerCluster), takes_features("random", lambda features=64: None)
    (True, False)
    """
    parameter = parameters_of(name, factory).get("features")
    if parameter is None:
        return False
    if isinstance(factory, DeclaresNeeds) and isinstance(factory.needs, tuple | list):
        return "features" in factory.needs and _is_open(factory, parameter)
    return kinds_of(factory).get("features") is FeatureExtractor and _is_open(factory, parameter)


def _is_open(factory: Callable[..., object], parameter: Parameter) -> bool:
    """Whether a parameter has no default, or one of alkit's extractors with all its defaults."""
    default = _default_of(factory, parameter)
    return default is Parameter.empty or any(
        type(default) is one and default == one() for one in (Pretrained, Reconstruction)
    )


def _default_of(factory: Callable[..., object], parameter: Parameter) -> object:
    if is_dataclass(factory) and isinstance(factory, type):
        for entry in fields(factory):
            if entry.name == parameter.name and callable(entry.default_factory):
                return entry.default_factory()
    return parameter.default


def keeps_reconstruction(strategy: str) -> bool:
    """Whether the features of a strategy, by name or in a file, are by its own default those of a reconstruction.

    It is false for names that are not installed and files that cannot be read, which are errors elsewhere.

    >>> keeps_reconstruction("ssl-cluster"), keeps_reconstruction("random")
    (True, False)
    """
    if not strategy.endswith(".toml"):
        return _has_reconstruction(strategy)
    try:
        return any(_has_reconstruction(name) for name in _names_in(_read(strategy)))
    except (OSError, ValueError, RecursionError):
        return False


def _has_reconstruction(name: str) -> bool:
    try:
        factory = _factory(name, object)[1]
        parameter = parameters_of(name, factory).get("features")
    except AlkitError:
        return False
    return parameter is not None and isinstance(_default_of(factory, parameter), Reconstruction)


def _names_in(value: object) -> Iterator[str]:
    """Yield the names of all tables that do not state their features."""
    if isinstance(value, dict) and isinstance(name := value.get("name"), str) and "features" not in value:
        yield name
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names_in(inner)
