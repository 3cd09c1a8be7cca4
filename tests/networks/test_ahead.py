"""Batches that are read ahead, and the settings of torch during training."""

import pytest
import torch
import torch.utils.deterministic

from alkit.networks import ahead
from alkit.networks.repeatable import repeatable

GPU = torch.device("cuda")  # the name alone: this needs no GPU


def batches(count, read):
    for number in range(count):
        read.append(number)
        yield (torch.tensor(number),)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batches_come_in_their_order(device, monkeypatch):
    monkeypatch.setattr(ahead, "_pinned", lambda batch: batch)
    found = [int(one) for (one,) in ahead.read_ahead(batches(5, []), torch.device(device))]
    assert found == [0, 1, 2, 3, 4]


def test_one_batch_is_read_ahead(monkeypatch):
    monkeypatch.setattr(ahead, "_pinned", lambda batch: batch)
    read = []
    found = ahead.read_ahead(batches(9, read), GPU)
    next(found)
    found.close()  # waits for the thread
    assert read == [0, 1]


def test_an_error_in_the_thread_is_that_of_the_caller(monkeypatch):
    monkeypatch.setattr(ahead, "_pinned", lambda batch: batch)

    def failing():
        yield (torch.tensor(0),)
        raise ValueError("no labels")

    found = ahead.read_ahead(failing(), GPU)
    assert int(next(found)[0]) == 0
    with pytest.raises(ValueError, match="no labels"):
        next(found)


def test_training_on_a_gpu_repeats_and_leaves_the_settings_of_torch_as_they_were():
    def settings():
        return (
            torch.get_deterministic_debug_mode(),
            torch.utils.deterministic.fill_uninitialized_memory,
            torch.backends.cudnn.benchmark,
        )

    before = settings()
    with repeatable(torch.device("cpu")):
        assert settings() == before
    with repeatable(GPU):
        assert settings() == (1, False, False)
    assert settings() == before
    with pytest.raises(KeyError), repeatable(GPU):
        raise KeyError
    assert settings() == before
