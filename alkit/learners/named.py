"""Learners by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from alkit.arguments.checked import checked_except
from alkit.configuration.registry import LEARNERS, create, find, list_plugins
from alkit.errors import ConfigurationError, UnknownNameError
from alkit.protocols import Learner


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all installed learners by name, without importing them.

    A name that two distributions register appears as in :func:`alkit.strategies.installed`.

    >>> "segmentation" in installed()
    True
    """
    return list_plugins(LEARNERS)


def is_installed(name: str) -> bool:
    """Return whether a name is that of an installed learner, as :func:`learner` takes it."""
    try:
        find(name, LEARNERS)
    except UnknownNameError:
        return False
    return True


@checked_except("name")
def learner(name: str, /, **parameters: Any) -> Learner:
    """Make an installed learner.

    Parameters
    ----------
    name:
        Name as listed by :func:`installed`; ``distribution:name`` always works.
    parameters:
        Parameters of the learner.

    Raises
    ------
    UnknownNameError
        No installed learner has this name; the message lists the nearest names.
    ConfigurationError
        Two distributions register the name, the plugin cannot be imported, a parameter is unknown or of the wrong
        type, or the plugin does not return a learner.

    Examples
    --------
    >>> learner("segmentation", lr=1e-3).lr
    0.001
    """
    return check_learner(f"learner {name!r}", create(name, LEARNERS, parameters))


def check_learner(name: str, thing: object) -> Learner:
    """Return `thing` if it is a learner; raise a :class:`ConfigurationError` that begins with `name` otherwise."""
    if isinstance(thing, type) or not isinstance(thing, Learner):
        raise ConfigurationError(
            f"{name} must be an object with the methods fit() and loads()",
            got=f"the class {thing.__name__}" if isinstance(thing, type) else repr(thing),
            hint=f"{thing.__name__}()" if isinstance(thing, type) else None,
        )
    return thing
