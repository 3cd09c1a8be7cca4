"""Draws by the rewritten part of a network equal those of the network, and follow its weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import alkit
from alkit.networks.cut import CutNetwork
from alkit.networks.posterior import NetworkPosterior
from alkit.networks.thinned import Thinned, composed, saves
from alkit.rng import Stream


class Ordinary(nn.Module):
    """A U-Net that drops channels before both transposed convolutions, without encode and decode."""

    def __init__(self, upsample=False, p=0.5):
        super().__init__()
        self.upsample = upsample
        self.high, self.low = block(1, 4), block(4, 8)
        self.bottom, self.drop, self.late = block(8, 8), nn.Dropout2d(p), nn.Dropout2d(p)
        self.to_low, self.merge_low = nn.ConvTranspose2d(8, 8, 2, stride=2), block(16, 8)
        self.to_high, self.merge_high = nn.ConvTranspose2d(8, 4, 2, stride=2), block(8, 4)
        self.logits = nn.Conv2d(4, 3, 1)

    def forward(self, images):
        high = self.high(images)
        low = self.low(F.max_pool2d(high, 2))
        x = self.drop(self.bottom(F.max_pool2d(low, 2)))
        raised = F.interpolate(x, size=low.shape[-2:]) if self.upsample else self.to_low(x)
        x = self.late(self.merge_low(torch.cat([low, raised], dim=1)))
        return self.logits(self.merge_high(torch.cat([self.to_high(x), high], 1)))


def block(ins, outs):
    layers = [nn.Conv2d(ins, outs, 3, padding=1), nn.BatchNorm2d(outs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(outs, outs, 3, padding=1), nn.BatchNorm2d(outs), nn.ReLU(inplace=True))


def small_unet():
    return alkit.UNet(in_channels=1, classes=3, widths=(4, 8, 8), heads={2: 0.3})


def uneven(network):
    """Return the network with statistics of batches as training leaves them."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network


NETWORKS = {"ordinary": Ordinary, "upsampled": lambda: Ordinary(upsample=True), "encode and decode": small_unet}


@pytest.fixture(params=NETWORKS)
def network(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return uneven(NETWORKS[request.param]())


@pytest.fixture
def images():
    return torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def draws(cut, images, n=4):
    return torch.cat(list(NetworkPosterior(cut, images).dropout(n, Stream(0))))


def plain(network):
    cut = CutNetwork(network)
    cut.lean = lambda images: None
    return cut


@pytest.mark.parametrize("at_once", [1, 24 * 2**20])
def test_draws_equal_those_of_the_network_itself(network, images, at_once, monkeypatch):
    monkeypatch.setitem(alkit.networks.footprint.BUDGET, "cpu", at_once)
    cut = CutNetwork(network)
    assert cut.lean(images) is not None
    torch.testing.assert_close(draws(cut, images), draws(plain(network), images), atol=1e-5, rtol=1e-5)


def test_a_convolution_of_a_skip_connection_and_a_dropped_channel_cost_nothing_per_draw(images):
    lean = CutNetwork(Ordinary()).lean(images)
    layers = [module for module in lean.draw.__closure__[0].cell_contents.modules() if not list(module.children())]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    # Both transposed convolutions are composed with the convolutions that follow them, and preceded by their inputs.
    assert sorted(layer.in_channels for layer in layers if isinstance(layer, nn.ConvTranspose2d)) == [8, 8]
    assert [layer.kernel_size for layer in layers if isinstance(layer, nn.ConvTranspose2d)] == [(4, 4)] * 2
    assert sorted(layer.in_channels for layer in layers if isinstance(layer, nn.Conv2d)) == [4, 4, 8]


def test_a_draw_that_drops_all_channels_or_none_equals_that_of_the_network(images):
    for p in (0.001, 0.999):
        network = uneven(Ordinary(p=p))
        torch.testing.assert_close(
            draws(CutNetwork(network), images), draws(plain(network), images), atol=1e-5, rtol=1e-5
        )


def test_draws_follow_weights_that_change_and_hooks_that_are_added(network, images):
    cut = CutNetwork(network)
    before = draws(cut, images)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.1)
    after = draws(cut, images)
    assert not torch.allclose(before, after, atol=1e-4)
    torch.testing.assert_close(after, draws(plain(network), images), atol=1e-5, rtol=1e-5)
    last = [module for module in network.modules() if isinstance(module, nn.ConvTranspose2d)][-1]
    last.register_forward_hook(lambda layer, inputs, output: output * 0)
    torch.testing.assert_close(draws(cut, images), draws(plain(network), images), atol=1e-5, rtol=1e-5)


def test_networks_that_are_not_rewritten(images):
    assert CutNetwork(Ordinary(), precision="bf16-mixed").lean(images) is None
    assert CutNetwork(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout(0.5))).lean(images) is None  # nothing to gain


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_composed_layer_equals_both_at_the_border_too(kernel):
    first = nn.ConvTranspose2d(6, 4, 2, stride=2, bias=False)
    second = nn.Conv2d(4, 5, kernel, padding=kernel // 2, bias=False)
    images = torch.rand(2, 6, 5, 7)
    torch.testing.assert_close(composed(first, second)(images), second(first(images)))


def test_layers_are_composed_only_if_this_saves_much():
    first, second = nn.ConvTranspose2d(64, 32, 2, stride=2), nn.Conv2d(32, 32, 3, padding=1)
    assert saves(first, second, 0.5)
    assert not saves(first, second, 0.9)
    assert not saves(first, nn.Conv2d(32, 32, 3, padding=1, padding_mode="reflect"), 0.5)
    assert not saves(nn.ConvTranspose2d(64, 32, 3, stride=2), second, 0.5)


def test_a_thinned_layer_without_masks_is_the_layer():
    layer = nn.ConvTranspose2d(4, 3, 2, stride=2)
    thinned = Thinned(None, False, nn.Dropout2d(0.5), layer).eval()
    images = torch.rand(2, 4, 3, 3)
    torch.testing.assert_close(thinned(images), layer(images))
