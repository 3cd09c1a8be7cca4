"""Batches of images: their sizes, and what happens when the memory of a device does not suffice."""

import logging

import numpy as np
import pytest
import torch

import alkit
from alkit.pools.batches import batches, map_batches

POOL = alkit.ArrayPool(np.zeros((10, 8, 8), np.uint8))
IDS = list(POOL.ids)


def device_with_room_for(most, tried):
    """Return work on a device whose memory holds at most so many images."""

    def work(ids):
        tried.append(len(ids))
        if len(ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return list(ids)

    return work


def test_batches_without_trouble_are_those_of_the_division():
    tried = []
    found = list(map_batches(device_with_room_for(10, tried), IDS, POOL, at_once=4))
    assert [some for some, _ in found] == list(batches(IDS, POOL, at_once=4)) == [result for _, result in found]
    assert tried == [4, 4, 2]


def test_a_batch_that_does_not_fit_is_halved_and_later_batches_stay_small(caplog):
    tried = []
    with caplog.at_level(logging.WARNING):
        found = list(map_batches(device_with_room_for(3, tried), IDS, POOL))
    assert [id for _, result in found for id in result] == IDS
    assert tried == [10, 5, 2, 2, 2, 2, 2]
    assert "does not suffice for 10 images at once; trying 5" in caplog.text


def test_an_image_that_does_not_fit_is_an_error_with_a_way_out():
    with pytest.raises(
        alkit.errors.ConfigurationError,
        match=r"the device must have enough memory for one image of 8 x 8 pixels: got CUDA out of memory.*"
        r"Try: a smaller size=, or device='cpu'",
    ):
        list(map_batches(device_with_room_for(0, []), IDS, POOL))


@pytest.mark.parametrize("text", [
    "MPS backend out of memory (MPS allocated: 18.00 GB)", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
])  # fmt: skip
def test_memory_that_does_not_suffice_is_known_in_all_words_of_torch(text):
    def work(ids):
        if len(ids) > 5:
            raise RuntimeError(text)
        return ids

    assert [len(some) for some, _ in map_batches(work, IDS, POOL)] == [5, 5]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: 9 bytes")])
def test_the_memory_of_the_machine_is_known_from_that_of_a_gpu(error):
    def work(ids):
        if len(ids) > 5 or "0005" in ids:
            raise error
        return ids

    found = []
    with pytest.raises(
        alkit.errors.ConfigurationError,
        match=r"the machine must have .* for one image of 8 x 8 pixels: got \w.*Try: a smaller size=, or tile=512",
    ):
        found.extend(some for some, _ in map_batches(work, IDS, POOL))
    assert found == [IDS[:5]]


def test_other_errors_are_not_tried_again():
    tried = []

    def work(ids):
        tried.append(len(ids))
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        list(map_batches(work, IDS, POOL))
    assert tried == [10]
