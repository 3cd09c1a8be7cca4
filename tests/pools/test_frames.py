"""How the images of a pool lie in its working size."""

import numpy as np

import alkit
from alkit.pools import frames_of
from alkit.values import Frame


class Framed:
    ids = ("a", "b")

    def read(self, ids):
        return np.zeros((len(ids), 1, 4, 4), np.float32)

    def frames(self, ids):
        return [Frame((2, 4 if id == "a" else 3), (4, 4), "pad") for id in ids]


class Sized:
    ids = ("a",)

    def read(self, ids):
        return np.zeros((len(ids), 1, 4, 4), np.float32)

    def sizes(self, ids):
        return [((30, 20), (4, 4)) for _ in ids]


def test_frames_are_those_of_the_pool_or_squashed_from_the_original_size():
    assert frames_of(Framed(), ["b"]) == [Frame((2, 3), (4, 4), "pad")]
    assert frames_of(Sized(), ["a"]) == [Frame((30, 20), (4, 4))]
    pool = alkit.ArrayPool(np.zeros((2, 8, 9), np.uint8))
    assert frames_of(pool.subset(["0001"]), ["0001"]) == [Frame((8, 9), (8, 9))]
    assert frames_of(Sized(), []) == []
