import copy
import math
from functools import partial
from itertools import pairwise

import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import alkit
from alkit.networks import Heads, make_network
from alkit.networks.heads import output_layers
from alkit.networks.weights import deepest_map, warm_start
from alkit.rng import Stream, seed_torch

SMP = partial(smp.Unet, "resnet18", encoder_weights=None)
SMALL = partial(alkit.UNet, widths=(2, 4, 8))
DEEP = partial(alkit.UNet, widths=(2, 4, 8, 16))
SUPERVISED = partial(DEEP, heads={4: 0.3, 2: 0.1})


@pytest.mark.parametrize("factory", [alkit.UNet, SMALL, SMP])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4)])
def test_logits_have_the_size_of_the_image(factory, channels, classes):
    network = make_network(factory, in_channels=channels, classes=classes, stream=Stream(0)).eval()
    assert network(torch.rand(2, channels, 64, 96)).shape == (2, classes, 64, 96)


def test_the_paper_feature_is_512_x_16_x_16():
    network = alkit.UNet(in_channels=1, classes=2).eval()
    assert deepest_map(network, torch.rand(1, 1, 256, 256)).shape == (1, 512, 16, 16)


def test_the_deepest_map_of_smp_models_is_their_last_encoder_map():
    network = make_network(SMP, in_channels=1, classes=2, stream=Stream(0)).eval()
    assert deepest_map(network, torch.rand(1, 1, 64, 64)).shape == (1, 512, 2, 2)


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
    with pytest.raises(alkit.errors.ConfigurationError, match="divisible by 4"):
        SMALL(in_channels=1, classes=2)(torch.rand(1, 1, 16, 18))


@pytest.mark.parametrize("arguments", [{"widths": (4,)}, {"widths": (4, 0)}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_invalid_widths_or_dropout_are_errors(arguments):
    with pytest.raises(alkit.errors.ConfigurationError):
        alkit.UNet(in_channels=1, classes=2, **arguments)


def test_initial_weights_depend_on_the_stream_alone():
    def weights(seed):
        torch.rand(3)  # the global generator moves on in between
        return SMALL_state(seed)

    def SMALL_state(seed):
        return torch.cat(
            [p.flatten() for p in make_network(SMALL, in_channels=1, classes=2, stream=Stream(seed)).parameters()]
        )

    assert weights(0).equal(weights(0))
    assert not weights(0).equal(weights(1))


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


def test_a_factory_that_returns_no_module_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"factory must return a torch\.nn\.Module: got str"):
        make_network(lambda **_: "network", in_channels=1, classes=2, stream=Stream(0))


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
    with pytest.raises(alkit.errors.ConfigurationError, match="expected no heads"):
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
