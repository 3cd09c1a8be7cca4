"""Warm starts copy all weights but those of the output layers; the deepest encoder map."""

import copy
from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

import alkit
from alkit.networks import make_network
from alkit.networks.weights import deepest_map, warm_start
from alkit.rng import Stream

SMP = partial(smp.Unet, "resnet18", encoder_weights=None)
SMALL = partial(alkit.UNet, widths=(2, 4, 8))
DEEP = partial(alkit.UNet, widths=(2, 4, 8, 16))
SUPERVISED = partial(DEEP, heads={4: 0.3, 2: 0.1})


def test_the_paper_feature_is_512_x_16_x_16():
    network = alkit.UNet(in_channels=1, classes=2).eval()
    assert deepest_map(network, torch.rand(1, 1, 256, 256)).shape == (1, 512, 16, 16)


def test_the_deepest_map_of_smp_models_is_their_last_encoder_map():
    network = make_network(SMP, in_channels=1, classes=2, stream=Stream(0)).eval()
    assert deepest_map(network, torch.rand(1, 1, 64, 64)).shape == (1, 512, 2, 2)


@pytest.mark.parametrize(
    ("there", "here", "outputs"),
    [
        (SMALL, SMALL, ("head.",)),
        (SMP, SMP, ("segmentation_head.0.",)),
        (DEEP, SUPERVISED, ("head.", "heads.")),
        (SUPERVISED, DEEP, ("head.",)),
        (SUPERVISED, SUPERVISED, ("head.", "heads.")),
        (partial(DEEP, heads={4: 0.1}), SUPERVISED, ("head.", "heads.")),
    ],
)
@pytest.mark.parametrize("classes", [1, 2])  # with 2, even the shapes of the output layers are alike
def test_a_warm_start_copies_all_but_the_output_layers(there, here, outputs, classes):
    source = make_network(there, in_channels=1, classes=classes, stream=Stream(0))
    network = make_network(here, in_channels=1, classes=2, stream=Stream(1))
    for value in source.state_dict().values():  # everywhere different, running averages too
        value += 3
    before, theirs = copy.deepcopy(network.state_dict()), source.state_dict()
    warm_start(network, source)
    for name, value in network.state_dict().items():
        assert value.equal((before if name.startswith(outputs) else theirs)[name]), name


def test_a_warm_start_does_not_change_the_output_layer_even_if_its_shape_fits():
    source, network = (make_network(SMALL, in_channels=2, classes=2, stream=Stream(s)) for s in (0, 1))
    head = network.head.weight.clone()
    warm_start(network, source)
    assert network.head.weight.equal(head)


def test_a_warm_start_from_another_network_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match="same network factory"):
        warm_start(SMALL(in_channels=1, classes=2), alkit.UNet(in_channels=1, classes=1, widths=(2, 4, 16)))


@pytest.mark.parametrize("more", [0, 1])
def test_a_warm_start_is_an_error_if_only_one_network_has_a_further_layer(more):
    sides = [nn.ModuleDict({"body": nn.Linear(1, 1), "head": nn.Linear(1, 1)}) for _ in range(2)]
    sides[more]["neck"] = nn.Linear(1, 1)
    for side in sides:
        side.output_layers = ("head",)
    before = sides[0]["body"].weight.clone()
    with pytest.raises(alkit.errors.ConfigurationError, match=r"got different neck\.bias, neck\.weight"):
        warm_start(*sides)
    assert sides[0]["body"].weight.equal(before)


def test_a_network_without_an_encoder_has_no_deepest_map():
    with pytest.raises(alkit.errors.ConfigurationError, match="no encoder"):
        deepest_map(torch.nn.Conv2d(1, 2, 1), torch.rand(1, 1, 4, 4))


def test_a_network_that_is_one_layer_has_nothing_to_warm_start():
    network, source = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 1, 1)
    before = network.weight.clone()
    warm_start(network, source)
    assert network.weight.equal(before)


def test_a_layer_whose_name_begins_like_an_output_layer_is_copied():
    def make():
        return nn.ModuleDict({"head": nn.Linear(1, 1), "header": nn.Linear(1, 1)})

    network, source = make(), make()
    network.output_layers = source.output_layers = ("head",)
    warm_start(network, source)
    assert network["header"].weight.equal(source["header"].weight)
    assert not network["head"].weight.equal(source["head"].weight)
