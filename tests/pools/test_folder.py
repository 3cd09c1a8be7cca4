"""Pools of image folders, and the memory that they need."""

from __future__ import annotations

import resource
import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from small_pools import image_pool

from alkit.errors import ConfigurationError
from alkit.pools import ArrayPool, ImagePool


def test_an_image_pool_is_a_value_with_its_arguments_in_its_repr(tmp_path):
    image_pool(tmp_path)
    arguments = {
        "path": str(tmp_path / "images"),
        "size": (4, 3),
        "grayscale": True,
        "scale": "full",
        "pattern": "[a-d].png",
        "cache": tmp_path / "cache",
    }
    pool = ImagePool(**arguments)
    assert {name: getattr(pool, name) for name in arguments} == arguments
    assert pool == ImagePool(**arguments)
    assert hash(pool) == hash(ImagePool(**arguments))
    assert pool != ImagePool(**{**arguments, "size": (4, 4)})
    assert pool.ids == ("a", "b", "c", "d")


def test_an_image_pool_is_rebuilt_from_its_written_form(tmp_path):
    from alkit.configuration import build, written_form

    image_pool(tmp_path)
    pool = ImagePool(tmp_path / "images", size=4, cache=tmp_path / "cache").subset(["b", "a"])
    again = build(written_form(pool), "pool")
    np.testing.assert_array_equal(again.read(["b", "a"]), pool.read(["b", "a"]))
    assert again.ids == pool.ids


@pytest.mark.parametrize("size", [0, -4, (4,), (4, 0), (4, 4, 4), 2.5, (2.5, 2), "64"])
def test_a_wrong_working_size_is_an_error(tmp_path, size):
    with pytest.raises(ConfigurationError, match="size must be an integer >= 1, or"):
        ImagePool(tmp_path, size=size)


# Memory.


def test_reading_a_few_rows_of_a_large_file_does_not_load_it(tmp_path):
    rows, side = 512, 1024  # half a GiB, without a byte on disk
    images = np.memmap(tmp_path / "sparse", np.uint8, "w+", shape=(rows, side, side))
    pool = ArrayPool(images)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert pool.read(["0007", "0500"]).shape == (2, 1, side, side)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before < 100 * 2**20


def test_opening_and_reading_a_folder_takes_only_the_memory_of_the_requested_images(tmp_path):
    for row in range(40):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.full((256, 256), row, np.uint8)).save(tmp_path / "images" / f"{row}.png")
    ImagePool(tmp_path / "images", grayscale=True)
    tracemalloc.start()
    try:
        pool = ImagePool(tmp_path / "images", grayscale=True, scale="full")
        assert pool.read(["7"]).max() == np.float32(7 / 255)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * 256 * 256  # half of what is kept
