"""Devices and precisions: what runs in which type, errors, and what importing it costs."""

import json
import subprocess
import sys

import pytest
import torch

import alkit
from alkit.networks.computation import PRECISIONS, computation_for

HEAVY = {"lightning_fabric", "lightning", "segmentation_models_pytorch", "timm", "torchvision", "torchmetrics",
         "sklearn", "scipy", "pandas", "matplotlib", "sqlalchemy", "faiss", "transformers"}  # fmt: skip
"""Packages that a training may need later, and that take time and memory to import."""


def test_importing_what_trains_imports_nothing_heavy_but_torch():
    trains = "SegmentationLearner, alkit.ClassificationLearner, alkit.Ensemble, alkit.UNet, alkit.Reconstruction"
    code = f"import alkit, json, sys; alkit.{trains}; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = {name.partition(".")[0] for name in json.loads(said)}
    assert "torch" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("name", ["cpu:0", "cuda:", "cuda:-1", "mps:1", "auto:0", "gpu", "", "cuda:0:0"])
def test_a_name_that_is_not_a_device_is_an_error(name):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"device must be auto, cpu, cuda, mps, or a numbered"):
        computation_for(name, "32-true")


def test_a_precision_that_the_device_lacks_is_an_error(monkeypatch):
    def autocast(*_):
        raise RuntimeError("Current CUDA Device does not support bfloat16.")

    monkeypatch.setattr(torch, "autocast", autocast)
    with pytest.raises(alkit.errors.ConfigurationError, match=r"precision must be usable on the device 'cpu'"):
        computation_for("cpu", "bf16-mixed")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_computes_in_its_precision_and_returns_float32(precision):
    seen = []
    network = torch.nn.Linear(4, 2)
    network.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    cpu = computation_for("cpu", precision)
    output = cpu.run(network, torch.rand(3, 4))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = network.weight.detach().clone()
    cpu.step(output.square().mean() / 1000, optimizer)  # so small that its scaled gradients fit into float16
    types = {"32-true": torch.float32, "16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
    assert seen == [types[precision]]
    assert output.dtype == network.weight.dtype == torch.float32
    assert not torch.equal(network.weight, before)
    assert not torch.is_autocast_enabled("cpu")


def test_float16_keeps_gradients_that_would_be_zero_without_a_scale():
    network, cpu = torch.nn.Linear(1, 1, bias=False), computation_for("cpu", "16-mixed")
    cpu.step(cpu.run(network, torch.ones(1, 1)).sum() * 1e-8, torch.optim.SGD(network.parameters(), lr=0.0))
    assert network.weight.grad == pytest.approx(1e-8, rel=1e-2)
