"""New networks from a factory."""

from functools import partial

import pytest
import torch

import alkit
from alkit.networks import make_network
from alkit.rng import Stream

SMALL = partial(alkit.UNet, widths=(2, 4, 8))


def test_initial_weights_depend_on_the_stream_alone():
    def weights(seed):
        torch.rand(3)  # changes the state of the global generator
        network = make_network(SMALL, in_channels=1, classes=2, stream=Stream(seed))
        return torch.cat([parameter.flatten() for parameter in network.parameters()])

    assert weights(0).equal(weights(0))
    assert not weights(0).equal(weights(1))


def test_a_factory_that_returns_no_module_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"factory must return a torch\.nn\.Module: got str"):
        make_network(lambda **_: "network", in_channels=1, classes=2, stream=Stream(0))
