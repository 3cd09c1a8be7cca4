"""Pools of torch datasets."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from small_pools import IDS, IMAGES

from alkit.errors import DataError
from alkit.pools import DatasetPool


class Listed(list):
    """A map-style dataset of whatever it holds, which counts its readings."""

    readings = 0

    def __getitem__(self, row):
        self.readings += 1
        return super().__getitem__(row)


@pytest.mark.parametrize(
    "item",
    [
        lambda image: image,
        lambda image: (image, 0),
        lambda image: [image[0], 0],
        lambda image: torch.from_numpy(image),
        lambda image: (torch.from_numpy(image[0]), torch.tensor(1)),
        lambda image: (torch.from_numpy(image) / 255,),
    ],
)
def test_the_first_entry_of_an_item_is_its_image(item):
    pool = DatasetPool(Listed(item(image) for image in IMAGES), IDS)
    np.testing.assert_allclose(pool.read(["b", "g"]), IMAGES[[4, 0]] / 255, atol=1e-7)


def test_only_the_requested_items_of_a_dataset_are_loaded():
    dataset = Listed(IMAGES)
    pool = DatasetPool(dataset, IDS)
    dataset.readings = 0
    pool.read(["a", "b"])
    assert dataset.readings == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (IMAGES[0, :, 1:], r"must have the same shape and type: got 'g' \(1, 6, 5\) uint8, 'c' \(1, 5, 5\) uint8"),
        (IMAGES[0].astype(np.uint16), "'c' .* uint16"),
        (IMAGES[0] / 2.0, "'c' must have values from 0 to 1"),
        (np.zeros(3), r"'c' must have the shape .*: got \(3,\)"),
    ],
)
def test_a_wrong_item_is_an_error_that_names_it_when_it_is_read(bad, message):
    pool = DatasetPool([IMAGES[0], bad], ["g", "c"])
    pool.read(["g"])
    with pytest.raises(DataError, match=message):
        pool.read(["g", "c"])


@pytest.mark.parametrize(
    ("dataset", "ids", "message"),
    [
        (IMAGES, ["a"], "must have the same length: got 1 ids, 7 images"),
        ([], [], "images must contain at least one"),
        (IMAGES[:2], ["a", "a"], "ids must be distinct"),
        ([IMAGES[0] + 1.5], ["a"], "'a' must have values from 0 to 1"),
        (["text"], ["a"], "'a' must have the shape"),
    ],
)
def test_a_wrong_dataset_is_an_error(dataset, ids, message):
    with pytest.raises(DataError, match=message):
        DatasetPool(dataset, ids)


def test_pools_do_not_import_torch():
    program = "import sys, alkit.pools; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
