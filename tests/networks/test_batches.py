"""Images of a batch and draws of a pass do not influence each other, whatever a network does along its batch."""

import logging

import pytest
import torch
from full_passes import in_full
from torch import nn

from alkit.learners.predictor import NetworkPredictor
from alkit.networks.cut import CutNetwork
from alkit.networks.posterior import NetworkPosterior
from alkit.networks.reads import watched_reads
from alkit.rng import Stream

SIDE = 6


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.middle = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last, self.head = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)
        self.drop, self.drop_again = nn.Dropout(0.5), nn.Dropout(0.5)

    def forward(self, x):
        return self.head(self.drop(self.first(x).relu()))


class StacksFlips(Base):
    """Puts mirrored copies behind the images of the batch, after a dropout layer."""

    def forward(self, x):
        x = self.drop(self.first(x).relu())
        x = self.drop_again(self.middle(torch.cat([x, x.flip(-1)])).relu())
        straight, mirrored = x.chunk(2)
        return self.head(straight + mirrored.flip(-1))


class StacksPatches(Base):
    """Puts the patches of all images behind each other, the first patches of all images first."""

    def forward(self, x):
        x = self.drop(self.first(x).relu())
        patches = self.drop_again(self.middle(torch.cat(x.chunk(3, -1))).relu())
        return self.head(torch.cat(patches.chunk(3), -1))


class DecodesFlips(Base):
    """As :class:`StacksFlips`, with methods to encode and decode."""

    def encode(self, x):
        return [self.first(x).relu()]

    def decode(self, maps):
        straight, mirrored = self.drop(self.middle(torch.cat([maps[0], maps[0].flip(-1)]))).chunk(2)
        return self.head(straight + mirrored.flip(-1))

    def forward(self, x):
        return self.decode(self.encode(x))


class Sorts(Base):
    """Sorts the images of the batch by brightness."""

    def forward(self, x):
        order = x.mean((1, 2, 3)).argsort()
        return super().forward(x[order])[order.argsort()]


class InvertsBright(Base):
    """Inverts the whole batch if a pixel of it is very bright."""

    def forward(self, x):
        return super().forward(1 - x if (x > 0.9999).any() else x)


class InvertsBrightByNumpy(Base):
    """Decides by an array of numpy."""

    def forward(self, x):
        return super().forward(1 - x if x.numpy().max() > 0.9999 else x)


class SkipsBlank(Base):
    """Drops nothing in a batch of constant images."""

    def forward(self, x):
        return super().forward(x) if x.std() > 1e-3 else self.head(self.first(x))


class Switches(Base):
    """Switches by the mean of the batch, without a condition in Python."""

    def __init__(self):
        super().__init__()
        self.register_buffer("bound", torch.tensor(0.56))

    def forward(self, x):
        return self.head(self.drop(torch.where(x.mean() > self.bound, self.first(x).relu(), self.first(x).tanh())))


class KeepsTheBrightest(Base):
    """Keeps the two brightest images of the batch, and returns a constant for the others."""

    def forward(self, x):
        x = self.drop(self.first(x))
        brightest = x.mean((1, 2, 3)).topk(min(2, len(x))).indices
        return self.head(x * torch.zeros(len(x), 1, 1, 1).index_fill(0, brightest, 1.0))


class Routes(Base):
    """Sends each image to one of two layers, and drops out in each, after a dropout layer."""

    def forward(self, x):
        x = self.drop(self.first(x).relu())
        right, out = x.mean((1, 2, 3)) > 0.14, torch.zeros_like(x)
        for rows, layer in ((torch.nonzero(right)[:, 0], self.middle), (torch.nonzero(~right)[:, 0], self.last)):
            out = out.index_copy(0, rows, self.drop_again(layer(x[rows])))
        return self.head(out)


class Picks(Routes):
    """As :class:`Routes`, with masks in place of numbers."""

    def forward(self, x):
        x = self.drop(self.first(x).relu())
        right, out = x.mean((1, 2, 3)) > 0.14, torch.zeros_like(x)
        for rows, layer in ((right, self.middle), (~right, self.last)):
            out[rows] = self.drop_again(layer(x[rows]))
        return self.head(out)


class CentresLarge(Base):
    """Subtracts the mean of the batch if it has at least four images."""

    def forward(self, x):
        return super().forward(x - x.mean(0, keepdim=True) if len(x) >= 4 else x)


class CentresLargeLate(Base):
    """Does so after a dropout layer, so that the draws of a pass count, too."""

    def forward(self, x):
        x = self.drop(self.first(x).relu())
        return self.head(x - x.mean(0, keepdim=True) if len(x) >= 4 else x)


