"""Masks at the working size of an image, and predictions at its original size, undo each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alkit.errors import ConfigurationError, LabelError
from alkit.labels import resize_mask, to_original, to_working
from alkit.labels.resizing import masks_at_original_size, resize_probabilities
from alkit.values import Box, Frame, LabelSpec, Predictions

SPEC = LabelSpec(("skin", "lesion", "hair"))
SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))
SEEDS = st.integers(0, 2**32 - 1)


def mask_of(size, seed, classes=3):
    return np.random.default_rng(seed).integers(0, classes, size).astype(np.uint8)


def one_hot(mask, classes=3):
    """Return probabilities that are sure of a mask; of ignored pixels they say nothing."""
    return np.stack([np.where(mask == number, 1, 0) for number in range(classes)]).astype(np.float32)


@given(SIZES, SIZES, SEEDS)
def test_squashing_equals_resizing_bit_for_bit(original, working, seed):
    mask, frame = mask_of(original, seed), Frame(original, working)
    assert np.array_equal(to_working(mask, frame, SPEC), resize_mask(mask, working, SPEC))
    planes = np.random.default_rng(seed).random((3, *working), np.float32)
    assert np.array_equal(to_original(planes, frame), resize_probabilities(planes, original))


@given(SIZES, SIZES, SEEDS)
def test_what_is_padded_without_shrinking_comes_back_unchanged(original, more, seed):
    working = original[0] + more[0] - 1, original[1] + more[1] - 1
    frame, mask = Frame(original, working, "pad"), mask_of(original, seed)
    framed = to_working(mask, frame, SPEC)
    assert np.array_equal(framed[frame.content.slices], mask)
    assert (framed == 255).sum() == framed.size - mask.size
    assert np.array_equal(to_original(one_hot(framed), frame), one_hot(mask))
    (back,) = masks_at_original_size(Predictions(("a",), one_hot(framed)[None]), [frame])
    assert np.array_equal(back, mask)


@given(SIZES, SIZES, SEEDS)
def test_padding_loses_no_content_when_it_shrinks(original, working, seed):
    frame, mask = Frame(original, working, "pad"), mask_of(original, seed)
    framed = to_working(mask, frame, SPEC)
    inside = framed[frame.content.slices]
    assert np.array_equal(inside, resize_mask(mask, frame.content.size, SPEC))
    assert (framed != 255).sum() == inside.size
    constant = np.full(original, seed % 3, np.uint8)
    back = to_original(one_hot(to_working(constant, frame, SPEC)), frame)
    np.testing.assert_allclose(back, one_hot(constant), atol=1e-6)


@given(SIZES, st.integers(1, 4), SEEDS)
def test_a_crop_comes_back_in_its_place_and_the_rest_is_background(working, factor, seed):
    original = working[0] * factor, working[1] * factor + 6
    frame, mask = Frame(original, working, "crop"), mask_of(original, seed)
    framed = to_working(mask, frame, SPEC)
    assert np.array_equal(framed, resize_mask(mask[frame.source.slices], working, SPEC))
    back = to_original(one_hot(framed), frame)
    np.testing.assert_allclose(back.sum(axis=0), 1, atol=1e-6)
    outside = np.ones(original, bool)
    outside[frame.source.slices] = False
    assert (back[0][outside] == 1).all()
    (predicted,) = masks_at_original_size(Predictions(("a",), one_hot(framed)[None]), [frame])
    assert not predicted[outside].any()
    if factor == 1:
        assert np.array_equal(predicted[~outside], mask[~outside])


@given(SIZES, SIZES, SEEDS, st.sampled_from(["pad", "crop"]))
def test_the_mask_of_a_frame_is_the_most_probable_class_at_the_original_size(original, working, seed, fit):
    frame = Frame(original, working, fit)
    raw = np.random.default_rng(seed).random((3, *working), np.float32) + np.float32(0.01)
    planes = raw / raw.sum(axis=0)
    (mask,) = masks_at_original_size(Predictions(("a",), planes[None]), [frame])
    assert np.array_equal(mask, to_original(planes, frame).argmax(axis=0))


def test_a_mask_at_the_working_size_loses_what_lies_in_the_padding():
    predicted = np.ones((4, 4), np.uint8)
    framed = to_working(predicted, Frame((2, 4), (4, 4), "pad"), SPEC)
    assert framed.tolist() == [[255] * 4, [1] * 4, [1] * 4, [255] * 4]
    spec = LabelSpec(("skin", "lesion"), ignore=7)
    assert to_working(predicted, Frame((2, 4), (4, 4), "pad"), spec)[0].tolist() == [7] * 4
    assert np.array_equal(to_working(predicted, Frame((4, 8), (4, 4), "crop"), SPEC), predicted)


def test_the_label_of_a_tile_lies_in_its_core():
    frame, mask = Frame((4, 3), (8, 8), box=Box(2, 2, 4, 3)), mask_of((4, 3), 0)
    framed = to_working(mask, frame, SPEC)
    assert np.array_equal(framed[2:6, 2:5], mask)
    assert (framed != 255).sum() == mask.size
    assert np.array_equal(to_original(one_hot(framed), frame), one_hot(mask))


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_a_mask_or_probabilities_of_another_size_are_refused(fit):
    frame = Frame((4, 8), (6, 6), fit)
    with pytest.raises(LabelError, match="mask must have the original or the working size of its image: got 3 x 3"):
        to_working(np.zeros((3, 3), np.uint8), frame, SPEC)
    with pytest.raises(LabelError, match="probabilities must have the working size"):
        to_original(np.zeros((2, 4, 8), np.float32), frame)
    for shape in ((), (0,), (2, 6, 6)):
        with pytest.raises(LabelError, match=r"mask must be \(h, w\): got shape"):
            to_working(np.zeros(shape, np.uint8), frame, SPEC)
    for shape in ((), (6, 6), (0, 6, 6)):
        with pytest.raises(LabelError, match="probabilities must have the working size"):
            to_original(np.zeros(shape, np.float32), frame)
    with pytest.raises(ConfigurationError, match="frames must have the working size of the predictions"):
        masks_at_original_size(Predictions(("a",), np.zeros((1, 2, 4, 4), np.float32)), [frame])
