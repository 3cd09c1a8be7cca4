"""Heads of deep supervision: their weights, maps and initial weights."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import alkit
from alkit.errors import ConfigurationError
from alkit.networks import Heads, make_network
from alkit.networks.heads import check_heads, output_layers
from alkit.rng import Stream

SMALL = partial(alkit.UNet, widths=(2, 4, 8))
DEEP = partial(alkit.UNet, widths=(2, 4, 8, 16))
SUPERVISED = partial(DEEP, heads={4: 0.3, 2: 0.1})


def test_heads_change_no_initial_weight_of_the_other_layers_and_come_last():
    plain, deep = (make_network(f, in_channels=1, classes=2, stream=Stream(3)).state_dict() for f in (DEEP, SUPERVISED))
    assert list(deep)[: len(plain)] == list(plain)
    assert all(deep[name].equal(value) for name, value in plain.items())
    assert list(deep)[len(plain) :] == ["heads.2.weight", "heads.2.bias", "heads.4.weight", "heads.4.bias"]


def test_a_network_without_heads_has_one_output_of_weight_one():
    network, images = SMALL(in_channels=1, classes=2).eval(), torch.rand(2, 1, 16, 16)
    assert network.head_weights == (1.0,)
    (only,) = network.decode_all(network.encode(images))
    assert only.equal(network(images))
    assert output_layers(network) == ("head",)
    assert SMALL(in_channels=1, classes=2, heads={}).head_weights == (1.0,)


def test_each_head_is_a_1_x_1_convolution_of_its_decoder_map_brought_to_full_size():
    network = make_network(SUPERVISED, in_channels=1, classes=3, stream=Stream(0)).eval()
    images = torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    maps = network.encode(images)
    final, half, quarter = network.decode_all(maps)
    with torch.no_grad():
        at_quarter = network.merge[1](torch.cat([network.up[1](network.merge[0](
            torch.cat([network.up[0](maps[3]), maps[2]], 1))), maps[1]], 1))  # fmt: skip
        at_eighth = network.merge[0](torch.cat([network.up[0](maps[3]), maps[2]], 1))
    for logits, decoded, head in ((half, at_quarter, "2"), (quarter, at_eighth, "4")):
        layer = network.heads[head]
        assert layer.weight.shape == (3, decoded.shape[1], 1, 1)
        small = torch.einsum("ncij,kc->nkij", decoded, layer.weight[:, :, 0, 0]) + layer.bias[:, None, None]
        expected = nn.Upsample(size=(16, 24), mode="bilinear", align_corners=False)(small)
        assert torch.allclose(logits, expected, atol=1e-6)
    assert final.equal(network(images))
    assert final.equal(network.decode(maps))
    assert final.shape == half.shape == quarter.shape == (2, 3, 16, 24)


@given(st.dictionaries(st.sampled_from([2, 4, 8]), st.floats(0.01, 0.33)), st.randoms())
@settings(max_examples=30, deadline=None)
def test_head_weights_follow_the_divisors_in_rising_order_and_add_up_to_one(heads, random):
    shuffled = dict(random.sample(sorted(heads.items()), len(heads)))
    weights = alkit.UNet(1, 2, widths=(1, 1, 1, 1, 1), heads=shuffled).head_weights
    assert weights[1:] == tuple(heads[divisor] for divisor in sorted(heads))
    assert math.isclose(sum(weights), 1)
    assert weights[0] > 0


def test_every_head_is_trained_by_its_output():
    network = make_network(SUPERVISED, in_channels=1, classes=2, stream=Stream(0))
    outputs = network.decode_all(network.encode(torch.rand(2, 1, 16, 16)))
    for position, layer in enumerate((network.head, network.heads["2"], network.heads["4"])):
        network.zero_grad(set_to_none=True)
        outputs[position].square().sum().backward(retain_graph=True)
        assert layer.weight.grad.abs().sum() > 0
        others = {network.head, *network.heads.values()} - {layer}
        assert all(other.weight.grad is None for other in others)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({8: 0.1}, "expected 1/2, 1/4"),  # the bottleneck is not a decoder map
        ({1: 0.1}, "expected 1/2, 1/4"),
        ({3: 0.1}, "expected 1/2, 1/4"),
        ({2.0: 0.1}, "1/2.0"),
        ({2: 0.0}, "loss weights"),
        ({2: -0.1}, "loss weights"),
        ({2: math.nan}, "loss weights"),
        ({2: math.inf}, "loss weights"),
        ({2: 0.5, 4: 0.5}, "sum below 1"),
        ({2: 1.0}, "sum below 1"),
        ({2: -0.5, 4: 1.2}, "loss weights"),
    ],
)
def test_invalid_heads_are_errors(heads, message):
    with pytest.raises(alkit.errors.ConfigurationError, match=message):
        DEEP(in_channels=1, classes=2, heads=heads)


def test_a_network_of_two_levels_cannot_have_heads():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"expected no heads\. Try: .* with more widths="):
        alkit.UNet(in_channels=1, classes=2, widths=(2, 4), heads={2: 0.1})


def test_heads_of_several_maps_take_their_own():
    heads = Heads({2: 0.5}, channels={2: 1, 4: 1}, classes=1, owner="it")
    with torch.no_grad():
        heads["2"].weight.fill_(1), heads["2"].bias.fill_(0)
    final = torch.zeros(1, 1, 4, 4)
    _, logits = heads(final, {4: torch.full((1, 1, 1, 1), 7.0), 2: torch.full((1, 1, 2, 2), 3.0)})
    assert logits.equal(torch.full((1, 1, 4, 4), 3.0))


def test_the_output_layers_are_listed_by_the_network_or_its_last_layer_with_parameters():
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1), nn.ReLU())
    assert output_layers(plain) == ("1",)
    plain.output_layers = ("0", "1")
    assert output_layers(plain) == ("0", "1")
    assert output_layers(nn.ReLU()) == ()
    assert output_layers(SUPERVISED(in_channels=1, classes=2)) == ("head", "heads.2", "heads.4")


@pytest.mark.parametrize("said", ["0", ("0", "2"), ["0"]])
def test_output_layers_that_are_not_modules_are_an_error(said):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1))
    network.output_layers = said
    with pytest.raises(alkit.errors.ConfigurationError, match="output_layers of Sequential"):
        output_layers(network)


class Normalises(alkit.UNet):
    """Predicts by other images than those that its heads are trained by."""

    def forward(self, images):
        """Return logits."""
        return super().forward((images - 0.5) / 0.25)


def test_a_forward_that_does_more_than_the_heads_are_trained_by_is_refused():
    network = Normalises(in_channels=1, classes=2, widths=(2, 4, 8), heads={2: 0.4}).train()
    with pytest.raises(
        ConfigurationError, match=r"forward of Normalises must return decode_all\(encode\(images\)\)\[0\]"
    ):
        check_heads(network, torch.rand(1, 1, 16, 16))
    assert all(module.training for module in network.modules())
    check_heads(Normalises(in_channels=1, classes=2, widths=(2, 4, 8)), torch.rand(1, 1, 16, 16))
    check_heads(alkit.UNet(in_channels=1, classes=2, widths=(2, 4, 8), heads={2: 0.4}), torch.rand(1, 1, 16, 16))