class SplitsLarge(Base):
    """Computes at most three images at once, to save memory."""

    def forward(self, x):
        return torch.cat([super(SplitsLarge, self).forward(part) for part in x.split(3)])


class SplitsLargeLate(Base):
    """Does so after a dropout layer, so that the draws of a pass count, too."""

    def forward(self, x):
        x = self.drop(self.first(x).relu())
        return torch.cat([self.head(self.drop_again(self.middle(part))) for part in x.split(3)])


class LoopsBackwards(Base):
    """Computes one image after another, the last one first."""

    def forward(self, x):
        return torch.cat([super(LoopsBackwards, self).forward(part) for part in x.split(1)[::-1]][::-1])


class HalvesTheBatch(Base):
    """Computes the halves of the batch apart, as for two devices."""

    def forward(self, x):
        return torch.cat([super(HalvesTheBatch, self).forward(part) for part in x.chunk(2)])


NETWORKS = {
    kind.__name__: kind
    for kind in (
        *(StacksFlips, StacksPatches, DecodesFlips, Sorts, InvertsBright, InvertsBrightByNumpy, SkipsBlank, Switches),
        *(KeepsTheBrightest, Routes, Picks, CentresLarge, CentresLargeLate),
        *(SplitsLarge, SplitsLargeLate, LoopsBackwards, HalvesTheBatch),
    )
}


def images():
    """Return six images: noise of several brightnesses, a constant image, and one with a white pixel."""
    noise = torch.rand(6, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    noise *= torch.tensor([0.6, 0.9, 0.3, 0.5, 0.7, 0.2]).reshape(6, 1, 1, 1)
    noise[3], noise[4, 0, 0, 0] = 0.25, 1
    return noise


@pytest.mark.parametrize("name", NETWORKS)
def test_draws_and_predictions_are_those_of_each_image_and_each_draw_alone(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    cut, predictor = CutNetwork(network), NetworkPredictor(network, 1, 2)
    for rows in ([0], [0, 1], [0, 2, 3, 4], [3], [5, 4], [1, 2, 3, 4, 5]):
        batch = images()[rows]
        drawn = torch.cat(list(NetworkPosterior(cut, batch).dropout(4, Stream(0))))
        expected = [torch.cat([in_full(network, image, draw) for image in batch.split(1)]) for draw in range(4)]
        torch.testing.assert_close(drawn, torch.stack(expected), atol=1e-5, rtol=1e-4)
        with torch.no_grad():
            alone = torch.cat([network(image).softmax(1) for image in batch.split(1)])
        torch.testing.assert_close(NetworkPosterior(cut, batch).prediction(), alone, atol=1e-5, rtol=1e-4)
        probabilities = torch.from_numpy(predictor.probabilities(batch.numpy()))
        torch.testing.assert_close(probabilities, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning", "ignore:.*torch.jit.script:DeprecationWarning")
def test_a_scripted_part_of_a_network_takes_part_without_hooks():
    class HasScript(Base):
        def __init__(self):
            super().__init__()
            self.first = torch.jit.script(nn.Sequential(self.first, nn.ReLU()))

    network = HasScript().eval()
    cut = CutNetwork(network)
    assert cut.images_at_once(images()) >= 1
    drawn = torch.cat(list(NetworkPosterior(cut, images()).dropout(2, Stream(0))))
    expected = [torch.cat([in_full(network, image, draw) for image in images().split(1)]) for draw in range(2)]
    torch.testing.assert_close(drawn, torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_a_network_that_reads_a_buffer_is_not_said_to_read_images(caplog):
    class ReadsABuffer(Base):
        def __init__(self):
            super().__init__()
            self.register_buffer("ready", torch.tensor(True))

        def forward(self, x):
            return super().forward(x if self.ready else 1 - x)

    with caplog.at_level(logging.WARNING):
        assert not NetworkPosterior(CutNetwork(ReadsABuffer().eval()), images())._parts
    assert not caplog.records


@pytest.mark.parametrize(
    "reads",
    [
        lambda x: x.sum().item(),
        lambda x: (x * 2).mean((1, 2, 3)).tolist(),
        lambda x: torch.equal(x, x + 1),
        lambda x: int(x.add_(1).max()),
    ],
    ids=["item", "tolist", "equal", "in place"],
)
def test_values_that_python_gets_are_noticed(reads):
    batch, other = images(), torch.ones(3)
    with watched_reads(batch) as found:
        batch.relu().sum()
        other.sum().item()
    assert not found.found
    with watched_reads(batch) as found:
        reads(batch)
    assert found.found
