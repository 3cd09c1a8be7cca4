"""Draws by dropout depend on seed and number, equal full passes, and run the encoder once."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from full_passes import in_full
from torch import nn
from torch.nn import functional as F

import alkit
from alkit.learners.predictor import NetworkPredictor
from alkit.networks.cut import CutNetwork
from alkit.networks.dropout import KnownMasks, apply_masks, draw_mask
from alkit.networks.footprint import BUDGET
from alkit.networks.posterior import NetworkPosterior
from alkit.networks.state import copy_network
from alkit.rng import Stream


class TwoDropouts(nn.Module):
    """A small U-shaped network without encode and decode, whose one dropout layer is called twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, stride=2)
        self.norm, self.drop = nn.BatchNorm2d(4), nn.Dropout2d(0.5)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, images):
        fine = torch.relu(self.norm(self.first(images)))
        coarse = self.drop(torch.relu(self.second(fine)))
        wide = F.interpolate(self.drop(coarse), size=fine.shape[-2:])
        return self.last(torch.cat([fine, wide], dim=1))


class Untraceable(TwoDropouts):
    """The same, with a decision that depends on the data."""

    def forward(self, images):
        return super().forward(images if images.sum() > -1e9 else -images)


class DropsInItsEncoder(nn.Module):
    """Has encode and decode, and drops in both."""

    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.late = nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.3), nn.Dropout(0.3)
        self.last = nn.Conv2d(4, 2, 1)

    def encode(self, images):
        return [self.drop(self.conv(images))]

    def decode(self, maps):
        return self.last(self.late(maps[-1]))

    def forward(self, images):
        return self.decode(self.encode(images))


