"""SimpleITK in a process of its own, because it breaks FAISS in a process that imports both."""

import functools
import importlib.util
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

needs_simpleitk = pytest.mark.skipif(importlib.util.find_spec("SimpleITK") is None, reason="needs SimpleITK")


def write_itk(path, array, *, vector=False, compress=False, place=None):
    """Write an array; `place` holds the spacing, the origin and the direction."""
    _apart(_write, str(path), np.ascontiguousarray(array), vector, compress, place)
    return path


def save_again(path, other, shown):
    """Read a volume, write it as 16-bit integers, and return the type of its pixels; check that it lies as `shown`."""
    return _apart(_save_again, str(path), str(other), str(shown))


@functools.cache
def _processes():
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _apart(function, *arguments):
    return _processes().submit(function, *arguments).result()


def _write(path, array, vector, compress, place):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    if place is not None:
        spacing, origin, direction = place
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, path, compress)


def _save_again(path, other, shown):
    import SimpleITK

    image, beside = SimpleITK.ReadImage(path), SimpleITK.ReadImage(shown)
    np.testing.assert_allclose(image.GetDirection(), beside.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), beside.GetOrigin(), atol=1e-6)
    SimpleITK.WriteImage(SimpleITK.Cast(image, SimpleITK.sitkInt16), other)
    return image.GetPixelIDTypeAsString()
