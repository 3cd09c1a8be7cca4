"""Batches of an epoch, and errors in training."""

import pytest
import torch

import alkit
from alkit.networks.computation import computation_for
from alkit.networks.training import adam, minibatches, train_epoch


@pytest.mark.parametrize(("count", "size"), [(1, 10), (10, 10), (11, 10), (21, 10), (300, 10), (335, 10)])
def test_minibatches_contain_each_image_once_and_have_even_sizes(count, size):
    batches = minibatches(count, size, alkit.rng.Stream(0))
    assert sorted(i for batch in batches for i in batch) == list(range(count))
    assert len(batches) == -(-count // size)
    assert max(map(len, batches)) - min(map(len, batches)) <= 1


def test_a_batch_too_large_for_the_device_is_an_error_with_a_way_out():
    class Full(alkit.UNet):
        def forward(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    examples = [(torch.rand(4, 1, 16, 16), torch.zeros(4, 16, 16, dtype=torch.long))]
    network, cpu = Full(1, 2, widths=(2, 4)), computation_for("cpu", "32-true")
    with pytest.raises(alkit.errors.ConfigurationError, match=r"out of memory.*Try: a smaller batch=, a smaller size="):
        train_epoch(cpu, network, adam(network, 1e-3), examples, torch.nn.CrossEntropyLoss(), alkit.rng.Stream(0))
