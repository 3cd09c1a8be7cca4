"""Acquisition scores: functions that say how informative the label of an image would be. Higher is more informative."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
