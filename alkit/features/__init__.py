"""Features of images that need no labels, and clusters and near-duplicates found by them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
