import copy
import json
from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional as F

import alkit
from alkit.configuration import build, written_form
from alkit.networks import SmpNetwork, make_network
from alkit.networks.cut import CutNetwork
from alkit.networks.dropout import dropout_layers
from alkit.networks.heads import output_layers
from alkit.networks.posterior import NetworkPosterior
from alkit.networks.smp import _divisor
from alkit.networks.weights import deepest_map, warm_start
from alkit.rng import Stream, seed_torch

HEADS = {4: 0.3, 2: 0.1}


def model(architecture, encoder="mobilenet_v2", **arguments):  # a small encoder
    return partial(architecture, encoder, encoder_weights=None, **arguments)


UNET = model(smp.Unet, decoder_channels=(32, 16, 8, 8, 4))
MODELS = {
    "Unet": model(smp.Unet, "resnet18"),
    "Unet of a mobile encoder": model(smp.Unet, "tu-mobilenetv3_small_100"),
    "Unet of a transformer": model(smp.Unet, "mit_b0"),
    "UnetPlusPlus": model(smp.UnetPlusPlus, decoder_channels=(32, 16, 8, 8, 4)),
    "MAnet": model(smp.MAnet, "tu-mobilenetv3_small_100", decoder_channels=(32, 16, 8, 8, 4)),
    "Linknet": model(smp.Linknet),
}


def make(factory, heads=None, seed=0, classes=2, dropout=0.5):
    wrapped = partial(SmpNetwork, factory, dropout=dropout, heads=heads)
    return make_network(wrapped, in_channels=1, classes=classes, stream=Stream(seed))


def images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def draw_statistics(network):
    """Set random averages of batch normalisation, so that no layer is the identity."""
    with seed_torch(Stream(9)), torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("name", MODELS)
def test_all_outputs_have_the_size_of_the_image_and_the_final_one_is_that_of_the_model_itself(name):
    network = draw_statistics(make(MODELS[name], HEADS, classes=3))
    batch = images(2, 1, 64, 96)
    with torch.no_grad():
        maps = network.encode(batch)
        outputs = network.decode_all(maps)
        assert [output.shape for output in outputs] == [(2, 3, 64, 96)] * 3
        plain = network.model(batch)
        for final in (outputs[0], network(batch), network.decode(maps), network.decode(maps)):
            assert final.equal(plain)  # also when the same maps are decoded again
    assert network.head_weights == (0.6, 0.1, 0.3)


@pytest.mark.parametrize(
    ("factory", "half", "quarter"),
    [
        (UNET, "blocks.3", "blocks.2"),
        (MODELS["UnetPlusPlus"], "blocks.x_0_3", "blocks.x_0_2"),
        (
            MODELS["MAnet"],
            "blocks.3",
            "blocks.2",
        ),  # not the first layer of the next block, which has the same resolution
        (model(smp.Linknet), "blocks.3", "blocks.2"),
    ],
)
def test_each_head_reads_the_decoder_map_of_its_resolution(factory, half, quarter):
    network, batch, seen = draw_statistics(make(factory, HEADS)), images(2, 1, 64, 64), {}
    for name in (half, quarter):
        block = network.model.decoder.get_submodule(name)
        block.register_forward_hook(lambda module, _, output, name=name: seen.__setitem__(name, output))
    with torch.no_grad():
        outputs = network.decode_all(network.encode(batch))
        for position, (divisor, name) in enumerate((("2", half), ("4", quarter)), start=1):
            assert seen[name].shape[-1] == 64 // int(divisor)
            small = network.heads[divisor](seen[name])
            expected = F.interpolate(small, size=(64, 64), mode="bilinear", align_corners=False)
            assert outputs[position].equal(expected)


@pytest.mark.parametrize("heads", [None, {}])
def test_a_network_without_heads_has_one_output_of_weight_one(heads):
    network, batch = make(UNET, heads).eval(), images(1, 1, 64, 64)
    assert network.head_weights == (1.0,)
    (only,) = network.decode_all(network.encode(batch))
    assert only.equal(network(batch))
    assert output_layers(network) == ("model.segmentation_head",)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (model(smp.FPN), r"FPN: got 1/2, expected 1/4, 1/8, 1/16, 1/32$"),
        (model(smp.PSPNet), r"PSPNet: got 1/2, expected 1/8$"),  # maps that it pools to 1 x 1 and 2 x 2 do not count
    ],
)
def test_a_head_without_a_decoder_map_is_an_error_that_lists_the_maps(factory, message):
    with pytest.raises(alkit.errors.ConfigurationError, match=message):
        make(factory, {2: 0.1})


