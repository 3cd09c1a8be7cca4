"""Batches of an epoch."""

import pytest

import alkit
from alkit.networks.training import minibatches


@pytest.mark.parametrize(("count", "size"), [(1, 10), (10, 10), (11, 10), (21, 10), (300, 10), (335, 10)])
def test_minibatches_contain_each_image_once_and_have_even_sizes(count, size):
    batches = minibatches(count, size, alkit.rng.Stream(0))
    assert sorted(i for batch in batches for i in batch) == list(range(count))
    assert len(batches) == -(-count // size)
    assert max(map(len, batches)) - min(map(len, batches)) <= 1
