"""Pools of other packages have digests and mask sizes, and their ids are checked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small_pools import IDS, IMAGES, image_pool

from alkit.errors import DataError
from alkit.pools import ArrayPool, ImagePool, digest
from alkit.pools.checks import check_pool, reads_otherwise
from alkit.pools.sizes import mask_sizes
from alkit.protocols import Pool


class Bare:
    """A pool with the required members only."""

    def __init__(self, ids=IDS, images=IMAGES):
        self.ids, self.images = list(ids), images

    def read(self, ids):
        return self.images[[self.ids.index(id) for id in ids]].astype(np.float32) / 255


def test_a_pool_with_only_ids_and_read_has_a_digest_and_mask_sizes():
    bare = Bare()
    assert isinstance(bare, Pool)
    assert mask_sizes(bare, ["a", "b"]) == [((6, 5),), ((6, 5),)]
    assert digest(bare) == digest(Bare(IDS[::-1], IMAGES[::-1]))
    assert digest(bare) != digest(Bare(IDS, IMAGES[::-1]))
    assert digest(bare) == ArrayPool(IMAGES.astype(np.float32) / 255, IDS).digest()


def test_a_pool_with_a_method_sizes_gives_the_sizes_of_masks(tmp_path):
    image_pool(tmp_path)
    pool = ImagePool(tmp_path / "images", size=4)
    assert mask_sizes(pool, ["b", "a"]) == [((6, 5), (4, 4)), ((6, 5), (4, 4))]


def test_an_image_of_a_folder_has_a_file_also_in_a_subset_and_an_array_has_none(tmp_path):
    pool = image_pool(tmp_path)
    (tmp_path / "images" / "ward").mkdir()
    Image.fromarray(IMAGES[0, 0]).save(tmp_path / "images" / "ward" / "x.TIF")
    pool = ImagePool(tmp_path / "images", grayscale=True)
    for some in (pool, pool.subset(["ward/x", "b"]), pool.subset(["b", "ward/x"]).subset(["ward/x"])):
        assert some.file("ward/x") == tmp_path / "images" / "ward" / "x.TIF"
    assert pool.file("b") == tmp_path / "images" / "b.png"
    assert ArrayPool(IMAGES, IDS).subset(["a"]).file("a") is None
    with pytest.raises(DataError, match="the pool has no image with this id: got 'y'"):
        pool.file("y")


@pytest.mark.parametrize(
    ("ids", "message"),
    [((), "at least one image"), (("a", "a"), "ids must be distinct: got 'a'"), ((1,), "must be strings: got 1")],
)
def test_the_ids_of_a_pool_of_another_package_are_checked(ids, message):
    check_pool(Bare())
    with pytest.raises(DataError, match=message):
        check_pool(Bare(ids))


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ("images", r"test must be a pool, .*: got 'images'. Try: alkit\.ImagePool\('images'\)"),
        (Path("images"), r"got 'images'. Try: alkit\.ImagePool"),
        (IMAGES, r"got an object of type ndarray. Try: alkit\.ArrayPool\(images\)"),
        (0.2, "got an object of type float$"),
        (Bare, "got the class Bare$"),
        (SimpleNamespace(ids=["a"]), "got an object of type SimpleNamespace$"),
    ],
)
def test_an_argument_that_is_not_a_pool_is_refused(thing, message):
    with pytest.raises(DataError, match=message):
        check_pool(thing, "test")


def test_pools_that_read_alike_have_no_difference():
    floats = IMAGES.astype(np.float32) / 255
    pool = ArrayPool(IMAGES, IDS, scale="minmax")
    assert not list(reads_otherwise(pool, ArrayPool(IMAGES, IDS, scale="minmax").subset(IDS[:1]), "the test set"))
    assert not list(reads_otherwise(pool, ArrayPool(floats, IDS), "the test set"))  # anybody may have scaled them
    assert not list(reads_otherwise(pool, Bare(), "the test set"))


def test_images_of_another_type_are_a_difference_if_they_are_scaled_by_their_type():
    deep = (IMAGES.astype(np.uint16) * 16).astype(np.uint16)
    (found,) = reads_otherwise(ArrayPool(IMAGES, IDS), ArrayPool(deep, IDS), "the test set")
    assert "have the type uint16 and those of the pool have uint8" in found

    class Odd(Bare):
        """A pool with pixels of a type that no pool of alkit has."""

        def stored(self, ids):
            return np.zeros((len(ids), *IMAGES.shape[1:]), np.uint32), "full"

    assert not list(reads_otherwise(ArrayPool(IMAGES, IDS), Odd(), "the test set"))
    both = (ArrayPool(images, IDS, scale="minmax") for images in (IMAGES, deep))
    assert not list(reads_otherwise(*both, "the test set"))


def test_images_of_another_size_are_a_difference():
    (found,) = reads_otherwise(Bare(), Bare(images=IMAGES[..., :-1]), "the test set")
    assert "of the test set are read at" in found
    assert "objects of other sizes" in found
