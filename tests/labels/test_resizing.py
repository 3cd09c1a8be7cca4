"""Probabilities and predicted masks are resized to the original size of an image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from alkit.errors import ConfigurationError
from alkit.labels.resizing import masks_at_original_size, resize_probabilities
from alkit.values import Predictions

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(arrays.arrays(np.float32, st.tuples(st.just(3), *[st.integers(1, 6)] * 2), elements=st.floats(0, 1, width=32)))
def test_enlarged_probabilities_equal_a_bilinear_reference(planes):
    size = planes.shape[1] * 2 + 1, planes.shape[2] + 3
    places = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(size, planes.shape[1:], strict=True)]
    grid = np.meshgrid(*places, indexing="ij")
    wanted = [ndimage.map_coordinates(plane.astype(np.float64), grid, order=1, mode="nearest") for plane in planes]
    np.testing.assert_allclose(resize_probabilities(planes, size), wanted, atol=1e-5)


@given(arrays.arrays(np.float32, (3, 5, 4), elements=st.floats(0, 1, width=32)), SIZES)
def test_resized_probabilities_add_up_to_one_and_masks_are_their_arg_max(raw, size):
    raw = raw + np.float32(0.01)
    planes = raw / raw.sum(axis=0)
    resized = resize_probabilities(planes, size)
    assert resized.shape == (3, *size)
    np.testing.assert_allclose(resized.sum(axis=0), 1, atol=1e-5)
    (mask,) = masks_at_original_size(Predictions(("a",), planes[None]), [size])
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, resized.argmax(axis=0))


def test_shrinking_averages_the_pixels_that_it_merges():
    stripes = np.zeros((1, 1, 64), np.float32)
    stripes[..., ::2] = 1
    assert abs(resize_probabilities(stripes, (1, 4)) - 0.5).max() < 0.05  # not 0 or 1


def test_a_mask_at_the_working_size_equals_the_prediction_and_ties_go_to_the_lower_class():
    probabilities = np.array([[[[0.5, 0.2]], [[0.5, 0.4]], [[0.0, 0.4]]]], np.float32)
    predictions = Predictions(("a",), probabilities)
    assert np.array_equal(masks_at_original_size(predictions, [(1, 2)])[0], predictions.labels[0])
    assert predictions.labels[0].tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("shape", "sizes", "words"),
    [((2, 3, 4, 4), [(4, 4)], "one size per image"), ((2, 3), [(4, 4)] * 2, "must be of pixels")],
)
def test_predictions_must_be_of_pixels_and_have_one_size_each(shape, sizes, words):
    with pytest.raises(ConfigurationError, match=words):
        masks_at_original_size(Predictions(("a", "b"), np.zeros(shape, np.float32)), sizes)
