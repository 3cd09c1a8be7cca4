"""Training on a device: its precisions, its repetition, its memory, and the state that it leaves behind."""

import random
import re
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
import torch.utils.deterministic

import alkit
from alkit.errors import ConfigurationError
from alkit.networks import UNet
from alkit.rng import Stream
from alkit.scores import Scoring, bald

GIB = 2**30


def losses_of(learner, labelled, seed=0):
    losses = []
    model = learner.fit(labelled, np.random.default_rng(seed), None, lambda step: losses.append(step.detail["loss"]))
    return model, losses


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_mixed_precision_learns_like_float32(precision, learner_on, labelled, device, on_gpu):
    if precision == "16-mixed" and not on_gpu:
        pytest.skip("float16 is for GPUs")
    (_, full), (model, mixed) = (
        losses_of(learner_on(device, precision=name, epochs=(6, 1)), labelled) for name in ("32-true", precision)
    )
    assert mixed[-1] < mixed[0]
    np.testing.assert_allclose(mixed, full, rtol=0.1)
    assert model.probabilities(labelled.images(labelled.ids[:2])).dtype == np.float32


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_same_seed_gives_the_same_model_bit_for_bit(precision, learner_on, labelled, device):
    learner = learner_on(device, precision=precision)  # with heads of deep supervision
    (one, first), (other, second), (_, third) = (losses_of(learner, labelled, seed) for seed in (0, 0, 1))
    assert first == second
    assert one.dumps() == other.dumps()
    assert first != third


@pytest.mark.parametrize("loss", ["cross-entropy+dice", "focal", "tversky"])
def test_the_parts_of_the_recommended_learner_repeat_bit_for_bit(loss, network, labelled, device):
    changes = alkit.learners.Augment(affine=0.1, elastic=0.1, intensity=0.1)
    weights = "frequency" if loss == "cross-entropy+dice" else None
    learner = alkit.learners.strong(
        network,
        steps=6,
        augment=changes,
        loss=loss,
        class_weights=weights,
        stop=alkit.learners.Stop(every=2),
        device=device,
    )
    one, other = (learner.fit(labelled, np.random.default_rng(0)).dumps() for _ in range(2))
    assert one == other


def test_augmentation_changes_the_same_pixels_on_every_device(labelled, device):
    images = torch.from_numpy(labelled.images(labelled.ids[:4]))
    masks = torch.from_numpy(labelled.labels(labelled.ids[:4])).long()
    augment = alkit.learners.Augment(affine=0.1, elastic=0.1, intensity=0.1)
    (one, own), (other, moved) = (
        augment(images.to(where), masks.to(where), torch.Generator().manual_seed(0)) for where in ("cpu", device)
    )
    torch.testing.assert_close(one, other.cpu(), rtol=0, atol=1e-4)
    assert (own == moved.cpu()).float().mean() > 0.999


def test_the_network_of_the_paper_repeats_bit_for_bit(labelled, device, on_gpu):
    if not on_gpu:
        pytest.skip("the other tests show it for the CPU")
    learner = alkit.SegmentationLearner(epochs=(2, 1), lr=1e-3, device=device)
    one, other = (learner.fit(labelled, np.random.default_rng(0)).dumps() for _ in range(2))
    assert one == other


def test_the_pretext_repeats_bit_for_bit(network, gpu_pool, device, tmp_path):
    one, other = (
        alkit.Reconstruction(network, epochs=2, device=device, cache=str(tmp_path / name)).fit(
            gpu_pool, np.random.default_rng(0)
        )
        for name in ("one", "other")
    )
    assert one.fingerprint() == other.fingerprint()


def test_the_initial_weights_are_those_of_the_cpu(learner_on, labelled, device):
    one, other = (learner_on(where).initial_model(labelled, Stream(4)) for where in ("cpu", device))
    assert one.dumps() == other.dumps()


def state():
    """Return the global state of torch, numpy and Python that alkit may not change."""
    cudnn = torch.backends.cudnn
    gpu = [torch.cuda.get_rng_state().tolist()] if torch.cuda.is_available() else []
    return {
        "torch": torch.get_rng_state().tolist(),
        "gpu": gpu,
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "python": random.getstate(),
        "cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        "matmul": (torch.backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()),
        "types": (torch.get_default_dtype(), torch.get_default_device()),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled()),
        "deterministic": (torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory),
        "threads": torch.get_num_threads(),
    }


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_no_global_state_changes(precision, learner_on, gpu_pool, gpu_oracle, network, device):
    before = state()
    pretext = alkit.Reconstruction(network, epochs=1, device=device)
    experiment = alkit.Experiment(
        gpu_pool,
        learner_on(device, precision=precision),
        alkit.strategy("mc-dropout", draws=2),
        initial=alkit.strategy("ssl-cluster", features=pretext, clusters=2),
    )
    list(experiment.rounds(gpu_oracle, start=6, batch=3, rounds=1))
    assert state() == before


