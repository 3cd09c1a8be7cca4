"""Networks with pre-trained weights that do not normalise their input are warned of, and others are not."""

import logging
import re
from functools import partial

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torch import nn

import alkit
from alkit.networks import SmpNetwork, make_network
from alkit.networks.normalised import warn_if_not_normalised
from alkit.networks.pretrained import load_model
from alkit.rng import Stream

SPEC = alkit.LabelSpec(("skin", "lesion"))
SMALL = {"encoder_weights": None, "decoder_channels": (16, 8, 8, 8, 4)}


def pretrained(module):
    """Give a module weights that are the same in each new network."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for value in module.parameters():
            nn.init.normal_(value, 0, 0.1)
    return module


def plain_unet(*, in_channels, classes):
    network = smp.Unet("resnet18", in_channels=in_channels, classes=classes, **SMALL)
    pretrained(network.encoder)
    return network


def of_timm(*, in_channels, classes):
    return nn.Sequential(pretrained(timm.create_model("test_efficientnet", in_chans=in_channels, num_classes=classes)))


def of_torchvision(*, in_channels, classes):
    network = torchvision.models.mobilenet_v3_small(num_classes=classes)
    network.features[0][0] = nn.Conv2d(in_channels, 16, 3, 2, 1)
    return pretrained(network)


def own(*, in_channels, classes):
    return pretrained(nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.Conv2d(4, classes, 1)))


class Normalises(nn.Module):
    def __init__(self, in_channels, classes):
        super().__init__()
        self.inner = of_timm(in_channels=in_channels, classes=classes)

    def forward(self, images):
        return self.inner((images - 0.5) / 0.5)


def lite0(*, in_channels, classes):
    body = load_model("tf_efficientnet_lite0", "efficientnet-lite0", size=None, download=False, stream=Stream(0))
    return nn.Sequential(body, nn.Linear(1280, classes))


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (plain_unet, r"network Unet starts from pre-trained weights.*\(images - mean\) / std"),
        (of_timm, "network Sequential starts"),
        (of_torchvision, "network MobileNetV3 starts"),
        (lite0, "network Sequential starts"),
        (partial(SmpNetwork, plain_unet), "network SmpNetwork starts"),
        (partial(SmpNetwork, plain_unet, mean=(0.5,), std=(0.5,)), None),
        (partial(SmpNetwork, "tu-tf_efficientnet_lite0", weights="efficientnet-lite0"), None),
        (partial(smp.Unet, "resnet18", **SMALL), None),
        (alkit.UNet, None),
        (Normalises, None),
        (own, None),  # whoever trained it knows what it expects
    ],
    ids=range(11),
)
def test_only_pretrained_networks_of_libraries_without_normalisation_are_warned_of(factory, words, caplog):
    one, other = (
        make_network(factory, in_channels=3, classes=2, stream=Stream(0).child(name)) for name in ("one", "two")
    )
    before = {name: value.clone() for name, value in one.state_dict().items()}
    state = torch.random.get_rng_state()
    warn_if_not_normalised(factory, one, other, torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert torch.random.get_rng_state().equal(state)
    assert all(value.equal(before[name]) for name, value in one.state_dict().items())
    assert len(caplog.records) == (words is not None)
    if words is not None:
        assert re.search(words, caplog.text)


def test_the_warning_names_what_to_write_instead(caplog, monkeypatch):
    """`smp.Unet` downloads the weights of ImageNet by default; here they are other fixed ones."""
    plain = smp.encoders.get_encoder
    monkeypatch.setattr(
        "segmentation_models_pytorch.decoders.unet.model.get_encoder",
        lambda name, *, weights, **rest: pretrained(plain(name, weights=None, **rest)),
    )
    learner = alkit.SegmentationLearner(partial(smp.Unet, "resnet18", decoder_channels=(16, 8, 8, 8, 4)))
    with caplog.at_level(logging.WARNING):
        learner.try_training(np.zeros((2, 3, 64, 64), np.float32), SPEC)
    assert "functools.partial(alkit.networks.SmpNetwork, 'resnet18', weights='imagenet')" in caplog.text


def test_a_failed_download_of_the_library_is_an_error_that_names_the_alternatives(monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", offline)
    words = r"no network.*SmpNetwork with weights=.*encoder_weights=None"
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        make_network(partial(smp.Unet, "resnet18"), in_channels=3, classes=2, stream=Stream(0))


def test_what_the_first_layer_gets_is_known_without_the_other_layers(caplog):
    one, other = of_timm(in_channels=1, classes=2), of_timm(in_channels=1, classes=2)
    called = []
    for name, module in one.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    warn_if_not_normalised(of_timm, one, other, torch.zeros(1, 1, 32, 32))
    assert "gets the pixels in [0, 1] as they are" in caplog.text
    assert called == []
