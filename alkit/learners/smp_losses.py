"""The losses of segmentation-models-pytorch, without the rest of the library.

Importing the library imports timm, torchvision and the compiler of torch, which takes longer than importing torch
itself. Its losses need torch alone.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from threading import Lock
from types import ModuleType

PACKAGE = "segmentation_models_pytorch"

_lock = Lock()


def smp_losses() -> ModuleType:
    """Return the module ``segmentation_models_pytorch.losses``.

    It has its usual name, so an import of the library finds it, and there is one class of each name.

    >>> smp_losses().DiceLoss(mode="multiclass").eps
    1e-07
    """
    name = f"{PACKAGE}.losses"
    with _lock:
        if name in sys.modules or PACKAGE in sys.modules:
            return import_module(name)
        package = find_spec(PACKAGE)
        spec = None if package is None else PathFinder.find_spec(name, package.submodule_search_locations)
        if spec is None or spec.loader is None:  # installed in some other way than as files
            return import_module(name)
        module = sys.modules[name] = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
