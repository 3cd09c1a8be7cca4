import pickle

import numpy as np
import pytest
import torch

import alkit
from alkit.errors import StoreError
from alkit.features.packed import open_extractor, pack_extractor
from alkit.networks.state import to_channels_last


class Buffered(torch.nn.Module):
    """A network with a buffer that its state dict lacks, and one weight with two names."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 64, 3, padding=1)
        self.second = torch.nn.Conv2d(64, 64, 3, padding=1)
        self.third = torch.nn.Conv2d(64, 64, 3, padding=1)
        self.third.weight = self.second.weight
        self.register_buffer("factor", torch.full((1,), 2.0), persistent=False)

    def encode(self, images):
        return (self.third(self.second(self.first(images))) * self.factor,)

    def forward(self, images):
        return self.encode(images)[-1]


def fitted(seed=0):
    torch.manual_seed(seed)
    return alkit.features.FittedReconstruction(to_channels_last(Buffered()), 2)


def test_an_extractor_travels_without_its_weights_and_computes_the_same_bits(tmp_path):
    with torch.random.fork_rng():
        extractor = fitted()
    images = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    packed = pack_extractor(extractor, tmp_path)
    travelling = pickle.dumps(packed)
    assert len(travelling) < 10_000 < sum(path.stat().st_size for path in tmp_path.iterdir())
    again = open_extractor(pickle.loads(travelling))
    assert np.array_equal(again.features(images), extractor.features(images))
    assert again.network.third.weight.is_contiguous(memory_format=torch.channels_last)


def test_other_weights_than_those_that_were_sent_are_refused(tmp_path):
    with torch.random.fork_rng():
        packed = pack_extractor(fitted(1), tmp_path)
    packed.path.write_bytes(packed.path.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match="have changed since they were written"):
        packed.load()


def test_an_extractor_without_a_network_travels_as_it_is(tmp_path, world):
    one = alkit.testing.RowMeans().fit(world.pool, np.random.default_rng(0))
    assert pack_extractor(one, tmp_path) is one
    assert not list(tmp_path.iterdir())
    assert open_extractor(one) is one


def test_two_extractors_with_the_same_network_are_not_taken_for_each_other(tmp_path):
    with torch.random.fork_rng():
        one = fitted()
    other = alkit.features.FittedReconstruction(one.network, 1)
    images = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    packed = [pickle.loads(pickle.dumps(pack_extractor(each, tmp_path))) for each in (one, other, one)]
    assert packed[0].skeleton == packed[2].skeleton
    shapes = [open_extractor(each).features(images).shape for each in packed]
    assert shapes == [each.features(images).shape for each in (one, other, one)]
    assert shapes[0] != shapes[1]
