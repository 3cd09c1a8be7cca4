"""Frozen values that the stages of an experiment pass to each other. They neither read files nor import torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
