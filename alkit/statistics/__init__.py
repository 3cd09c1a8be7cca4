"""Statistics over random seeds: learning curves with intervals, paired comparisons of methods, saved labels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
