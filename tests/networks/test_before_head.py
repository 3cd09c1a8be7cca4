import numpy as np
import pytest
import torch
from torch import nn

import alkit
from alkit.errors import ConfigurationError
from alkit.networks.before_head import features_before_head

IMAGES = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU())  # returns no list of maps
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(5, 2)

    def before(self, images):
        return self.encoder(images).mean(dim=(2, 3))

    def forward(self, images):
        return self.head(self.dropout(self.before(images)))


class Tokens(nn.Module):
    """A transformer in outline: one row of features for each of four tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(64, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, images):
        return self.head(self.embed(images.reshape(len(images), 4, 64))).mean(1)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, images):
        return nn.functional.conv2d(self.first(images), self.last.weight, self.last.bias)


def test_a_network_that_segments_gives_its_deepest_map_averaged_over_the_pixels():
    network = alkit.UNet(in_channels=1, classes=2, widths=(2, 4, 8)).eval()
    expected = network.encode(IMAGES)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(features_before_head(network, IMAGES), expected)


def test_a_network_that_classifies_gives_the_input_of_its_last_layer_without_dropout():
    network = Classifier().train()
    found = features_before_head(network, IMAGES)
    torch.testing.assert_close(found, network.before(IMAGES).detach())
    assert network.training


def test_tokens_are_averaged():
    network = Tokens()
    expected = network.embed(IMAGES.reshape(3, 4, 64)).mean(1)
    torch.testing.assert_close(features_before_head(network, IMAGES), expected.detach())


def test_a_convolution_without_an_encoder_gives_its_input():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    torch.testing.assert_close(features_before_head(network, IMAGES), network[:2](IMAGES).mean(dim=(2, 3)).detach())


@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0"])
def test_a_model_of_segmentation_models_pytorch_gives_the_deepest_map_of_its_encoder(encoder):
    import segmentation_models_pytorch as smp

    network = smp.Unet(encoder, encoder_weights=None, classes=2).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.encoder(images)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(features_before_head(network, images), expected)


def test_a_head_that_is_not_called_as_a_module_is_an_error_that_names_it():
    with pytest.raises(ConfigurationError, match=r"network Functional must call its output layer 'last'.*0 calls"):
        features_before_head(Functional(), IMAGES)


def test_the_row_of_an_image_does_not_depend_on_the_batch_even_if_the_network_mixes_images():
    class Mixing(nn.Module):
        def __init__(self, in_channels, classes):
            super().__init__()
            self.first = nn.Conv2d(in_channels, 4, 3)
            self.norm = nn.BatchNorm2d(4, track_running_stats=False)
            self.last = nn.Linear(4, classes)

        def forward(self, images):
            return self.last(self.norm(self.first(images)).relu().mean(dim=(2, 3)))

    from alkit.learners.predictor import NetworkPredictor

    model, images = NetworkPredictor(Mixing(1, 2).eval(), 1, 2), IMAGES.numpy()
    rows = model.features(images)
    np.testing.assert_allclose(model.features(images[1:2])[0], rows[1], atol=1e-6)


def test_memory_that_does_not_suffice_gives_no_other_features():
    class Full(alkit.UNet):
        def encode(self, images):
            if len(images) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            return super().encode(images)

        def forward(self, images):
            return self.decode(alkit.UNet.encode(self, images))

    network = Full(in_channels=1, classes=2, widths=(2, 4, 8)).eval()
    with pytest.raises(torch.OutOfMemoryError):
        features_before_head(network, IMAGES)
    assert features_before_head(network, IMAGES[:1]).shape == (1, 8)
