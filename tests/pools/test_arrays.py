"""Pools of arrays."""

from __future__ import annotations

import numpy as np
import pytest
from small_pools import IMAGES

from alkit.errors import ConfigurationError, DataError
from alkit.pools import ArrayPool, DatasetPool


def test_ids_are_positions_by_default_with_enough_digits_to_sort():
    assert ArrayPool(IMAGES).ids == tuple(f"000{row}" for row in range(7))
    many = ArrayPool(np.zeros((10_001, 1, 1), np.uint8)).ids
    assert many[0] == "00000"
    assert list(many) == sorted(many)


def test_a_mapping_is_read_in_the_order_of_the_given_ids():
    pool = ArrayPool({"x": IMAGES[0], "y": IMAGES[1], "z": IMAGES[2]}, ids=["z", "x"])
    assert pool.ids == ("z", "x")
    np.testing.assert_array_equal(pool.read(["z", "x"]), IMAGES[[2, 0]] / np.float32(255))


def test_arrays_are_not_copied():
    images = IMAGES.copy()
    pools = ArrayPool(images), ArrayPool({"0000": images[0]})
    images[0] = 255
    for pool in pools:
        assert pool.read(["0000"]).min() == 1


@pytest.mark.parametrize("row", [0, 4, 5, 9])
@pytest.mark.parametrize("value", [1.5, -0.5, np.nan])
def test_the_first_image_with_a_bad_value_is_named_whatever_block_it_is_in(row, value, monkeypatch):
    images = np.zeros((10, 2, 2), np.float32)
    images[row:, 1, 0] = value
    monkeypatch.setattr("alkit.pools.checks.BLOCK", 2 * images[0].nbytes + 1)
    with pytest.raises(DataError, match=f"image '000{row}' must have values from 0 to 1"):
        ArrayPool(images)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_read_unchanged(dtype):
    images = np.array([[[0, 0.25], [0.5, 1]]], dtype)
    np.testing.assert_array_equal(ArrayPool(images).read(["0000"])[0, 0], images[0])


def bad_arrays():
    nan = np.zeros((3, 4, 4))
    nan[2, 1, 1] = np.nan
    yield "shape", (np.zeros((4, 4)),), r"images must have the shape \(n, h, w\), .* or \(n, h, w, c\): got \(4, 4\)"
    yield "none", (np.zeros((0, 4, 4)),), "images must contain at least one"
    yield "no mapping", ({},), "images must contain at least one"
    yield "no pixels", (np.zeros((2, 0, 4)),), r"'0000' must have the shape \(h, w\), .*: got \(1, 0, 4\)"
    yield "integers", (np.zeros((2, 4, 4), int),), "'0000' must have the type uint8, uint16 or floats .*: got int64"
    yield "booleans", (np.zeros((2, 4, 4), bool),), "'0000' must have the type .*: got bool"
    yield "0 to 255", (np.full((2, 4, 4), 255.0),), r"'0000' must have values from 0 to 1: got 255\.0"
    yield "negative", (np.full((2, 4, 4), -0.1),), "must have values from 0 to 1: got -0.1.*Try: subtract the lowest"
    yield "not a number", (nan,), "'0002' must have values from 0 to 1"
    yield "infinite", (np.full((1, 2, 2), np.inf),), "must have values from 0 to 1: got inf"
    yield (
        "channels first or last",
        (np.zeros((2, 3, 9, 3), np.uint8),),
        r"\(3, 9, 3\), which is 9 x 3 pixels with 3 channels, or 3 x 9 pixels with 3 channels.*channels='last'",
    )
    yield "too few ids", (IMAGES, ["a"]), "must have the same length: got 1 ids, 7 images"
    yield "ids twice", (IMAGES, ["a"] * 7), "ids must be distinct: got 'a'"
    yield "numbers as ids", (IMAGES, range(7)), "ids must be strings: got 0 of type int"
    yield "one string of ids", (IMAGES, "abcdefg"), "ids must be a sequence of strings: got the string"
    yield "no such key", ({"a": IMAGES[0]}, ["a", "b"]), r"ids must be keys of the mapping images: got \['b'\]"
    yield "mixed shapes", ({"a": IMAGES[0], "b": IMAGES[0, :, 1:]},), r"'a' \(1, 6, 5\) uint8, 'b' \(1, 5, 5\) uint8"
    yield "mixed types", ({"a": IMAGES[0], "b": IMAGES[0] / 255},), "'a' .* uint8, 'b' .* float64"


@pytest.mark.parametrize(("arguments", "message"), [pytest.param(a, m, id=name) for name, a, m in bad_arrays()])
def test_wrong_arrays_are_errors(arguments, message):
    with pytest.raises(DataError, match=message):
        ArrayPool(*arguments)


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 20, 2), (8, 9, 3), (5, 4, 4)])
def test_channels_are_found_last_if_the_shape_leaves_no_doubt(shape):
    images = np.arange(2 * np.prod(shape)).reshape(2, *shape).astype(np.uint8)
    expected = np.moveaxis(images, -1, 1) / np.float32(255)
    pools = [ArrayPool(images), ArrayPool(dict(zip(("0000", "0001"), images, strict=True)))]
    for pool in [*pools, DatasetPool(list(images), ("0000", "0001"))]:
        assert pool.shape == (shape[2], *shape[:2])
        np.testing.assert_array_equal(pool.read(pool.ids), expected)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 9), (4, 4, 5), (12, 64, 64), (1, 4, 4), (3, 5, 4), (1, 1, 1)])
def test_channels_are_found_first_if_the_shape_leaves_no_doubt(shape):
    assert ArrayPool(np.zeros((2, *shape), np.uint8)).shape == shape


@pytest.mark.parametrize("shape", [(3, 3, 3), (28, 28, 28), (1, 28, 1), (200, 64, 64), (64, 64, 12), (4, 4, 3)])
def test_channels_that_could_be_first_or_last_are_asked_for(shape):
    images = np.zeros((2, *shape), np.uint8)
    for make in (ArrayPool, lambda images, **more: DatasetPool(list(images), ("a", "b"), **more)):
        with pytest.raises(DataError, match=r"channel axis .* is not clear.*channels='first'"):
            make(images)
        assert make(images, channels="first").shape == shape
        assert make(images, channels="last").shape == (shape[2], *shape[:2])
        with pytest.raises(ConfigurationError, match="channels must be 'first', 'last' or None: got 'middle'"):
            make(images, channels="middle")


def test_masked_values_are_refused():
    images = np.ma.masked_less(np.arange(32, dtype=np.uint8).reshape(2, 4, 4), 3)
    with pytest.raises(DataError, match="images must not have masked values: got 3 of 32"):
        ArrayPool(images)
    with pytest.raises(DataError, match="image 'a' must not have masked values"):
        ArrayPool({"a": images[0]})
    assert ArrayPool(np.ma.array(images.filled(0))).ids == ("0000", "0001")
