"""alkit: active learning for people who annotate images.

Everything public is listed in ``__init__.pyi`` and loaded when it is first used, so that ``import alkit`` is quick.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
