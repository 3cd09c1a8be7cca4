"""The memory that one image takes inside a network, and the batches that follow from it."""

import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

import alkit
from alkit.learners import NetworkPredictor
from alkit.networks import cut, footprint
from alkit.networks.footprint import BUDGET, LiveTensors
from alkit.networks.trial import run_trial
from alkit.rng import Stream
from alkit.scores import Scoring, bald, entropy


class Attention(nn.Module):
    """Attention without a layer for its weights: a matrix of all pairs of pixels."""

    def __init__(self):
        super().__init__()
        self.into, self.drop, self.head = nn.Conv2d(1, 4, 1), nn.Dropout(0.5), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        tokens = self.into(x).flatten(2)
        mixed = tokens @ (tokens.mT @ tokens).softmax(-1)
        return self.head(self.drop(mixed.reshape(len(x), 4, *x.shape[2:])))


class Keeping(nn.Module):
    """Makes a large tensor in its first pass, and keeps it."""

    def __init__(self):
        super().__init__()
        self.head, self.kept = nn.Conv2d(1, 2, 1), None

    def forward(self, x):
        self.kept = torch.ones(10**6) if self.kept is None else self.kept
        return self.head(x) * self.kept[0]


class Hidden(Keeping):
    """Fails while operations are watched, as some operations of torch do."""

    def forward(self, x):
        if _get_current_dispatch_mode() is not None:
            raise NotImplementedError("no rule for this operation")
        return super().forward(x)


class Windows(nn.Module):
    """Drops values in windows: those of all images are on the first axis."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.5), nn.Conv2d(1, 2, 1)

    def forward(self, x):
        windows = x.reshape(len(x) * 4, 1, 4, 16)
        return self.head(self.drop(windows).reshape(x.shape))


@pytest.fixture
def images():
    return np.random.default_rng(0).random((7, 1, 16, 16), np.float32)


def test_matrices_that_no_layer_returns_count():
    found = footprint.footprint(Attention().eval(), torch.rand(1, 1, 16, 16))
    matrix = 4 * 256**2
    assert 2 * matrix < found < 2.2 * matrix  # before and after its soft-max


def test_what_a_network_keeps_does_not_count():
    assert footprint.footprint(Keeping().eval(), torch.rand(1, 1, 16, 16)) < 10**5


def test_a_network_that_cannot_be_measured_computes_one_image_at_once(images, caplog):
    with caplog.at_level(logging.DEBUG):
        predictor = NetworkPredictor(Hidden(), 1, 2)
    assert predictor.images_at_once(images) == 1
    np.testing.assert_allclose(predictor.probabilities(images).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("network", [Attention, lambda: alkit.UNet(1, 2, widths=(4, 8, 8))])
@pytest.mark.parametrize("budget", [2**17, 2**20])
def test_scores_predictions_and_features_take_about_the_budget(network, budget, images, monkeypatch):
    predictor, pool = NetworkPredictor(network(), 1, 2), alkit.ArrayPool(np.tile(images, (9, 1, 1, 1)))
    one = predictor._cut._footprint(torch.from_numpy(images[:1]))
    list(predictor.posterior(images[:1]).dropout(1, Stream(0)))  # tries the network
    monkeypatch.setitem(BUDGET, "cpu", budget)
    for budgets, work in (
        (1, lambda: Scoring(pool, predictor, Stream(0)).scores(pool.ids, bald, alkit.Dropout(3))),
        (2, lambda: predictor.probabilities(pool.read(pool.ids))),
        (2, lambda: predictor.features(pool.read(pool.ids))),
    ):
        with LiveTensors() as live:
            work()
        given = 2 * 4 * 63 * 16 * 16 + 4 * 63 * 2 * 16 * 16  # the images, their copy, and the predictions
        assert live.most() - given < 1.25 * max(budgets * budget, one)


def test_predictions_come_in_batches_of_the_same_size_whatever_is_asked_for_at_once(images, monkeypatch):
    sizes, network = [], alkit.UNet(1, 2, widths=(4, 8))
    predictor = NetworkPredictor(network, 1, 2)
    one = predictor._cut._footprint(torch.from_numpy(images[:1]))
    monkeypatch.setitem(BUDGET, "cpu", 3 * one // 2)
    predictor.probabilities(images)  # tries the network
    network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    predictor.probabilities(images)
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("network", [lambda: alkit.UNet(1, 2, widths=(4, 8, 8)), Windows])
def test_images_too_large_for_batches_are_tried_alone_with_the_same_scores(network, images, monkeypatch, caplog):
    def score():
        sizes, made = [], network()
        made.load_state_dict(weights)
        made.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
        predictor = NetworkPredictor(made, 1, 2)
        found = Scoring(pool, predictor, Stream(0)).scores(pool.ids, bald, alkit.Dropout(3))
        predictor.probabilities(images)
        return found, sizes, predictor._cut.lean(torch.from_numpy(images)) is not None

    weights, pool = network().state_dict(), alkit.ArrayPool(images)
    monkeypatch.setitem(BUDGET, "cpu", 1)
    found, sizes, lean = score()
    monkeypatch.setattr(cut, "run_trial", lambda network, image, large: run_trial(network, image))
    expected, more, lean_then = score()
    assert found == expected
    assert max(more) > 1
    if network is Windows:  # needs a second image, so that its windows are not taken for images
        assert max(sizes) > 1
    else:
        assert set(sizes) == {1}
        assert len(sizes) < len(more)
        assert lean
        assert lean_then
    assert not caplog.records


def test_a_random_network_is_warned_of_if_its_images_are_too_large_for_batches(images, monkeypatch, caplog):
    class Random(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) + torch.rand(1)

    monkeypatch.setitem(BUDGET, "cpu", 1)
    Scoring(alkit.ArrayPool(images), NetworkPredictor(Random(1, 2, 1), 1, 2), Stream(0)).scores(["0001"], entropy)
    assert "may be random" in caplog.text


def test_a_dropout_layer_without_the_images_on_its_first_axis_is_refused_at_any_size(images, monkeypatch):
    class TokensFirst(Windows):
        def forward(self, x):
            return self.head(self.drop(x.flatten(2).permute(2, 0, 1)).permute(1, 2, 0).reshape(x.shape))

    monkeypatch.setitem(BUDGET, "cpu", 1)
    with pytest.raises(alkit.errors.ConfigurationError, match="must have the images on the first axis"):
        list(NetworkPredictor(TokensFirst(), 1, 2).posterior(images).dropout(2, Stream(0)))