@pytest.mark.parametrize(
    ("output", "divisor"),
    [
        (torch.zeros(1, 3, 96, 144), 1),
        (torch.zeros(1, 3, 48, 72), 2),
        (torch.zeros(1, 3, 6, 9), 16),
        (torch.zeros(1, 3, 32, 48), 0),  # a third
        (torch.zeros(1, 3, 48, 48), 0),
        (torch.zeros(1, 3, 47, 72), 0),
        (torch.zeros(1, 3, 192, 288), 0),
        (torch.zeros(1, 0, 48, 72), 0),  # a placeholder
        (torch.zeros(1, 48, 72), 0),
        ([torch.zeros(1, 3, 48, 72)], 0),
    ],
)
def test_the_divisor_of_a_map_is_a_power_of_two_equal_on_both_sides(output, divisor):
    assert _divisor(torch.zeros(1, 1, 96, 144), output) == divisor


@pytest.mark.parametrize(
    ("factory", "divisors"),
    [(model(smp.FPN), (4, 8)), (model(smp.DeepLabV3Plus), (4, 16)), (model(smp.PSPNet), (8,)), (model(smp.PAN), (4,))],
)
def test_decoders_that_end_below_full_size_can_have_heads_on_their_maps(factory, divisors):
    network = make(factory, dict.fromkeys(divisors, 0.1)).eval()
    outputs = network.decode_all(network.encode(images(1, 1, 128, 192)))
    assert [output.shape[-2:] for output in outputs] == [(128, 192)] * (1 + len(divisors))


def test_a_map_of_the_encoder_that_the_decoder_passes_on_does_not_count():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"Unet: got 1/32, expected 1/2, 1/4, 1/8, 1/16$"):
        make(UNET, {32: 0.1})


class Shared(nn.Module):
    """A decoder that calls one layer several times."""

    def __init__(self, channels):
        super().__init__()
        self.inwards = nn.Conv2d(channels, 3, 1)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 1))

    def forward(self, features):
        x = self.inwards(features[-1])
        for _ in range(5):
            x = self.up(x)
        return x


def make_shared(*, in_channels, classes):
    network = UNET(in_channels=in_channels, classes=classes)
    network.decoder, network.segmentation_head = Shared(network.encoder.out_channels[-1]), nn.Conv2d(3, classes, 1)
    return network


def test_a_layer_that_is_called_at_several_resolutions_gives_each_head_its_own_map():
    network = make(make_shared, HEADS).eval()
    with torch.no_grad():
        maps = network.encode(images(1, 1, 64, 64))
        x, outputs = network.model.decoder.inwards(maps[-1]), network.decode_all(maps)
        stages = [x := network.model.decoder.up(x) for _ in range(5)]
        for output, head, stage in zip(outputs[1:], ("2", "4"), (stages[3], stages[2]), strict=True):
            small = network.heads[head](stage)
            assert output.equal(F.interpolate(small, size=(64, 64), mode="bilinear", align_corners=False))


class Noisy(nn.Module):
    def forward(self, x):
        assert not self.training
        return x + torch.rand_like(x)


def half_frozen(*, in_channels, classes):
    network = UNET(in_channels=in_channels, classes=classes)
    network.encoder.features[2].eval()
    network.decoder.center = Noisy()
    network.decoder.blocks[0].eval()
    return network


def test_the_search_for_maps_changes_no_weights_averages_modes_or_generators():
    with seed_torch(Stream(0)):
        plain = half_frozen(in_channels=1, classes=2)
        head = nn.Conv2d(8, 2, 1)
        expected = torch.random.get_rng_state()
    with seed_torch(Stream(0)):
        network = SmpNetwork(half_frozen, in_channels=1, classes=2, heads={2: 0.1})
        assert torch.random.get_rng_state().equal(expected)
    assert network.heads["2"].weight.equal(head.weight)
    assert torch.is_grad_enabled()
    theirs = plain.state_dict()
    assert all(value.equal(theirs[name]) for name, value in network.model.state_dict().items())
    assert {name: module.training for name, module in network.model.named_modules()} == {
        name: module.training for name, module in plain.named_modules()
    }
    assert not any(
        hooks for module in network.modules() for hooks in (module._forward_hooks, module._forward_pre_hooks)
    )


