"""Strategies: from what is known of a pool to the ids to label."""

import sys
import types
import warnings

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _FormerFunction(types.ModuleType):
    """Until the next release ``alkit.strategies.installed()`` lists the installed strategies, as it did in 0.1."""

    def __call__(self) -> object:
        warnings.warn("alkit.strategies() is now alkit.strategies.installed()", DeprecationWarning, stacklevel=2)
        return self.installed()


sys.modules[__name__].__class__ = _FormerFunction
