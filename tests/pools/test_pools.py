"""Pools return the images of the given ids in the given order, and are divided by id."""

from __future__ import annotations

import pickle
import resource
import shutil
import subprocess
import sys
import tracemalloc

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from alkit.errors import ConfigurationError, DataError
from alkit.pools import ArrayPool, DatasetPool, ImagePool, digest
from alkit.pools.checks import check_pool
from alkit.pools.scaling import scale_pixels
from alkit.pools.sizes import mask_sizes
from alkit.protocols import Pool

IMAGES = np.random.default_rng(0).integers(256, size=(7, 1, 6, 5), dtype=np.uint8)
IDS = ("g", "c", "a", "f", "b", "e", "d")


def image_pool(tmp_path):
    (tmp_path / "images").mkdir(exist_ok=True)
    for id, image in zip(IDS, IMAGES, strict=True):
        Image.fromarray(image[0]).save(tmp_path / "images" / f"{id}.png")
    return ImagePool(tmp_path / "images", grayscale=True, scale="full", cache=tmp_path / "cache")


def dataset_pool(tmp_path):
    return DatasetPool(torch.utils.data.TensorDataset(torch.from_numpy(IMAGES), torch.arange(7)), list(IDS))


POOLS = {
    "folder": image_pool,
    "array": lambda tmp_path: ArrayPool(IMAGES, IDS),
    "array without channels": lambda tmp_path: ArrayPool(IMAGES[:, 0], list(IDS)),
    "mapping": lambda tmp_path: ArrayPool(dict(zip(IDS, IMAGES[:, 0], strict=True))),
    "dataset": dataset_pool,
    "subset": lambda tmp_path: ArrayPool(IMAGES, IDS).subset(sorted(IDS)),
    "subset of a subset": lambda tmp_path: image_pool(tmp_path).subset(IDS).subset(sorted(IDS)),
}
every_pool = pytest.mark.parametrize("make", POOLS.values(), ids=POOLS.keys())


# What every pool promises.


@every_pool
def test_a_pool_reads_the_images_asked_for_in_the_order_asked(tmp_path, make):
    pool = make(tmp_path)
    assert isinstance(pool, Pool)
    assert sorted(pool.ids) == sorted(IDS)
    assert len(pool) == 7
    assert pool.shape == (1, 6, 5)
    images = pool.read(["e", "a", "g", "a"])
    assert images.dtype == np.float32
    expected = [IMAGES[IDS.index(id)] / np.float32(255) for id in ("e", "a", "g", "a")]
    np.testing.assert_array_equal(images, np.stack(expected))
    assert pool.read([]).shape == (0, 1, 6, 5)


@every_pool
def test_changing_images_that_were_read_does_not_change_the_pool(tmp_path, make):
    pool = make(tmp_path)
    first = pool.read(["c"])
    first += 1
    np.testing.assert_array_equal(pool.read(["c"]), IMAGES[1:2] / np.float32(255))


@every_pool
def test_an_unknown_id_is_an_error_that_names_it(tmp_path, make):
    pool = make(tmp_path)
    for use in (pool.read, pool.sizes, pool.subset):
        with pytest.raises(
            DataError, match="the pool has no image with this id: got 'x', expected one of 7 ids such as"
        ):
            use(["a", "x"])


@every_pool
def test_a_subset_reads_its_own_images_in_its_own_order_and_no_others(tmp_path, make):
    pool = make(tmp_path)
    subset = pool.subset(iter(["f", "b", "c"]))
    assert subset.ids == ("f", "b", "c")
    np.testing.assert_array_equal(subset.read(subset.ids), pool.read(["f", "b", "c"]))
    assert subset.sizes(["b"]) == pool.sizes(["b"])
    inner = subset.subset(["c", "f"])
    np.testing.assert_array_equal(inner.read(["c", "f"]), pool.read(["c", "f"]))
    assert not hasattr(inner.pool, "pool")  # no chain: reading from the tenth subset is as fast as from the first
    for outside in (subset, inner):
        with pytest.raises(DataError, match="has no image with this id"):
            outside.read(["a"])
    with pytest.raises(DataError, match="has no image with this id"):
        subset.subset(["a"])
    with pytest.raises(DataError, match="ids must be distinct: got 'b' twice"):
        pool.subset(["b", "b"])


@every_pool
def test_a_pickled_pool_reads_the_same(tmp_path, make):
    pool = make(tmp_path)
    again = pickle.loads(pickle.dumps(pool))
    np.testing.assert_array_equal(again.read(IDS), pool.read(IDS))
    assert again.digest() == pool.digest()


@every_pool
def test_all_pools_of_the_same_images_have_one_digest(tmp_path, make):
    assert digest(make(tmp_path)) == ArrayPool(IMAGES[::-1], IDS[::-1]).digest()


def test_a_pool_is_pickled_without_its_pixels(tmp_path):
    pool = image_pool(tmp_path)
    read = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(pool.read)([id]) for id in IDS)
    np.testing.assert_array_equal(np.concatenate(read), pool.read(IDS))


# Splits.


@given(n=st.integers(2, 60), data=st.data(), seed=st.integers(0, 1000))
def test_the_parts_of_a_split_are_disjoint_and_complete(n, data, seed):
    test = data.draw(st.integers(1, n - 1))
    pool, held_out = ArrayPool(np.zeros((n, 2, 2), np.uint8)).split(test, seed)
    assert len(held_out) == test
    assert sorted([*pool.ids, *held_out.ids]) == [f"{row:04}" for row in range(n)]
    assert list(pool.ids) == sorted(pool.ids)
    assert list(held_out.ids) == sorted(held_out.ids)


