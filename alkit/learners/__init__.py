"""Learners train a model on the labels collected so far. The trained model is a predictor."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