def test_decode_all_removes_its_hooks_even_after_an_error():
    network = make(UNET, HEADS)
    maps = network.eval().encode(images(1, 1, 64, 64))
    network.decode_all(maps)
    with pytest.raises(RuntimeError):
        network.decode_all([*maps[:-2], maps[-1][:, :3], maps[-1]])
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["UnetPlusPlus", "Linknet"])
def test_the_initial_weights_are_those_of_the_model_with_and_without_heads(name):
    plain = make_network(MODELS[name], in_channels=1, classes=2, stream=Stream(4)).state_dict()
    for heads in (None, HEADS):
        network = make(MODELS[name], heads, seed=4)
        assert all(value.equal(plain[key]) for key, value in network.model.state_dict().items())
        names = list(network.state_dict())
        assert names[: len(plain)] == [f"model.{name}" for name in plain]
        assert all(name.startswith("heads.") for name in names[len(plain) :])


def test_dropout_acts_on_the_deepest_map_alone():
    network, batch = make(UNET, HEADS, dropout=0.3).eval(), images(2, 1, 64, 64)
    assert {name: layer.p for name, layer in dropout_layers(network).items()} == {"dropout": 0.3}
    network.dropout.train()
    maps = network.encode(batch)
    assert all(a.equal(b) for a, b in zip(maps, network.encode(batch), strict=True))
    seen = []
    network.model.decoder.register_forward_hook(lambda module, inputs, _: seen.append(inputs[0]))
    with seed_torch(Stream(1)):
        network.decode(maps)
    with seed_torch(Stream(1)):
        dropped = F.dropout(maps[-1], 0.3, training=True)
    assert all(a is b for a, b in zip(seen[0][:-1], maps[:-1], strict=True))
    assert seen[0][-1].equal(dropped)
    assert not dropped.equal(maps[-1])


def test_the_posterior_offers_draws_and_heads():
    network, batch = draw_statistics(make(UNET, HEADS)), images(2, 1, 64, 64)
    posterior = NetworkPosterior(CutNetwork(network), batch)
    draws = torch.cat(list(posterior.dropout(3, Stream(0))))
    assert draws.shape == (3, 2, 2, 64, 64)
    assert not draws[0].equal(draws[1])
    with torch.no_grad():
        expected = [logits.softmax(1) for logits in network.decode_all(network.encode(batch))]
    assert all(a.equal(b) for a, b in zip(posterior.heads(), expected, strict=True))


def test_all_outputs_train_the_model():
    network = make(UNET, HEADS)
    outputs = network.decode_all(network.encode(images(2, 1, 64, 64)))
    weighted, target = zip(network.head_weights, outputs, strict=True), torch.ones(2, 64, 64).long()
    sum(weight * F.cross_entropy(logits, target) for weight, logits in weighted).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_copy_computes_with_its_own_weights():
    network = draw_statistics(make(UNET, HEADS))
    other, batch = copy.deepcopy(network), images(1, 1, 64, 64)
    with torch.no_grad():
        before = network.decode_all(network.encode(batch))
        other.model.decoder.blocks[2].conv1[0].weight.mul_(-1)
        changed = other.decode_all(other.encode(batch))
        after = network.decode_all(network.encode(batch))
    assert all(a.equal(b) for a, b in zip(before, after, strict=True))
    assert not any(a.equal(b) for a, b in zip(before, changed, strict=True))


@pytest.mark.parametrize("name", ["UnetPlusPlus", "MAnet", "Linknet"])
def test_image_sizes_that_the_model_does_not_support_are_configuration_errors(name):
    network = make(MODELS[name]).eval()
    for ask in (network, network.encode):
        with pytest.raises(
            alkit.errors.ConfigurationError, match="must have sides divisible by 32: got 50 x 64 pixels"
        ):
            ask(images(1, 1, 64, 50))


