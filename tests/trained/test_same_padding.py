"""Convolutions of timm that compute their padding are exported with a shorter formula, and give the same."""

import itertools

import pytest
import torch
from torch import nn

from alkit.learners.predictor import NetworkPredictor
from alkit.trained.export import export_program
from alkit.trained.modules import export_module
from alkit.trained.same_padding import SameConv2d, simplify_padding

layers = pytest.importorskip("timm.layers")


def a_network(kernels, stride=2, dilation=1):
    torch.manual_seed(0)
    convs = [layers.Conv2dSame(1, 1, kernel, stride=stride, dilation=dilation) for kernel in kernels]
    return nn.Sequential(*convs, nn.Conv2d(1, 2, 1)).eval().requires_grad_(False)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (2, 2), ((2, 1), (1, 3))])
@pytest.mark.parametrize("kernel", [2, 3, 4, 5, (3, 5)])
def test_results_and_names_stay_the_same(kernel, stride, dilation):
    network = a_network([kernel], stride, dilation)
    images = [torch.rand(2, 1, height, width) for height, width in itertools.product(range(7, 13), repeat=2)]
    expected, names = [network(image) for image in images], list(network.state_dict())
    simplify_padding(network)
    assert all(torch.equal(network(image), wanted) for image, wanted in zip(images, expected, strict=True))
    assert list(network.state_dict()) == names


def test_a_kernel_that_does_not_cover_the_stride_is_kept():
    network = a_network([1])
    simplify_padding(network)
    assert isinstance(network[0], layers.Conv2dSame)


def test_nothing_is_drawn():
    network, state = a_network([3]), torch.get_rng_state()
    simplify_padding(network)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_exported_module_has_them_and_the_predictor_keeps_its_own():
    network = a_network([3, 5, 3, 5, 3])
    module = export_module(NetworkPredictor(network, 1, 2), (1, 64, 64))
    assert [type(part) for part in module.network[:5]] == [SameConv2d] * 5
    assert all(type(part) is layers.Conv2dSame for part in network[:5])
    program, free = export_program(module, (1, 64, 64))
    assert free == ("batch", "height", "width")
    images = torch.rand(3, 1, 71, 90)
    assert torch.equal(program.module()(images), module(images))
