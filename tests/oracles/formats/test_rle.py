"""Run-length encodings and polygons agree with pycocotools, and damaged ones are refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as reference

from alkit.errors import LabelError
from alkit.oracles import rle

planes = arrays.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))
RING = np.pad(np.pad(np.zeros((2, 3), bool), 1, constant_values=True), 2)


def decoded_by_pycocotools(code):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it uses an outdated way to copy arrays
        return reference.decode({**code, "counts": code["counts"].encode()}) > 0


def runs_of(plane):
    """Return the runs down the columns, in a slow and obvious way."""
    runs, value = [0], False
    for pixel in plane.ravel(order="F"):
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@given(planes)
@example(RING)
@example(np.zeros((1, 1), bool))
@example(np.ones((3, 2), bool))
def test_an_encoded_mask_is_decoded_exactly_as_by_pycocotools(plane):
    code = rle.encode(plane)
    np.testing.assert_array_equal(rle.decode(code, plane.shape), plane)
    np.testing.assert_array_equal(decoded_by_pycocotools(code), plane)


@given(planes)
@example(RING)
def test_an_uncompressed_code_is_decoded_to_the_same_mask(plane):
    code = {"size": list(plane.shape), "counts": runs_of(plane)}
    np.testing.assert_array_equal(rle.decode(code, plane.shape), plane)
    assert rle.encode(plane)["counts"] == reference.frPyObjects(code, *plane.shape)["counts"].decode()


def test_runs_longer_than_one_group_of_bits_are_read():
    plane = np.zeros((3000, 2000), bool)
    plane[17:2950, 3:1990] = True
    plane[100:200, 500] = False
    np.testing.assert_array_equal(rle.decode(rle.encode(plane), plane.shape), plane)


@given(st.text(alphabet=[chr(code) for code in range(48, 112)], max_size=30))
@example("")
@example("0" * 1000)
def test_a_damaged_code_is_refused_and_never_reads_foreign_memory(text):
    """pycocotools accepts some of these codes and returns uninitialised memory."""
    try:
        plane = rle.decode({"size": [4, 4], "counts": text}, (4, 4))
    except LabelError:
        return
    assert rle.encode(plane)["counts"] == rle.encode(decoded_by_pycocotools({"size": [4, 4], "counts": text}))["counts"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "must be a run-length encoding or polygons: got NoneType"),
        ({"size": [2, 2]}, "must be a run-length encoding or polygons"),
        ({"size": [2, 3], "counts": [6]}, r"must have the size of its image: got \[2, 3\], expected \[2, 2\]"),
        ({"size": [2, 2], "counts": [3]}, "damaged: got 3 pixels, expected 4"),
        ({"size": [2, 2], "counts": []}, "damaged: got 0 pixels"),
        ({"size": [2, 2], "counts": [5, -1]}, "damaged"),
        ({"size": [2, 2], "counts": [2.0, 2.0]}, "damaged"),
        ({"size": [2, 2], "counts": [True, 3]}, "damaged"),
        ({"size": [2, 2], "counts": 4}, "damaged"),
        ({"size": [2, 2], "counts": [2**70]}, "damaged"),
        ({"size": [2, 2], "counts": "ä"}, "damaged"),
        ({"size": [2, 2], "counts": "P" * 50}, "damaged"),
        ({"size": [2, 2], "counts": "2P"}, "truncated"),
    ],
)
def test_anything_that_is_not_a_code_is_refused(code, message):
    with pytest.raises(LabelError, match=message):
        rle.decode(code, (2, 2))


corners = st.lists(st.floats(-5, 25, allow_nan=False), min_size=6, max_size=16).filter(
    lambda points: not len(points) % 2
)


@given(corners)
@example([2, 2, 12, 2, 12, 9, 2, 9])
def test_a_polygon_is_drawn_as_pycocotools_draws_it(points):
    (code,) = reference.frPyObjects([[float(number) for number in points]], 15, 20)
    expected = decoded_by_pycocotools({**code, "counts": code["counts"].decode()})
    np.testing.assert_array_equal(rle.polygon(points, (15, 20)), expected)


def test_a_box_of_whole_pixels_is_drawn_exactly():
    expected = np.zeros((15, 20), bool)
    expected[2:9, 3:12] = True
    np.testing.assert_array_equal(rle.polygon([3, 2, 12, 2, 12, 9, 3, 9], (15, 20)), expected)


@pytest.mark.parametrize(
    "points",
    [None, "1,2", [], [1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, float("nan")], [1, 2, 3, 4, 5, float("inf")],
     [1, 2, 3, 4, 5, 10**400], [1, 2, 3, 4, 5, 1e9], [1, 2, 3, 4, 5, "6"], [1, 2, 3, 4, 5, None]],
)  # fmt: skip
def test_a_damaged_polygon_is_refused_before_it_hangs_pycocotools(points):
    with pytest.raises(LabelError, match="polygon"):
        rle.polygon(points, (15, 20))


@given(planes.filter(np.any))
def test_a_box_is_the_smallest_around_a_mask(plane):
    left, top, width, height = rle.box(plane)
    inside = plane[top : top + height, left : left + width]
    assert inside.shape == (height, width)
    assert inside.sum() == plane.sum()
    for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert side.any()
