"""Draws are those of plain passes over single images, whatever the network keeps, writes or mixes."""

import logging
from unittest.mock import patch

import pytest
import torch
from full_passes import in_full
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import alkit
from alkit import scores
from alkit.learners.predictor import NetworkPredictor
from alkit.networks.cut import CutNetwork
from alkit.networks.footprint import BUDGET
from alkit.networks.posterior import NetworkPosterior
from alkit.rng import Stream
from alkit.scores.streamed import Scoring

SIDE = 6


class StandardConvolution(nn.Conv2d):
    """Convolution with weight standardisation (Qiao et al., 2019)."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class CosineHead(nn.Module):
    """One learnt direction per class."""

    def __init__(self, width, classes):
        super().__init__()
        self.directions = nn.Parameter(torch.randn(classes, width))

    def forward(self, x):
        directions = F.normalize(self.directions, dim=1)
        return torch.einsum("nchw,kc->nkhw", F.normalize(x, dim=1), directions) * 5


class Gate(nn.Module):
    """A residual with a learnt scalar."""

    def __init__(self, width):
        super().__init__()
        self.conv, self.gamma = nn.Conv2d(width, width, 1), nn.Parameter(torch.full((1,), 0.7))

    def forward(self, x):
        return x + self.gamma * self.conv(x)


class Temperatures(nn.Module):
    """A buffer with a value for each channel."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("values", torch.rand(width) + 0.5)

    def forward(self, x):
        return (x.permute(0, 2, 3, 1) * self.values).permute(0, 3, 1, 2)


class Positions(nn.Module):
    """A learnt embedding of the positions, with or without a first axis of length 1."""

    def __init__(self, width, batched):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(*[1] * batched, width, SIDE, SIDE))

    def forward(self, x):
        return x + self.embedding


class KeepsPositions(nn.Module):
    """Positions that are computed in the first pass and then kept."""

    def __init__(self, width):
        super().__init__()
        self.kept = None

    def forward(self, x):
        if self.kept is None:
            self.kept = torch.ones_like(x[:1]).cumsum(-1) / SIDE
        return x + self.kept


class Attention(nn.Module):
    """Attention over the pixels, with the tokens on the first axis inside."""

    def __init__(self, width):
        super().__init__()
        self.inner = nn.MultiheadAttention(width, 1)

    def forward(self, x):
        tokens = x.flatten(2).permute(2, 0, 1)
        return self.inner(tokens, tokens, tokens, need_weights=False)[0].permute(1, 2, 0).reshape(x.shape)


class Reshape(nn.Module):
    """Uses the number of images."""

    def forward(self, x):
        return x.reshape(x.shape[0], -1).tanh().reshape(x.shape)


class Skip(nn.Module):
    """Concatenates what came before the dropout layer, and rectifies it in place."""

    def __init__(self, width, inner):
        super().__init__()
        self.inner, self.last = inner, nn.Conv2d(2 * width, width, 1)

    def forward(self, x):
        later = self.inner(x)
        return self.last(torch.cat([later, x.relu_()], dim=1))


class SubtractsTheMean(nn.Module):
    """Subtracts what the images of a batch have in common."""

    def forward(self, x):
        return x - x.mean(0, keepdim=True) / 2


class CentresInPlace(nn.Module):
    """Subtracts a constant from its input, in place."""

    def forward(self, x):
        return x.sub_(0.4)


def block(kind, width):
    return {
        "convolution": lambda: nn.Conv2d(width, width, 3, padding=1),
        "standard convolution": lambda: StandardConvolution(width, width, 3, padding=1),
        "gate": lambda: Gate(width),
        "temperatures": lambda: Temperatures(width),
        "positions": lambda: Positions(width, batched=False),
        "batched positions": lambda: Positions(width, batched=True),
        "kept positions": lambda: KeepsPositions(width),
        "attention": lambda: Attention(width),
        "reshape": Reshape,
        "in-place rectifier": lambda: nn.ReLU(inplace=True),
        "group normalisation": lambda: nn.GroupNorm(1, width),
        "batch normalisation": lambda: nn.BatchNorm2d(width),
        "statistics of the batch": lambda: nn.BatchNorm2d(width, eps=0.1, track_running_stats=False),
        "mean of the batch": SubtractsTheMean,
        "weight normalisation": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(width, width, 1)),
        "dropout": lambda: nn.Dropout(0.3),
        "dropout of channels": lambda: nn.Dropout2d(0.3),
    }[kind]()


