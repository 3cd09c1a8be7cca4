from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch

import alkit
from alkit.networks import deepest, fresh, output_layer, warm_start
from alkit.rng import Stream, forked

SMP = partial(smp.Unet, "resnet18", encoder_weights=None)
SMALL = partial(alkit.UNet, widths=(2, 4, 8))


@pytest.mark.parametrize("factory", [alkit.UNet, SMALL, SMP])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4)])
def test_logits_have_the_size_of_the_image(factory, channels, classes):
    network = fresh(factory, in_channels=channels, classes=classes, stream=Stream(0)).eval()
    assert network(torch.rand(2, channels, 64, 96)).shape == (2, classes, 64, 96)


def test_the_paper_feature_is_512_x_16_x_16():
    network = alkit.UNet(in_channels=1, classes=2).eval()
    assert deepest(network, torch.rand(1, 1, 256, 256)).shape == (1, 512, 16, 16)


def test_smp_models_give_their_deepest_map():
    network = fresh(SMP, in_channels=1, classes=2, stream=Stream(0)).eval()
    assert deepest(network, torch.rand(1, 1, 64, 64)).shape == (1, 512, 2, 2)


def test_decoding_the_encoding_is_the_forward_pass():
    network, images = SMALL(in_channels=1, classes=2).eval(), torch.rand(2, 1, 16, 16)
    assert network.decode(network.encode(images)).equal(network(images))


def test_dropout_acts_in_training_and_at_the_bottleneck_only():
    factory, generator = partial(alkit.UNet, widths=(4, 8, 16)), torch.Generator().manual_seed(0)
    network = fresh(factory, in_channels=1, classes=2, stream=Stream(0))
    images = torch.rand(4, 1, 16, 16, generator=generator)
    assert network.eval()(images).equal(network(images))
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.eval()
    network.dropout.train()
    maps = network.encode(images)
    assert all(a.equal(b) for a, b in zip(maps, network.encode(images), strict=True))
    with forked(Stream(1)):
        assert not network.decode(maps).equal(network.decode(maps))


def test_a_size_that_cannot_be_halved_often_enough_is_refused_with_what_would_do():
    with pytest.raises(alkit.ConfigurationError, match="divisible by 4"):
        SMALL(in_channels=1, classes=2)(torch.rand(1, 1, 16, 18))


@pytest.mark.parametrize("arguments", [{"widths": (4,)}, {"widths": (4, 0)}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_networks_that_cannot_be_are_refused(arguments):
    with pytest.raises(alkit.ConfigurationError):
        alkit.UNet(in_channels=1, classes=2, **arguments)


def test_initial_weights_depend_on_the_stream_alone():
    def weights(seed):
        torch.rand(3)  # the global generator moves on in between
        return SMALL_state(seed)

    def SMALL_state(seed):
        return torch.cat(
            [p.flatten() for p in fresh(SMALL, in_channels=1, classes=2, stream=Stream(seed)).parameters()]
        )

    assert weights(0).equal(weights(0))
    assert not weights(0).equal(weights(1))


@pytest.mark.parametrize("factory", [SMALL, SMP])
def test_a_warm_start_copies_all_but_the_output_layer(factory):
    source = fresh(factory, in_channels=1, classes=1, stream=Stream(0))
    network = fresh(factory, in_channels=1, classes=2, stream=Stream(1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    warm_start(network, source)
    theirs, last = source.state_dict(), output_layer(network)
    for name, value in network.state_dict().items():
        expected = before if name.startswith(last + ".") else theirs
        assert value.equal(expected[name]), name
    assert last in {"head", "segmentation_head.0"}


def test_a_warm_start_leaves_the_output_layer_alone_even_where_its_shape_fits():
    source, network = (fresh(SMALL, in_channels=2, classes=2, stream=Stream(s)) for s in (0, 1))
    head = network.head.weight.clone()
    warm_start(network, source)
    assert network.head.weight.equal(head)


def test_a_warm_start_from_another_network_is_refused():
    with pytest.raises(alkit.ConfigurationError, match="same network factory"):
        warm_start(SMALL(in_channels=1, classes=2), alkit.UNet(in_channels=1, classes=1, widths=(2, 4, 16)))


def test_a_network_without_an_encoder_gives_no_features():
    with pytest.raises(alkit.ConfigurationError, match="no encoder"):
        deepest(torch.nn.Conv2d(1, 2, 1), torch.rand(1, 1, 4, 4))


def test_a_factory_of_something_else_is_refused():
    with pytest.raises(alkit.ConfigurationError, match="did not make a torch module"):
        fresh(lambda **_: "network", in_channels=1, classes=2, stream=Stream(0))


def test_a_single_number_to_normalise_is_an_error_of_ours_in_training_only():
    network, image = SMALL(in_channels=1, classes=2), torch.rand(1, 1, 4, 4)
    with pytest.raises(alkit.ConfigurationError, match="batch normalisation"):
        network(image)
    assert network.eval()(image).shape == (1, 2, 4, 4)
