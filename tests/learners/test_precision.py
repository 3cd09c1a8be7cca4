"""Predictions, draws and features in a lower precision or by compiled networks: nearly the same numbers."""

from functools import partial

import numpy as np
import pytest
import torch

import alkit
from alkit.errors import ConfigurationError
from alkit.learners import NetworkPredictor
from alkit.networks import compiled
from alkit.rng import Stream

IMAGES = np.random.default_rng(0).random((5, 1, 16, 16), np.float32)
NETWORK = partial(alkit.UNet, widths=(4, 8, 8), heads={2: 0.3})


@pytest.fixture(scope="module")
def dumped():
    torch.manual_seed(0)
    return NetworkPredictor(NETWORK(1, 2), 1, 2).dumps()


@pytest.fixture
def model(dumped):
    """Return a function that reads the model by a learner with some parameters."""
    return lambda **parts: alkit.SegmentationLearner(NETWORK, device="cpu", **parts).loads(dumped)


def numbers(model):
    """Return all that a model computes, by name."""
    posterior = model.posterior(IMAGES)
    return {
        "probabilities": model.probabilities(IMAGES),
        "prediction": posterior.prediction().numpy(),
        "draws": torch.cat(list(posterior.dropout(4, Stream(1)))).numpy(),
        "heads": torch.stack(posterior.heads()).numpy(),
        "features": model.features(IMAGES),
    }


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_mixed_precision_holds_for_all_that_a_model_computes(model, precision, caplog):
    full, mixed = numbers(model()), numbers(model(precision=precision))
    for name, values in mixed.items():
        assert values.dtype == np.float32
        scale = np.abs(full[name]).max()
        assert 0 < np.abs(values - full[name]).max() < 0.03 * scale, name
    assert "one at a time" not in caplog.text  # rounding is not taken for a network that mixes images


def test_float32_is_as_it_was(model, dumped):
    plain = NetworkPredictor.loads(dumped, NETWORK, "cpu")
    for name, values in numbers(model()).items():
        np.testing.assert_allclose(values, numbers(plain)[name], rtol=0, atol=1e-6)


def test_an_unknown_precision_is_an_error(dumped):
    with pytest.raises(ConfigurationError, match="precision must be one of 32-true, 16-mixed, bf16-mixed: got 'half'"):
        NetworkPredictor(NETWORK(1, 2), 1, 2, precision="half")


@pytest.mark.slow
def test_a_compiled_network_trains_and_predicts_nearly_the_same(model, monkeypatch):
    exact, fast = numbers(model()), numbers(model(compile=True))
    for name, values in fast.items():
        np.testing.assert_allclose(values, exact[name], rtol=0, atol=1e-5)
    images, masks = alkit.synthetic.lesions(8, size=16)

    class Labelled:
        ids, pseudo_ids, spec = ("0", "1", "2", "3"), (), alkit.LabelSpec(("skin", "lesion"))

        def images(self, ids):
            return images[[int(id) for id in ids]].astype(np.float32) / 255

        def labels(self, ids):
            return masks[[int(id) for id in ids]]

    losses = {}
    for compile in (False, True):
        learner = alkit.SegmentationLearner(NETWORK, epochs=(3, 1), batch=4, device="cpu", compile=compile)
        report = partial(lambda found, step: found.append(step.detail["loss"]), losses.setdefault(compile, []))
        learner.fit(Labelled(), np.random.default_rng(0), None, report)
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)  # with the same dropout


def test_compilation_is_not_part_of_the_configuration():
    assert alkit.SegmentationLearner(compile=True) == alkit.SegmentationLearner()


def test_a_machine_without_a_compiler_says_so(model, monkeypatch):
    def no_compiler(*_, **__):
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.\nmore")

    compiled.check_compiler.cache_clear()
    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(ConfigurationError, match=r"^compile=True needs.*got RuntimeError: Failed.*Try: compile=False"):
        model(compile=True)


def test_draws_of_a_compiled_network_are_random(model, monkeypatch):
    """Only what comes before the first dropout layer is compiled: compiled code would not see the masks."""
    seen = []
    monkeypatch.setattr("alkit.networks.cut.compiled", lambda part: seen.append(part) or part)
    monkeypatch.setattr("alkit.learners.predictor.compiled", lambda part: part)
    monkeypatch.setattr("alkit.learners.network.check_compiler", lambda kind: None)
    made = model(compile=True)
    draws = torch.cat(list(made.posterior(IMAGES).dropout(2, Stream(0))))
    assert seen == [made.network.encode]
    assert not torch.equal(draws[0], draws[1])