KINDS = [
    "convolution",
    "standard convolution",
    "gate",
    "temperatures",
    "positions",
    "batched positions",
    "kept positions",
    "attention",
    "reshape",
    "in-place rectifier",
    "group normalisation",
    "batch normalisation",
    "statistics of the batch",
    "mean of the batch",
    "weight normalisation",
    "dropout",
    "dropout of channels",
]


@st.composite
def networks(draw):
    width, classes = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    torch.manual_seed(draw(st.integers(0, 9)))
    before = [block(kind, width) for kind in draw(st.lists(st.sampled_from(KINDS), max_size=2))]
    after = [block(kind, width) for kind in draw(st.lists(st.sampled_from(KINDS), max_size=3))]
    first = [CentresInPlace()] if draw(st.booleans()) else []
    rest = nn.Sequential(block(draw(st.sampled_from(["dropout", "dropout of channels"])), width), *after)
    if draw(st.booleans()):
        rest = Skip(width, rest)
    head = CosineHead(width, classes) if width > 1 and draw(st.booleans()) else nn.Conv2d(width, classes, 1)
    return nn.Sequential(*first, nn.Conv2d(1, width, 3, padding=1), *before, rest, head).eval()


def noise(n, seed=1):
    return torch.rand(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def one_by_one(network, images, draws):
    """Reference: plain passes over single images."""
    return torch.stack(
        [torch.cat([in_full(network, image, draw) for image in images.split(1)]) for draw in range(draws)]
    )


def all_draws(network, images, draws):
    return torch.cat(list(NetworkPosterior(CutNetwork(network), images).dropout(draws, Stream(0))))


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(1, 5), st.integers(1, 4), st.integers(1, 12))
def test_draws_and_predictions_are_those_of_plain_passes_over_single_images(network, n, draws, fit):
    images = noise(n)
    cut = CutNetwork(network)
    with patch.dict(BUDGET, cpu=fit * cut._footprint(images[:1])):
        posterior = NetworkPosterior(cut, images)
        drawn = torch.cat(list(posterior.dropout(draws, Stream(0))))
    torch.testing.assert_close(drawn, one_by_one(network, images, draws), atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        alone = torch.cat([network(image.clone()).softmax(1) for image in images.split(1)])
    torch.testing.assert_close(posterior.prediction(), alone, atol=1e-5, rtol=1e-4)
    probabilities = NetworkPredictor(network, 1, alone.shape[1]).probabilities(images.numpy())
    torch.testing.assert_close(torch.from_numpy(probabilities), alone, atol=1e-5, rtol=1e-4)
    assert torch.equal(images, noise(n))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_parameter_with_as_many_rows_as_there_are_images_is_not_taken_for_them(n, classes):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), CosineHead(8, classes)).eval()
    drawn = all_draws(network, noise(n), 6)
    assert drawn.shape == (6, n, classes, SIDE, SIDE)
    torch.testing.assert_close(drawn, one_by_one(network, noise(n), 6), atol=1e-6, rtol=1e-5)


def test_the_entropy_of_two_classes_is_at_most_log_2_in_batches_of_two():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), CosineHead(8, 2)).eval()
    pool = alkit.ArrayPool(noise(6)[:, 0].numpy())
    scoring = Scoring(pool, NetworkPredictor(network, 1, 2), Stream(0))
    scoring._batches = lambda ids: [ids[begin : begin + 2] for begin in range(0, len(ids), 2)]
    pairs = scoring.scores(pool.ids, scores.entropy, alkit.Dropout(6))
    alone = {
        id: Scoring(pool, NetworkPredictor(network, 1, 2), Stream(0)).scores([id], scores.entropy, alkit.Dropout(6))[id]
        for id in pool.ids
    }
    assert pairs == pytest.approx(alone, rel=1e-5)
    assert max(pairs.values()) < 0.6932


class RemembersInEncode(nn.Module):
    """Its encode stores a map that its decode reads."""

    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.last = nn.Conv2d(1, 3, 3, padding=1), nn.Dropout(0.5), nn.Conv2d(3, 2, 1)

    def encode(self, images):
        self.skip = self.conv(images)
        return [self.skip.relu()]

    def decode(self, maps):
        return self.last(self.drop(maps[-1]) + self.skip)

    def forward(self, images):
        return self.decode(self.encode(images))


