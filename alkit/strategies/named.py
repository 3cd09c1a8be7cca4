"""Strategies by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from alkit.arguments.checked import checked_except
from alkit.configuration.registry import STRATEGIES, create, list_plugins
from alkit.protocols import Strategy
from alkit.strategies.functions import as_strategy


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all installed strategies by name, without importing them.

    A name that two distributions register, or that a strategy file reserves for a part of alkit, appears as
    ``distribution:name`` for each of them and not on its own. A name that one distribution gives to two objects appears
    as ``distribution:name=object``.

    >>> "random" in installed()
    True
    """
    return list_plugins(STRATEGIES)


@checked_except("name")
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
        type, or the plugin does not return a strategy.

    Examples
    --------
    >>> strategy("random")
    Random()
    >>> strategy("randm")
    Traceback (most recent call last):
    alkit.errors.UnknownNameError: strategy 'randm' is not installed. Try: 'random'.
    """
    return as_strategy(f"plugin {name!r}", create(name, STRATEGIES, parameters))
