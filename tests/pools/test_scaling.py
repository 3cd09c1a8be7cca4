"""Scales map stored values to [0, 1]."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from small_pools import IMAGES

from alkit.errors import ConfigurationError
from alkit.pools import ArrayPool, DatasetPool
from alkit.pools.scaling import scale_pixels

any_pixels = arrays.arrays(np.uint8, (3, 2, 3, 4)) | arrays.arrays(np.uint16, (3, 2, 3, 4))


@given(any_pixels)
def test_minmax_stretches_each_image_over_all_its_channels(pixels):
    expected = np.zeros(pixels.shape)
    for image, stretched in zip(pixels.astype(float), expected, strict=True):
        if image.max() > image.min():
            stretched[:] = (image - image.min()) / (image.max() - image.min())
    got = scale_pixels(pixels, "minmax")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert got.min() >= 0
    assert got.max() <= 1


@given(any_pixels)
def test_full_divides_by_the_greatest_value_of_the_type(pixels):
    got = scale_pixels(pixels, "full")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, pixels.astype(float) / (255 if pixels.dtype == np.uint8 else 65535), atol=1e-7)


@given(arrays.arrays(np.float64, (2, 1, 3, 4), elements=st.floats(0, 1)))
def test_floats_stay_in_range_under_both_scales(pixels):
    np.testing.assert_array_equal(scale_pixels(pixels, "full"), pixels.astype(np.float32))
    for image, stretched in zip(pixels.astype(np.float32), scale_pixels(pixels, "minmax"), strict=True):
        assert stretched.min() == 0
        assert stretched.max() == (image.max() > image.min())


def test_a_constant_image_becomes_zero():
    np.testing.assert_array_equal(scale_pixels(np.full((1, 1, 2, 2), 9, np.uint8), "minmax"), 0)


@pytest.mark.parametrize("make", [ArrayPool, lambda images, scale: DatasetPool(images, "abcdefg", scale=scale)])
def test_an_unknown_scale_is_an_error(make):
    with pytest.raises(ConfigurationError, match="scale must be 'minmax' or 'full': got 'zscore'"):
        make(IMAGES, scale="zscore")
