"""Digests depend on the content of a pool and on nothing else."""

from __future__ import annotations

import shutil

import numpy as np
from PIL import Image
from small_pools import IDS, IMAGES, image_pool

from alkit.pools import ArrayPool, ImagePool


def test_a_digest_does_not_depend_on_the_location_of_the_images(tmp_path):
    pool = image_pool(tmp_path)
    shutil.copytree(tmp_path / "images", tmp_path / "copy")
    copy = ImagePool(tmp_path / "copy", grayscale=True, scale="full", cache=tmp_path / "other")
    assert copy.digest() == pool.digest()


def test_a_digest_depends_on_each_pixel_each_id_the_shape_and_the_scale(tmp_path):
    pool = ArrayPool(IMAGES, IDS)
    changed = IMAGES.copy()
    changed[4, 0, 5, 4] ^= 1
    others = {
        "pixel": ArrayPool(changed, IDS),
        "id": ArrayPool(IMAGES, ("h", *IDS[1:])),
        "swapped ids": ArrayPool(IMAGES, IDS[1::-1] + IDS[2:]),
        "fewer": pool.subset(IDS[1:]),
        "shape": ArrayPool(IMAGES.reshape(7, 1, 5, 6), IDS),
        "scale": ArrayPool(IMAGES, IDS, scale="minmax"),
        "type": ArrayPool(IMAGES.astype(np.uint16), IDS),
    }
    digests = {name: other.digest() for name, other in others.items()}
    assert len({pool.digest(), *digests.values()}) == 1 + len(others)


def test_a_changed_file_changes_the_digest_of_its_folder(tmp_path):
    before = image_pool(tmp_path).digest()
    Image.fromarray(255 - IMAGES[0, 0]).save(tmp_path / "images" / "g.png")
    assert ImagePool(tmp_path / "images", grayscale=True, scale="full").digest() != before


def test_the_digest_of_a_folder_does_not_read_the_images(tmp_path):
    pool = image_pool(tmp_path)
    expected = pool.digest()
    vars(pool._kept)["_kept"] = None
    assert pool.digest() == pool.subset(IDS).digest() == expected
