"""Active learning for people who annotate images.

Most programs need only the names below. Others are in namespaces such as :mod:`alkit.strategies` and
:mod:`alkit.scores`. All of them are loaded when they are first used, so that ``import alkit`` is quick.
"""

import pkgutil
import warnings

import lazy_loader

from alkit.configuration.former_names import FORMER
from alkit.configuration.start import STARTED as _STARTED  # noqa: F401  # the time is taken now

__version__ = "0.1.0"
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name in FORMER:
        warnings.warn(f"alkit.{name} is now {FORMER[name]}", DeprecationWarning, stacklevel=2)
        return pkgutil.resolve_name(FORMER[name])
    return _load(name)
