"""Query strategies: they select the ids of the images to label next."""

import sys
import types
import warnings

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _FormerFunction(types.ModuleType):
    """Lets ``alkit.strategies()`` list the installed strategies, as in 0.1, until the next release."""

    def __call__(self) -> object:
        warnings.warn("alkit.strategies() is now alkit.strategies.installed()", DeprecationWarning, stacklevel=2)
        return self.installed()


sys.modules[__name__].__class__ = _FormerFunction
