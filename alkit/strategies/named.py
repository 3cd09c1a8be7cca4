"""Strategies by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from alkit.configuration.registry import STRATEGIES, found, loaded, made, registered
from alkit.protocols import Strategy
from alkit.strategies.functions import as_strategy


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all installed strategies by name, without importing them.

    If two distributions register the same name, or a name is reserved for compositions, the name appears as
    ``distribution:name``. If one distribution registers a name twice, it appears as ``distribution:name=object``.

    >>> "random" in installed()
    True
    """
    return registered(STRATEGIES)


def strategy(name: str, /, **parameters: Any) -> Strategy:
    """Make an installed strategy.

    Parameters
    ----------
    name:
        Name as listed by :func:`alkit.strategies.installed`; ``distribution:name`` always works.
    parameters:
        Parameters of the strategy.

    Raises
    ------
    UnknownNameError
        No installed strategy has this name; the message lists the nearest names.
    ConfigurationError
        Two distributions register the name, the plugin cannot be imported, a parameter is unknown or of the wrong
        type, or the plugin does not make a strategy.

    Examples
    --------
    >>> strategy("random")
    Random()
    >>> strategy("randm")
    Traceback (most recent call last):
    alkit.errors.UnknownNameError: there is no strategy 'randm'. Try: 'random'.
    """
    return as_strategy(f"plugin {name!r}", made(name, loaded(found(name)), parameters))
