"""Pools return the images of the given ids in the given order, and are divided by id."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_pools import IDS, IMAGES, dataset_pool, image_pool

from alkit.errors import ConfigurationError, DataError
from alkit.pools import ArrayPool, digest
from alkit.protocols import Pool

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
def test_a_string_in_place_of_a_list_of_ids_is_an_error(tmp_path, make):
    with pytest.raises(DataError, match=r"ids must be a list of ids: got the string 'a'. Try: \['a'\]"):
        make(tmp_path).read("a")


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
        with pytest.raises(ConfigurationError, match="test must be a number of images from 1 to"):
            pool.split(test, 0)
    else:
        assert len(pool.split(test, 0)[1]) == expected


@pytest.mark.parametrize("test", [0, 7, 8, -1, 0.0, 1.0, 1.5, -0.5, float("nan")])
def test_a_split_with_an_empty_part_is_an_error(test):
    with pytest.raises(
        ConfigurationError,
        match=r"test must be a number of images from 1 to 6, or a fraction of this size: got .* of 7 images",
    ):
        ArrayPool(IMAGES, IDS).split(test, 0)