@contextmanager
def memory_for(images, on_gpu, monkeypatch, device):
    """Let the device run out of memory for more than about so many images of `wide`.

    The tensors of a prediction take 44 MiB for each image, and the convolutions some more.
    """
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (12 + 44 * images) * 2**20) / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    else:
        forward, encode = UNet.forward, UNet.encode

        def check(given):
            if len(given) > images:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

        def limited_encode(network, given):
            check(given)
            return encode(network, given)

        def limited_forward(network, given):
            check(given)
            return forward(network, given)

        with monkeypatch.context() as patch:
            patch.setattr(UNet, "encode", limited_encode)
            patch.setattr(UNet, "forward", limited_forward)
            yield


@pytest.fixture(scope="module")
def wide(on_gpu):
    """Return a learner and a pool of which one image needs some MiB on a GPU."""
    size, widths = (256, (32, 64)) if on_gpu else (16, (2, 4))
    images, masks = alkit.synthetic.lesions(16, size=size, seed=1)
    return (
        alkit.ArrayPool(images),
        masks,
        lambda device, **more: alkit.SegmentationLearner(
            lambda in_channels, classes: UNet(in_channels, classes, widths=widths), device=device, **more
        ),
    )


@pytest.fixture
def scores_in(wide, device, on_gpu, monkeypatch):
    """Return a function that gives the scores of the images by a network, with the memory for some images only."""
    pool, _, learner = wide
    dumped = alkit.learners.NetworkPredictor(UNet(1, 2, widths=(32, 64) if on_gpu else (2, 4)), 1, 2).dumps()

    def scores(images=None):
        with nullcontext() if images is None else memory_for(images, on_gpu, monkeypatch, device):
            found = Scoring(pool, learner(device).loads(dumped), Stream(0)).scores(pool.ids, bald, alkit.Dropout(3))
        return [found[id] for id in pool.ids]

    return scores


def test_a_batch_that_does_not_fit_is_halved_and_the_scores_stay(scores_in, caplog):
    expected, found = scores_in(), scores_in(4)
    assert re.search(r"does not suffice for \d+ images at once; trying \d+", caplog.text)
    assert "one at a time" not in caplog.text  # nothing is wrong with the network
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_memory_for_one_image_is_not_taken_for_a_network_that_mixes_images(scores_in, caplog):
    expected, found = scores_in(), scores_in(1)
    assert "does not suffice for two images at once in UNet; images are predicted one at a time" in caplog.text
    assert "may be random" not in caplog.text
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_a_training_batch_that_does_not_fit_says_so_and_leaves_the_device_usable(wide, device, on_gpu, monkeypatch):
    pool, masks, learner = wide
    known = dict(zip(pool.ids, masks, strict=True))

    class Labelled:
        ids, pseudo_ids, spec = tuple(pool.ids), (), alkit.LabelSpec(("skin", "lesion"))

        def images(self, ids):
            return pool.read(ids)

        def labels(self, ids):
            return np.stack([known[id] for id in ids])

    one = learner(device, batch=16, epochs=(1, 1))
    with (
        memory_for(4, on_gpu, monkeypatch, device),
        pytest.raises(ConfigurationError, match=r"16 images of .* in a batch .*out of memory.*Try: a smaller batch="),
    ):
        one.fit(Labelled(), np.random.default_rng(0))
    one.fit(Labelled(), np.random.default_rng(0))


def test_scoring_stays_within_the_budget_of_memory(device, on_gpu):
    if not on_gpu:
        pytest.skip("torch counts the memory of GPUs only")
    from alkit.networks.footprint import BUDGET

    images, _ = alkit.synthetic.lesions(64, size=128, seed=1)
    pool = alkit.ArrayPool(images)
    model = alkit.SegmentationLearner(device=device).loads(alkit.learners.NetworkPredictor(UNet(1, 2), 1, 2).dumps())
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    Scoring(pool, model, Stream(0)).scores(pool.ids, bald, alkit.Dropout(20))
    assert torch.cuda.max_memory_allocated() - before < 2 * BUDGET["cuda"]


def test_batches_on_the_device_are_those_that_are_read_bit_for_bit(gpu_pool, labelled, device):
    from alkit.learners.batches import Source
    from alkit.learners.resident import source_of

    class Stored(type(labelled)):
        def stored(self, ids):
            return gpu_pool.stored(ids)

    some = list(labelled.ids[3:9])
    kept = source_of(Stored(), labelled.ids, torch.device(device))
    assert kept.resident
    for one, other in zip(kept.example(some), Source(labelled).example(some), strict=True):
        assert torch.equal(one.cpu(), other)
