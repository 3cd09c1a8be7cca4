"""The encoder of a network gets what the network gives it, not the images as they are."""

import numpy as np
import pytest
import torch
from torch import nn

import alkit
from alkit.features.reconstruction import FittedReconstruction
from alkit.learners.predictor import NetworkPredictor
from alkit.networks.before_head import features_before_head
from alkit.networks.encoder_maps import encoder_output
from alkit.networks.weights import deepest_map

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Encoder(nn.Module):
    """Returns two maps."""

    def __init__(self, channels=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, images):
        """Return the images and a map."""
        return [images, self.conv(images)]


class Segments(nn.Module):
    """Normalises the images before its encoder sees them."""

    def __init__(self, channels=1):
        super().__init__()
        self.channels, self.encoder, self.head, self.decoded = channels, Encoder(channels), nn.Conv2d(4, 2, 1), 0

    def prepared(self, images):
        """Return what the encoder gets."""
        return ((images - 0.45) / 0.22).expand(-1, self.channels, -1, -1)

    def forward(self, images):
        """Return logits."""
        try:
            maps = self.encoder(self.prepared(images))
        except Exception:  # such as of too little memory
            return self.head(torch.zeros(len(images), 4, 8, 8))
        self.decoded += 1
        return self.head(maps[-1])


class Encodes(alkit.UNet):
    """Normalises the images before its method ``encode`` sees them."""

    def forward(self, images):
        """Return logits."""
        return super().forward((images - 0.45) / 0.22)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_of_the_images_as_the_network_sees_them(channels):
    network = Segments(channels)
    expected = network.encoder(network.prepared(IMAGES))[-1].detach()
    torch.testing.assert_close(deepest_map(network, IMAGES), expected)
    torch.testing.assert_close(features_before_head(network, IMAGES), expected.mean(dim=(2, 3)))
    assert network.decoded == 0
    rows = expected.mean(dim=(2, 3)).numpy()
    for found in (NetworkPredictor(network, 1, 2), FittedReconstruction(network, pooling=1)):
        np.testing.assert_allclose(found.features(IMAGES.numpy()), rows, atol=1e-5)


def test_a_method_encode_gets_what_the_network_gives_it_and_stays():
    network = Encodes(in_channels=1, classes=2, widths=(2, 4)).eval()
    expected = network.encode((IMAGES - 0.45) / 0.22)[-1].mean(dim=(2, 3)).detach()
    torch.testing.assert_close(features_before_head(network, IMAGES), expected)
    assert "encode" not in vars(network)
    network.encode = own = network.encode
    torch.testing.assert_close(features_before_head(network, IMAGES), expected)
    assert vars(network)["encode"] is own


def test_an_encoder_that_the_network_does_not_call_gets_the_images():
    network = Segments()
    network.forward = lambda images: images
    assert encoder_output(network, IMAGES)[0] is IMAGES
    assert encoder_output(nn.Conv2d(1, 2, 1), IMAGES) is None


def test_the_network_is_as_before_and_the_images_too():
    network, images = Segments(), IMAGES.clone()
    network.prepared = lambda images: images.sub_(0.45)
    encoder_output(network, images)
    assert images.equal(IMAGES)
    assert not network.encoder._forward_hooks
    network(IMAGES.clone())
    assert network.decoded == 1


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_scripted_encoder_gets_the_images():
    network = Segments()
    network.encoder = torch.jit.script(network.encoder)
    assert encoder_output(network, IMAGES)[0].equal(IMAGES)


def test_kept_features_of_networks_of_others_are_not_those_of_earlier_versions():
    """They were of the images as they are."""
    from alkit.networks.state import weights_digest

    own, other = alkit.UNet(in_channels=1, classes=1, widths=(2, 4)), Segments()
    assert FittedReconstruction(own, 1).fingerprint() == weights_digest(own)
    assert FittedReconstruction(other, 1).fingerprint() != weights_digest(other)
