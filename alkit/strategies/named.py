"""Strategies by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from alkit.configuration.registry import STRATEGIES, found, loaded, made, registered
from alkit.protocols import Strategy
from alkit.strategies.functions import as_strategy


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all registered strategies by name, importing none.

    A name that two distributions register, or that is one of :data:`RESERVED`, appears as ``distribution:name`` for
    each, and no longer alone. One that a single distribution gives to two things appears as
    ``distribution:name=object``.

    >>> "random" in installed()
    True
    """
    return registered(STRATEGIES)


def strategy(name: str, /, **parameters: Any) -> Strategy:
    """Make a registered strategy.

    Parameters
    ----------
    name:
        As in :func:`installed`; ``distribution:name`` always works.
    parameters:
        The strategy's own.

    Raises
    ------
    UnknownNameError
        No such strategy; the nearest names are listed.
    ConfigurationError
        Two distributions register the name, the plugin cannot be imported, it does not take these parameters (one of
        another name, or of another type than the strategy says), or what it returns is no strategy.

    Examples
    --------
    >>> strategy("random")
    Random()
    >>> strategy("randm")
    Traceback (most recent call last):
    alkit.errors.UnknownNameError: there is no strategy 'randm'. Try: 'random'.
    """
    return as_strategy(f"strategy {name!r}", made(name, loaded(found(name)), parameters))
