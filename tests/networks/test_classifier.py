"""A classifier has the encoder of a U-Net, or one of segmentation-models-pytorch with its pre-trained weights."""

from functools import partial

import pytest
import torch

import alkit
from alkit.configuration import build, written_form
from alkit.errors import ConfigurationError
from alkit.networks import Classifier, make_network
from alkit.networks.cut import CutNetwork
from alkit.rng import Stream

PLAIN = partial(Classifier, partial(alkit.UNet, widths=(2, 4)))
LITE0 = partial(Classifier, "tu-tf_efficientnet_lite0", weights="efficientnet-lite0")


def make(factory, channels=3, seed=0):
    return make_network(factory, in_channels=channels, classes=3, stream=Stream(seed)).eval()


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("factory", [PLAIN, LITE0])
def test_it_returns_logits_of_images_with_any_number_of_channels_and_of_any_size(factory, channels):
    network = make(factory, channels)
    assert network(torch.rand(2, channels, 34, 50)).shape == (2, 3)
    assert CutNetwork(network, 3).halves(torch.rand(1, channels, 32, 32)).encoded


def test_its_pre_trained_encoder_is_the_same_for_all_seeds_and_its_head_is_not():
    one, other = make(LITE0), make(LITE0, seed=1)
    assert all(a.equal(b) for a, b in zip(one.encoder.parameters(), other.encoder.parameters(), strict=True))
    assert not one.head.weight.equal(other.head.weight)
    images = torch.rand(1, 3, 32, 32)
    stored = one.state_dict()
    assert {"_mean", "_std"} <= stored.keys()
    other.load_state_dict(stored)
    assert other(images).equal(one(images))


def test_a_record_may_name_it_with_weights_by_name_only():
    for factory in (PLAIN, LITE0):
        learner = alkit.ClassificationLearner(factory)
        assert written_form(build(written_form(learner), "learner")) == written_form(learner)
    form = written_form(alkit.ClassificationLearner(LITE0))
    form["with"]["network"]["with"]["weights"] = "/tmp/w.pth"
    with pytest.raises(ConfigurationError, match="weights must be a name, or sha256:"):
        build(form, "learner")


def test_another_network_has_no_encoder_to_take():
    with pytest.raises(ConfigurationError, match="model must be the name of an encoder, or a factory"):
        make(partial(Classifier, lambda in_channels, classes: torch.nn.Linear(in_channels, classes)))
    with pytest.raises(ConfigurationError, match="weights, mean and std must be None"):
        make(partial(Classifier, alkit.UNet, weights="efficientnet-lite0"))
