import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from alkit.errors import LabelError
from alkit.oracles.labelstudio.brush import decode_brush, encode_brush

painted = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(painted)
def test_decoding_restores_what_was_encoded(mask):
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), mask.shape), 255 * mask)


def test_runs_longer_than_the_greatest_length_are_decoded():
    mask = np.zeros((300, 400), bool)
    mask[100:290] = True
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), mask.shape), 255 * mask)


def test_single_values_and_soft_edges_are_decoded_as_label_studio_encodes_them():
    # Made by encode_rle of label_studio_sdk 2.1.2 from [[255] * 4] * 3, then [9 8 7 128] [0 0 0 0] [1 2 3 127].
    code = [0, 0, 0, 24, 57, 27, 253, 191, 240, 2, 64, 8, 0, 28, 8, 8, 192, 0, 1, 0, 8, 0, 48, 31, 192]
    assert decode_brush(code, (2, 3)).tolist() == [[255, 255, 255], [128, 0, 127]]


@given(painted, st.data())
def test_a_code_that_is_cut_off_is_refused(mask, data):
    code = encode_brush(mask)
    length = data.draw(st.integers(0, len(code) - 1))
    with pytest.raises(LabelError, match="is cut off"):
        decode_brush(code[:length], mask.shape)


def test_a_code_of_another_image_is_refused():
    with pytest.raises(
        LabelError, match="does not match the size of its image: got 24 values of 8 bits, expected 16 of 8 bits"
    ):
        decode_brush(encode_brush(np.ones((2, 3), bool)), (2, 2))


def test_a_run_beyond_the_image_is_refused():
    code = encode_brush(np.ones((4, 4), bool))
    code[3] = 60  # of 64 values
    with pytest.raises(LabelError, match="more values than its header says: got 64, expected 60"):
        decode_brush(code, (3, 5))


@pytest.mark.parametrize("code", [None, "abc", [1, 256], [1.5], {"rle": 1}])
def test_values_that_are_not_bytes_are_refused(code):
    with pytest.raises(LabelError, match="must hold a list of bytes"):
        decode_brush(code, (1, 1))
