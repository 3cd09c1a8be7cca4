"""The trained model of an experiment: predict folders of images, export the model, and describe it in a card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
