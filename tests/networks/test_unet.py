"""The U-Net."""

from functools import partial
from itertools import pairwise

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

import alkit
from alkit.networks import make_network
from alkit.rng import Stream, seed_torch

SMP = partial(smp.Unet, "resnet18", encoder_weights=None)
SMALL = partial(alkit.UNet, widths=(2, 4, 8))


@pytest.mark.parametrize("factory", [alkit.UNet, SMALL, SMP])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4)])
def test_logits_have_the_size_of_the_image(factory, channels, classes):
    network = make_network(factory, in_channels=channels, classes=classes, stream=Stream(0)).eval()
    assert network(torch.rand(2, channels, 64, 96)).shape == (2, classes, 64, 96)


def test_decoding_the_encoding_is_the_forward_pass():
    network, images = SMALL(in_channels=1, classes=2).eval(), torch.rand(2, 1, 16, 16)
    assert network.decode(network.encode(images)).equal(network(images))


def test_dropout_acts_in_training_and_at_the_bottleneck_only():
    factory, generator = partial(alkit.UNet, widths=(4, 8, 16)), torch.Generator().manual_seed(0)
    network = make_network(factory, in_channels=1, classes=2, stream=Stream(0))
    images = torch.rand(4, 1, 16, 16, generator=generator)
    assert network.eval()(images).equal(network(images))
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.eval()
    network.dropout.train()
    maps = network.encode(images)
    assert all(a.equal(b) for a, b in zip(maps, network.encode(images), strict=True))
    with seed_torch(Stream(1)):
        assert not network.decode(maps).equal(network.decode(maps))


def test_an_image_size_that_the_levels_do_not_divide_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"divisible by 4: .*Try: size=\(16, 16\) for"):
        SMALL(in_channels=1, classes=2)(torch.rand(1, 1, 16, 18))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"widths": (4,)}, r"widths must be two or more positive integers: got \(4,\)"),
        ({"widths": "8,16"}, "widths must be two or more positive integers: got '8,16'"),
        ({"widths": 8}, "widths must be two or more positive integers: got 8"),
        ({"widths": (4, 0)}, "each of widths must be an integer from 1 to 65536: got 0"),
        ({"widths": (4, 8.5)}, "each of widths must be an integer from 1 to 65536: got 8.5"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"dropout": -0.1}, "dropout must be"),
    ],
)
def test_invalid_widths_or_dropout_are_errors(arguments, words):
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        alkit.UNet(in_channels=1, classes=2, **arguments)


def test_a_single_pixel_at_the_bottleneck_is_an_error_in_training_only():
    network, image = SMALL(in_channels=1, classes=2), torch.rand(1, 1, 4, 4)
    with pytest.raises(alkit.errors.ConfigurationError, match="batch normalisation"):
        network(image)
    assert network.eval()(image).shape == (1, 2, 4, 4)


def test_the_initial_weights_are_drawn_layer_by_layer_from_the_encoder_to_the_head():
    widths, network = (2, 4, 8), make_network(SMALL, in_channels=3, classes=2, stream=Stream(5))
    with seed_torch(Stream(5)):
        drawn = [nn.Conv2d(i, o, 3, bias=False) for a, b in pairwise((3, *widths)) for i, o in ((a, b), (b, b))]
        drawn += [nn.ConvTranspose2d(8, 4, 2), nn.ConvTranspose2d(4, 2, 2)]
        drawn += [nn.Conv2d(i, o, 3, bias=False) for i, o in ((8, 4), (4, 4), (4, 2), (2, 2))]
        drawn += [nn.Conv2d(2, 2, 1)]
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == len(drawn)
    for layer, expected in zip(layers, drawn, strict=True):
        assert all(a.equal(b) for a, b in zip(layer.parameters(), expected.parameters(), strict=True))
