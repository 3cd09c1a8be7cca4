"""Pools: images by id, from a folder, from arrays or from a torch dataset."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