class EncodesIntoATensor(RemembersInEncode):
    """Its encode returns one map, not a list, with as many channels as there may be images."""

    def encode(self, images):
        return self.conv(images)

    def decode(self, maps):
        return self.last(self.drop(maps))


class EncodesIntoANest(RemembersInEncode):
    """Its encode returns a dict of lists, and its decode writes into it."""

    def encode(self, images):
        return {"maps": [self.conv(images)]}

    def decode(self, maps):
        return self.last(self.drop(maps["maps"][0]) + maps["maps"][0].add_(1))


class EncodesText(RemembersInEncode):
    """Its encode and decode have nothing to do with images."""

    def encode(self, text):
        return text.encode()

    def decode(self, text):
        return text.decode()

    def forward(self, images):
        return self.last(self.drop(self.conv(images)))


class EncodesOnlyBlack(RemembersInEncode):
    """Its encode and decode reproduce it for a black image only."""

    def encode(self, images):
        return [images * 2]

    def decode(self, maps):
        return self.last(self.drop(self.conv(maps[-1])))

    def forward(self, images):
        return self.last(self.drop(self.conv(images)))


@pytest.mark.parametrize(
    "factory", [RemembersInEncode, EncodesIntoATensor, EncodesIntoANest, EncodesText, EncodesOnlyBlack]
)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_encode_that_cannot_be_cut_safely_is_not_used(factory, n):
    torch.manual_seed(0)
    network = factory().eval()
    cut = CutNetwork(network)
    cut.images_at_once(torch.zeros(1, 1, SIDE, SIDE))  # tries the cut on a black image
    drawn = torch.cat(list(NetworkPosterior(cut, noise(n)).dropout(5, Stream(0))))
    torch.testing.assert_close(drawn, one_by_one(network, noise(n), 5), atol=1e-6, rtol=1e-5)


def test_tracing_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout(0.5), KeepsPositions(2))
    all_draws(network, noise(2), 3)
    assert isinstance(network[2].kept, torch.Tensor)
    assert not [name for module in network.modules() for name in vars(module) if "constant" in name]


class DropsWeights(nn.Module):
    """Applies dropout to a parameter, whose first axis is not that of the images."""

    def __init__(self):
        super().__init__()
        self.drop, self.weight = nn.Dropout(0.5), nn.Parameter(torch.randn(4, 1, 1, 1))

    def forward(self, images):
        return F.conv2d(images, self.drop(self.weight))


class DropsTokensFirst(nn.Module):
    """Applies dropout to ``(tokens, n, channels)``."""

    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.last = nn.Conv2d(1, 4, 1), nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, images):
        return self.last(self.drop(self.conv(images).flatten(2).permute(2, 0, 1)).mean(0))


@pytest.mark.parametrize("factory", [DropsWeights, DropsTokensFirst])
@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_a_dropout_layer_without_images_first_is_an_error_for_any_number_of_images(factory, n):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"'drop' must have the images on the first axis"):
        all_draws(factory(), noise(n), 2)


def test_a_dropped_embedding_that_all_images_share_is_the_same_for_all():
    class Embeds(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.embedding = nn.Dropout(0.5), nn.Parameter(torch.randn(1, 2, SIDE, SIDE))

        def forward(self, images):
            return images + self.drop(self.embedding)

    torch.manual_seed(0)
    network = Embeds().eval()
    torch.testing.assert_close(all_draws(network, noise(3), 4), one_by_one(network, noise(3), 4))


def test_a_network_that_mixes_images_is_noted_in_the_log(caplog):
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False), nn.Dropout(0.5)).eval()
    with caplog.at_level(logging.WARNING, "alkit"):
        all_draws(network, noise(3), 2)
    (record,) = caplog.records
    assert "track_running_stats=False" in record.getMessage()


def test_models_get_the_images_as_they_are_even_if_an_earlier_one_writes_into_its_input():
    images = noise(2).numpy()
    model = NetworkPredictor(nn.Sequential(CentresInPlace(), nn.Conv2d(1, 2, 1)), 1, 2)
    first = model.probabilities(images)
    assert (images == noise(2).numpy()).all()
    assert (model.probabilities(images) == first).all()
