"""Frames: where an image lies in its working size, in whole pixels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alkit.errors import ConfigurationError
from alkit.values import Box, Frame

SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))
LARGE = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6))


@given(LARGE, LARGE, st.sampled_from(["squash", "pad", "crop"]))
def test_both_rectangles_lie_inside_their_images(original, working, fit):
    frame = Frame(original, working, fit)
    for box, size in ((frame.source, original), (frame.content, working)):
        assert min(box.size) >= 1
        assert min(box) >= 0
        assert box.top + box.height <= size[0]
        assert box.left + box.width <= size[1]
    assert frame.fills == (frame.content.size == working)


@given(LARGE, LARGE)
def test_padding_loses_no_content_and_neither_enlarges_nor_shrinks_more_than_it_must(original, working):
    frame = Frame(original, working, "pad")
    assert frame.source == (0, 0, *original)
    if original[0] <= working[0] and original[1] <= working[1]:
        assert frame.content.size == original
    else:
        assert frame.content.height == working[0] or frame.content.width == working[1]
        factor = min(working[0] / original[0], working[1] / original[1])
        for side, whole in zip(frame.content.size, original, strict=True):
            assert side == 1 or abs(side - factor * whole) <= 0.5 + 1e-6


@given(SIZES, SIZES)
def test_cropping_keeps_the_largest_rectangle_of_the_proportions_in_the_middle(original, working):
    frame = Frame(original, working, "crop")
    assert frame.content == (0, 0, *working)
    box = frame.source
    assert box.height == original[0] or box.width == original[1]
    assert 0 <= original[0] - box.height - 2 * box.top <= 1
    assert 0 <= original[1] - box.width - 2 * box.left <= 1
    factor = min(original[0] / working[0], original[1] / working[1])
    for side, whole in zip(box.size, working, strict=True):
        assert side == 1 or abs(side - factor * whole) <= 0.5 + 1e-6


@given(SIZES, st.sampled_from(["squash", "pad", "crop"]))
def test_an_image_of_the_working_size_stays_as_it_is(size, fit):
    frame = Frame(size, size, fit)
    assert frame.source == frame.content == (0, 0, *size)
    assert frame.fills


def test_a_box_places_an_image_among_its_surroundings():
    frame = Frame((8, 6), (12, 12), box=Box(2, 2, 8, 6))
    assert frame.source == (0, 0, 8, 6)
    assert frame.content == (2, 2, 8, 6)
    assert not frame.fills


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((0, 4), (4, 4)), "original must be"),
        (((4, 4), (4, 0)), "working must be"),
        (((4, 4), (4, 4), "stretch"), "fit must be 'squash' or 'pad' or 'crop'"),
        (((4, 4), (4, 4), "pad", Box(1, 0, 4, 4)), "box must be a rectangle inside an image of 4 x 4 pixels"),
        (((4, 4), (4, 4), "pad", Box(-1, 0, 4, 4)), "box must be"),
        (((4, 4), (4, 4), "pad", Box(0, 0, 0, 4)), "box must be"),
        (((4, 4), (4, 4), "crop", None, Box(1, 0, 4, 4)), "part must be a rectangle inside an image of 4 x 4 pixels"),
        (((4, 4), (4, 4), "pad", None, Box(0, 0, 4, 4)), "part needs fit='crop' and no box"),
    ],
)
def test_a_wrong_frame_is_an_error_that_names_the_parameter(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        Frame(*arguments)