@given(order=st.permutations(IDS), seed=st.integers(0, 1000))
def test_a_split_does_not_depend_on_the_order_of_the_pool(order, seed):
    shuffled = ArrayPool(IMAGES, order).split(3, seed)
    assert [part.ids for part in shuffled] == [part.ids for part in ArrayPool(IMAGES, IDS).split(3, seed)]


def test_a_split_depends_on_its_seed_and_any_image_may_be_in_the_test_set():
    pool = ArrayPool(IMAGES, IDS)
    splits = [frozenset(pool.split(3, seed)[1].ids) for seed in range(60)]
    assert len(set(splits)) > 20  # of 35
    assert frozenset.union(*splits) == set(IDS)


def test_the_split_with_a_given_seed_never_changes():
    """Records and papers name a split by its seed: this one must stay as it is."""
    assert ArrayPool(IMAGES, IDS).split(3, 0)[1].ids == ("a", "d", "f")


@pytest.mark.parametrize(("test", "expected"), [(0.5, 5), (0.24, 2), (0.26, 3), (0.05, None), (0.97, None)])
def test_a_fraction_is_rounded(test, expected):
    pool = ArrayPool(np.zeros((10, 2, 2), np.uint8))
    if expected is None:
        with pytest.raises(ConfigurationError, match="must leave images for both parts"):
            pool.split(test, 0)
    else:
        assert len(pool.split(test, 0)[1]) == expected


@pytest.mark.parametrize("test", [0, 7, 8, -1, 0.0, 1.0, 1.5, -0.5, float("nan")])
def test_a_split_with_an_empty_part_is_an_error(test):
    with pytest.raises(
        ConfigurationError,
        match=r"must leave images for both parts of the split: got test=.* of 7 images, expected 1 to 6",
    ):
        ArrayPool(IMAGES, IDS).split(test, 0)


# Scales.

any_pixels = arrays.arrays(np.uint8, (3, 2, 3, 4)) | arrays.arrays(np.uint16, (3, 2, 3, 4))


@given(any_pixels)
def test_minmax_stretches_each_image_over_all_its_channels(pixels):
    expected = np.zeros(pixels.shape)
    for image, stretched in zip(pixels.astype(float), expected, strict=True):
        if image.max() > image.min():
            stretched[:] = (image - image.min()) / (image.max() - image.min())
    got = scale_pixels(pixels, "minmax")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert got.min() >= 0
    assert got.max() <= 1


@given(any_pixels)
def test_full_divides_by_the_greatest_value_of_the_type(pixels):
    got = scale_pixels(pixels, "full")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, pixels.astype(float) / (255 if pixels.dtype == np.uint8 else 65535), atol=1e-7)


@given(arrays.arrays(np.float64, (2, 1, 3, 4), elements=st.floats(0, 1)))
def test_floats_stay_in_range_under_both_scales(pixels):
    np.testing.assert_array_equal(scale_pixels(pixels, "full"), pixels.astype(np.float32))
    for image, stretched in zip(pixels.astype(np.float32), scale_pixels(pixels, "minmax"), strict=True):
        assert stretched.min() == 0
        assert stretched.max() == (image.max() > image.min())


def test_a_constant_image_becomes_zero():
    np.testing.assert_array_equal(scale_pixels(np.full((1, 1, 2, 2), 9, np.uint8), "minmax"), 0)


@pytest.mark.parametrize("make", [ArrayPool, lambda images, scale: DatasetPool(images, "abcdefg", scale=scale)])
def test_an_unknown_scale_is_an_error(make):
    with pytest.raises(ConfigurationError, match="scale must be 'minmax' or 'full': got 'zscore'"):
        make(IMAGES, scale="zscore")


# Digests.


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


# Pools of other packages.


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


# Arrays.


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


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_read_unchanged(dtype):
    images = np.array([[[0, 0.25], [0.5, 1]]], dtype)
    np.testing.assert_array_equal(ArrayPool(images).read(["0000"])[0, 0], images[0])


def bad_arrays():
    nan = np.zeros((3, 4, 4))
    nan[2, 1, 1] = np.nan
    yield "shape", (np.zeros((4, 4)),), r"images must have the shape \(n, h, w\) or \(n, c, h, w\): got \(4, 4\)"
    yield "none", (np.zeros((0, 4, 4)),), "images must contain at least one"
    yield "no mapping", ({},), "images must contain at least one"
    yield "no pixels", (np.zeros((2, 0, 4)),), r"'0000' must have the shape \(h, w\) or \(c, h, w\): got \(1, 0, 4\)"
    yield "integers", (np.zeros((2, 4, 4), int),), "'0000' must have the type uint8, uint16 or floats .*: got int64"
    yield "booleans", (np.zeros((2, 4, 4), bool),), "'0000' must have the type .*: got bool"
    yield "0 to 255", (np.full((2, 4, 4), 255.0),), r"'0000' must have values from 0 to 1: got 255\.0"
    yield "negative", (np.full((2, 4, 4), -0.1),), "must have values from 0 to 1: got -0.1"
    yield "not a number", (nan,), "'0002' must have values from 0 to 1"
    yield "infinite", (np.full((1, 2, 2), np.inf),), "must have values from 0 to 1: got inf"
    yield (
        "channels last",
        (np.zeros((2, 8, 9, 3), np.uint8),),
        r"with channels first.*transpose\(2, 0, 1\)",
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


# Datasets.


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


# Folders.


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
    again = build(written_form(pool))
    np.testing.assert_array_equal(again.read(["b", "a"]), pool.read(["b", "a"]))
    assert again.ids == pool.ids


@pytest.mark.parametrize("size", [0, -4, (4,), (4, 0), (4, 4, 4), 2.5, (2.5, 2), "64"])
def test_a_wrong_working_size_is_an_error(tmp_path, size):
    with pytest.raises(ConfigurationError, match="size must be a positive integer, or"):
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