class WritesInPlace(nn.Module):
    """Adds the output of dropout to a map that all draws share, in place."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.drop = nn.Dropout(0.5)

    def forward(self, images):
        maps = self.first(images)
        dropped = self.drop(maps).clone()
        return self.last(maps.add_(dropped).relu_())


class WritesBehindTheBack(WritesInPlace):
    """The same, but the later code uses the old name of the map, so a traced graph is wrong."""

    def forward(self, images):
        maps = self.first(images)
        maps.add_(self.drop(maps).clone())
        return self.last(maps)


class EncodesSomethingElse(TwoDropouts):
    """Has methods encode and decode that its forward pass does not use."""

    def encode(self, images):
        return [images.mean(dim=1, keepdim=True)]

    def decode(self, maps):
        return maps[-1].expand(-1, 3, -1, -1) * 7


class DropsByAFunction(TwoDropouts):
    """Has dropout without a layer, which is on in training only, so draws do not use it."""

    def forward(self, images):
        return F.dropout(super().forward(images), 0.5, self.training)


class Transformer(nn.Module):
    """Has dropout inside a module of torch, which the tracer does not look into."""

    def __init__(self, batch_first=True):
        super().__init__()
        self.split = nn.Conv2d(1, 8, 4, stride=4)
        self.layer = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.5, batch_first=batch_first)
        self.batch_first, self.last = batch_first, nn.Linear(8, 3)

    def forward(self, images):
        tokens = self.split(images).flatten(2).transpose(1, 2)
        tokens = self.layer(tokens if self.batch_first else tokens.transpose(0, 1))
        return self.last(tokens.mean(dim=1 if self.batch_first else 0))


NETWORKS = {
    "drops in a container": Transformer,
    "writes in place": WritesInPlace,
    "writes behind the back": WritesBehindTheBack,
    "encodes something else": EncodesSomethingElse,
    "drops by a function": DropsByAFunction,
    "encode and decode": partial(alkit.UNet, in_channels=1, classes=2, widths=(4, 8)),
    "traced": TwoDropouts,
    "untraceable": Untraceable,
    "drops in its encoder": DropsInItsEncoder,
    "classifier": lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)),
}


@pytest.fixture(params=NETWORKS, ids=str)
def network(request):
    torch.manual_seed(0)
    made = NETWORKS[request.param]().train()
    for (
        module
    ) in made.modules():  # other statistics than those of the batch, so that evaluation mode makes a difference
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
    return made


@pytest.fixture
def images():
    return torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def all_draws(network, images, draws=4, seed=0):
    return torch.cat(list(NetworkPosterior(CutNetwork(network), images).dropout(draws, Stream(seed))))


def test_draws_equal_full_passes_with_the_same_masks(network, images):
    expected = torch.stack([in_full(network, images, draw) for draw in range(4)])
    torch.testing.assert_close(all_draws(network, images), expected, atol=1e-6, rtol=1e-5)
    assert expected.std(dim=0).max() > 1e-4  # the draws differ


def test_draws_do_not_depend_on_which_images_share_a_batch(network, images):
    together = all_draws(network, images)
    apart = torch.cat([all_draws(network, images[[row]]) for row in (4, 0, 2)], dim=1)
    torch.testing.assert_close(apart, together[:, [4, 0, 2]], atol=1e-6, rtol=1e-5)


def test_draws_do_not_depend_on_how_many_are_taken_at_once_or_in_all(network, images, monkeypatch):
    expected = all_draws(network, images, draws=7)
    torch.testing.assert_close(all_draws(network, images, draws=3), expected[:3], atol=1e-6, rtol=1e-5)
    monkeypatch.setitem(BUDGET, "cpu", 1)
    chunks = list(NetworkPosterior(CutNetwork(network), images).dropout(7, Stream(0)))
    assert [len(chunk) for chunk in chunks] == [1] * 7
    torch.testing.assert_close(torch.cat(chunks), expected, atol=1e-6, rtol=1e-5)


def test_a_copy_of_the_previous_model_draws_with_its_own_weights(network, images):
    """The cut that the previous model stores belongs to its own network."""
    first = NetworkPredictor(network, 1, network.eval()(images).shape[1])
    first.posterior(images.numpy()).prediction()
    second = NetworkPredictor(copy_network(network), 1, first.classes)
    with torch.no_grad():
        for value in second.network.parameters():
            value += 0.1
    expected = torch.from_numpy(second.probabilities(images.numpy()))
    torch.testing.assert_close(second.posterior(images.numpy()).prediction(), expected, atol=1e-6, rtol=1e-5)
    fresh = torch.cat(list(NetworkPosterior(CutNetwork(second.network), images).dropout(3, Stream(0))))
    torch.testing.assert_close(torch.cat(list(second.posterior(images.numpy()).dropout(3, Stream(0)))), fresh)
    before = torch.from_numpy(first.probabilities(images.numpy()))
    torch.testing.assert_close(first.posterior(images.numpy()).prediction(), before, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(before, expected, atol=1e-4)


def test_another_seed_gives_other_draws(network, images):
    assert not torch.equal(all_draws(network, images, seed=0), all_draws(network, images, seed=1))


def test_the_prediction_is_the_network_in_evaluation_mode(network, images):
    network.train()
    prediction = NetworkPosterior(CutNetwork(network), images).prediction()
    assert network.training
    torch.testing.assert_close(prediction, network.eval()(images).softmax(dim=1).detach(), atol=1e-6, rtol=1e-5)


def test_draws_change_neither_the_network_nor_the_global_generator(network, images):
    network.train()
    before, state = {k: v.clone() for k, v in network.state_dict().items()}, torch.random.get_rng_state()
    draws = NetworkPosterior(CutNetwork(network), images).dropout(3, Stream(0))
    next(draws)
    assert not torch.is_inference_mode_enabled()  # between two draws, too
    assert network.training
    list(draws)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(not module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["encode and decode", "traced", "classifier"])
def test_layers_before_the_first_dropout_run_once_for_all_draws(name, images, monkeypatch):
    network = NETWORKS[name]()
    first = next(module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear)))
    last = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))][-1]
    cut = CutNetwork(network)
    monkeypatch.setitem(BUDGET, "cpu", 2 * cut._footprint(images[:1]))  # one draw of all images at a time
    first_posterior = NetworkPosterior(cut, images)
    list(first_posterior.dropout(1, Stream(0)))  # compares one draw with a pass over one image, once, as does:
    first_posterior.prediction()
    calls = {first: 0, last: 0}
    for layer in calls:
        layer.register_forward_hook(lambda layer, *_: calls.update({layer: calls[layer] + 1}))
    inside = NetworkPosterior(cut, images)
    list(inside.dropout(9, Stream(0)))
    inside.prediction()
    assert calls == {first: 1, last: 10}


def test_a_network_without_usable_dropout_is_an_error(images):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"^UNet has no dropout layer.*dropout=0\.5"):
        all_draws(alkit.UNet(in_channels=1, classes=2, widths=(2, 4), dropout=0.0), images)
    with pytest.raises(alkit.errors.ConfigurationError, match="AlphaDropout"):
        all_draws(nn.Sequential(nn.Flatten(), nn.AlphaDropout(0.5), nn.Linear(256, 2)), images)


def test_dropout_layers_without_images_first_or_without_calls_are_errors(images):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"the images on the first axis.*batch_first=True"):
        all_draws(Transformer(batch_first=False), images[:3])

    class Unused(TwoDropouts):
        def forward(self, images):
            return self.last(torch.cat([self.first(images)] * 2, dim=1))

    with pytest.raises(alkit.errors.ConfigurationError, match="must call a dropout layer"):
        all_draws(Unused(), images)


def test_heads_are_those_of_the_network(images):
    network = alkit.UNet(in_channels=1, classes=2, widths=(2, 4, 8, 8), heads={2: 0.1, 4: 0.3})
    heads = NetworkPosterior(CutNetwork(network), images).heads()
    with torch.no_grad():
        expected = network.eval().decode_all(network.encode(images))
    assert len(heads) == 3
    for head, logits in zip(heads, expected, strict=True):
        torch.testing.assert_close(head, logits.softmax(dim=1))
    with pytest.raises(alkit.errors.ConfigurationError, match="heads="):
        NetworkPosterior(CutNetwork(TwoDropouts()), images).heads()


def test_more_images_fit_at_once_when_they_are_smaller_and_at_least_one_always(monkeypatch):
    cut = CutNetwork(alkit.UNet(in_channels=1, classes=2, widths=(8, 16)))
    small, large = cut.images_at_once(torch.zeros(1, 1, 32, 32)), cut.images_at_once(torch.zeros(1, 1, 64, 64))
    assert small == pytest.approx(4 * large, rel=0.05)
    # 64 x 64 pixels. Most tensors exist at the normalisation that follows the joined maps: the image and its copy, two
    # maps of the encoder, the joined maps, and input and output of the normalisation. The logits count five times.
    assert large == BUDGET["cpu"] // (4 * 64 * 64 * (2 * 1 + 8 + 16 // 4 + 16 + 2 * 8 + 5 * 2))
    monkeypatch.setitem(BUDGET, "cpu", 1)
    assert cut.images_at_once(torch.zeros(1, 1, 64, 64)) == 1


def test_a_deleted_model_is_freed(images):
    network = alkit.UNet(in_channels=1, classes=2, widths=(2, 4))
    predictor = NetworkPredictor(network, 1, 2)
    list(predictor.posterior(images.numpy()).dropout(2, Stream(0)))
    gone = weakref.ref(network)
    del network, predictor
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("most", [0, 4 * 2**20])
@pytest.mark.parametrize("layer", [nn.Dropout(0.3), nn.Dropout2d(0.5), nn.Dropout(1.0)])
def test_masks_of_earlier_images_are_those_that_would_be_drawn(layer, most, monkeypatch):
    monkeypatch.setattr("alkit.networks.dropout.MOST", most)
    known, output, root = KnownMasks(), torch.zeros(2, 4, 5, 6), Stream(3, ("draws",))
    for one in (root, root, Stream(4), root):
        for number in (0, 1, 0):
            stream = one.child(number, "layer", 0)
            assert torch.equal(known.get(layer, output, stream, one), draw_mask(layer, output, stream))
    assert len(known._known) == (2 if most else 0)


@pytest.mark.parametrize("numbers", [[0], [0, 1]])
def test_the_channels_of_one_image_stay_last_after_dropout(numbers):
    layer, seen = nn.Dropout(0.5), []
    layer.eval()
    given = torch.rand(len(numbers), 4, 6, 6).contiguous(memory_format=torch.channels_last)
    with apply_masks({"layer": layer}, numbers, 1, Stream(0)):
        seen.append(layer(given))
    assert seen[0].stride() == given.stride()  # torch looks at the first of them, too


def test_a_mask_keeps_each_unit_with_the_probability_of_the_layer():
    layer = nn.Dropout(0.25)
    masks = torch.stack([draw_mask(layer, torch.zeros(1, 400), Stream(t)) for t in range(50)])
    assert set(np.unique(masks.numpy())) == {np.float32(0), np.float32(1 / 0.75)}
    assert float((masks > 0).float().mean()) == pytest.approx(0.75, abs=0.01)


def test_several_threads_get_what_one_thread_gets_and_leave_the_network_as_it_was():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Conv2d(8, 2, 1)
    )
    predictor, images = NetworkPredictor(network, 1, 2), torch.rand(6, 1, 32, 32).numpy()

    def draws(n):
        return torch.cat(list(predictor.posterior(images[:n]).dropout(3, Stream(0)))).numpy()

    works = (lambda n: predictor.probabilities(images[:n]), draws, lambda n: predictor.features(images[:n]))
    alone = [[work(n) for n in range(1, 7)] for work in works]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    jobs = [(number, n) for _ in range(5) for n in range(6) for number in range(3)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda job: works[job[0]](job[1] + 1), jobs))
    for (number, n), values in zip(jobs, found, strict=True):
        np.testing.assert_allclose(values, alone[number][n], atol=1e-6)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