def test_heads_have_the_full_size_for_every_image_size_of_the_model():
    network = make(UNET, HEADS).eval()
    outputs = network.decode_all(network.encode(images(1, 1, 50, 67)))
    assert [output.shape for output in outputs] == [(1, 2, 50, 67)] * 3


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            partial(alkit.UNet, widths=(2, 4)),
            "got UNet without encoder, decoder, segmentation_head",
        ),
        (lambda **_: "network", "got str without encoder"),
        (model(smp.Unet, aux_params={"classes": 2}), "aux_params"),
    ],
)
def test_a_model_of_another_library_or_with_a_second_output_is_an_error(factory, message):
    with pytest.raises(alkit.errors.ConfigurationError, match=message):
        SmpNetwork(factory, in_channels=1, classes=2)


def test_an_encoder_that_returns_more_than_maps_is_an_error():
    network = make(UNET)
    encode = network.model.encoder.forward
    network.model.encoder.forward = lambda x: (encode(x), [None])
    with pytest.raises(alkit.errors.ConfigurationError, match="must return feature maps only"):
        network.encode(images(2, 1, 64, 64))


def test_a_model_that_fails_on_zeros_is_an_error_with_its_reason():
    def picky(*, in_channels, classes):
        network = UNET(in_channels=in_channels, classes=classes)

        def forward(x):
            raise AssertionError("only 224 x 224")

        network.encoder.forward = forward
        return network

    with pytest.raises(alkit.errors.ConfigurationError, match="only 224 x 224"):
        SmpNetwork(picky, in_channels=1, classes=2, heads=HEADS)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"dropout must be a number in \[0, 1\): got "):
        SmpNetwork(UNET, in_channels=1, classes=2, dropout=dropout)


def test_the_features_are_the_deepest_map():
    network, batch = make(UNET, HEADS).eval(), images(2, 1, 64, 96)
    assert deepest_map(network, batch).equal(network.model.encoder(batch)[-1])


@pytest.mark.parametrize(("there", "here"), [(None, HEADS), (HEADS, None), (HEADS, HEADS)])
def test_a_warm_start_copies_all_but_the_output_layers(there, here):
    source, network = make(UNET, there, seed=0, classes=1), make(UNET, here, seed=1)
    for value in source.state_dict().values():
        value += 3
    before, theirs = copy.deepcopy(network.state_dict()), source.state_dict()
    warm_start(network, source)
    for name, value in network.state_dict().items():
        output = name.startswith(("model.segmentation_head.", "heads."))
        assert value.equal((before if output else theirs)[name]), name


def test_the_declaration_of_a_network_can_be_written_and_built_again():
    factory = partial(SmpNetwork, UNET, dropout=0.25, heads={2: 0.1, 4: 0.3})
    learner = alkit.SegmentationLearner(factory)
    again = build(json.loads(json.dumps(written_form(learner))), "learner").network
    assert (again.func, again.args[0].func, again.args[0].args) == (SmpNetwork, smp.Unet, ("mobilenet_v2",))
    assert again.args[0].keywords == UNET.keywords
    assert again.keywords == {"dropout": 0.25, "heads": {2: 0.1, 4: 0.3}}
    one, other = (make_network(f, in_channels=1, classes=2, stream=Stream(2)) for f in (factory, again))
    assert other.head_weights == (0.6, 0.1, 0.3)
    theirs = other.state_dict()
    assert all(value.equal(theirs[name]) for name, value in one.state_dict().items())


class Normalising(smp.Unet):
    """Does more in its forward than to call its parts."""

    def forward(self, images):
        """Return logits."""
        return super().forward((images - 0.45) / 0.22)


class Plain(smp.Unet):
    """Has a forward of its own that only calls its parts."""

    def forward(self, images):
        """Return logits."""
        return super().forward(images)


def test_a_forward_that_would_be_left_out_is_refused():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"forward of Normalising must return.*mean= and std="):
        SmpNetwork(partial(Normalising, "resnet18", encoder_weights=None), in_channels=1, classes=2)
    plain = SmpNetwork(partial(Plain, "resnet18", encoder_weights=None), in_channels=1, classes=2)
    assert plain.training
