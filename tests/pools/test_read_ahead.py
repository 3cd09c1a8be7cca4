"""Images that a thread reads ahead of the batch that is computed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import alkit
from alkit.pools.read_ahead import read_ahead
from alkit.protocols import HasFrames
from alkit.rng import Stream
from alkit.scores import Scoring, entropy

IDS = [f"image {number}" for number in range(6)]
IMAGES = np.random.default_rng(0).random((6, 1, 4, 4), np.float32)


class Noting:
    """A pool that notes who reads what, and checks that nobody else reads at that time."""

    ids = tuple(IDS)

    def __init__(self, only=None, error=None):
        self.read_by, self._reading = [], threading.Lock()
        self._only, self._error = only, error

    def read(self, ids):
        assert self._reading.acquire(blocking=False), "two threads read at once"
        try:
            self.read_by.append((threading.get_ident(), tuple(ids)))
            if self._error is not None:
                raise self._error
            if self._only is not None and threading.get_ident() != self._only:
                raise RuntimeError("objects created in a thread can only be used in that same thread")
            return IMAGES[[IDS.index(id) for id in ids]]
        finally:
            self._reading.release()


class Model:
    """Two images at once."""

    def probabilities(self, images):
        return np.concatenate([images, 1 - images], 1)

    def images_at_once(self, images):
        return 2


def scores_of(pool):
    return Scoring(pool, Model(), Stream(0)).scores(IDS, entropy)


def test_batches_are_read_once_by_another_thread_and_scores_stay():
    own, pool = threading.get_ident(), Noting()
    assert scores_of(pool) == scores_of(alkit.ArrayPool(IMAGES, ids=IDS))
    mine = [ids for thread, ids in pool.read_by if thread == own]
    assert mine == [("image 0",)] * 2  # for the size of the images, before the first batch
    others = [ids for thread, ids in pool.read_by if thread != own]
    assert others == [tuple(IDS[start : start + 2]) for start in (0, 2, 4)]


def test_a_pool_that_only_one_thread_may_read_is_read_by_that_thread():
    own, pool = threading.get_ident(), Noting(only=threading.get_ident())
    assert scores_of(pool) == scores_of(Noting())
    assert [ids for thread, ids in pool.read_by if thread != own] == [("image 0", "image 1")]


@pytest.mark.parametrize("error", [alkit.errors.DataError("a is damaged"), RuntimeError("the disk is gone")])
def test_an_error_of_the_thread_is_raised_by_the_one_that_needs_the_images(error):
    pool = Noting(error=error)
    with ThreadPoolExecutor(1) as thread:
        batch = read_ahead(pool, IDS[:2], thread)
        assert not batch.arrived()
        with pytest.raises(type(error), match=str(error)):
            batch.read(IDS[:2])
    assert len(pool.read_by) == 1 if isinstance(error, alkit.errors.DataError) else 2


def test_images_are_handed_out_once_and_parts_of_them_are_read_from_the_pool():
    with ThreadPoolExecutor(1) as thread:
        batch = read_ahead(alkit.ArrayPool(IMAGES, ids=IDS), IDS[:2], thread)
        first = batch.read(IDS[:2])
        first[:] = 0  # a model of the user may write into them
        np.testing.assert_array_equal(batch.read(IDS[:2]), IMAGES[:2])
        np.testing.assert_array_equal(batch.read(IDS[1:2]), IMAGES[1:2])


def test_a_batch_has_frames_if_its_pool_has():
    pool = alkit.ArrayPool(IMAGES, ids=IDS)
    with ThreadPoolExecutor(1) as thread:
        framed, plain = read_ahead(pool, IDS[:2], thread), read_ahead(Noting(), IDS[:2], thread)
    assert framed.frames(IDS[:1]) == pool.frames(IDS[:1])
    assert not isinstance(plain, HasFrames)
