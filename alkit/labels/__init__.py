"""Masks as files, masks at other sizes, and rules that join the labels of several annotators."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
