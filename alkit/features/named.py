"""Feature extractors by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from alkit.arguments.checked import checked, checked_except
from alkit.configuration.registry import FEATURES, create, list_plugins
from alkit.errors import ConfigurationError
from alkit.protocols import FeatureExtractor


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all installed feature extractors by name, without importing them.

    A name that two distributions register appears as in :func:`alkit.strategies.installed`.

    >>> "reconstruction" in installed()
    True
    """
    return list_plugins(FEATURES)


@checked_except("name")
def extractor(name: str, /, **parameters: Any) -> FeatureExtractor:
    """Make an installed feature extractor.

    Parameters
    ----------
    name:
        Name as listed by :func:`installed`; ``distribution:name`` always works.
    parameters:
        Parameters of the extractor.

    Raises
    ------
    UnknownNameError
        No installed feature extractor has this name; the message lists the nearest names.
    ConfigurationError
        Two distributions register the name, the plugin cannot be imported, a parameter is unknown or of the wrong
        type, or the plugin does not return a feature extractor.

    Examples
    --------
    >>> extractor("reconstruction", epochs=3).epochs
    3
    """
    return check_extractor(f"feature extractor {name!r}", create(name, FEATURES, parameters))


@checked
def check_extractor(name: str, thing: object) -> FeatureExtractor:
    """Return `thing` if it is a feature extractor, or raise a :class:`ConfigurationError` that begins with `name`."""
    if isinstance(thing, type) or not isinstance(thing, FeatureExtractor):
        raise ConfigurationError(
            f"{name} must be an object with a method fit(pool, rng)",
            got=f"the class {thing.__name__}" if isinstance(thing, type) else repr(thing),
            hint=f"{thing.__name__}()" if isinstance(thing, type) else None,
        )
    return thing
