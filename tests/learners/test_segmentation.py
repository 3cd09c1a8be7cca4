from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

import alkit
from alkit.learners import segmentation_loss
from alkit.testing import RowMeans

SPEC = alkit.LabelSpec(("skin", "lesion"))


@dataclass(frozen=True)
class Labels:
    """Labelled images without an experiment."""

    ids: tuple[str, ...]
    pool: alkit.protocols.Pool
    all_masks: np.ndarray
    spec: alkit.LabelSpec = SPEC

    def images(self, ids):
        return self.pool.read(ids)

    def labels(self, ids):
        return self.all_masks[[int(id) for id in ids]]

    def fitted(self, extractor):
        return extractor.fit(self.pool, np.random.default_rng(5))


@pytest.fixture(scope="module")
def labels():
    images, masks = alkit.synthetic.lesions(21, size=16)
    pool = alkit.ArrayPool(images)
    return Labels(tuple(pool.ids), pool, masks)


@pytest.fixture
def learner(small_network):
    return alkit.SegmentationLearner(small_network, epochs=(2, 1), lr=1e-2)


def rng(seed=0):
    return np.random.default_rng(seed)


def weights(predictor):
    return torch.cat([p.detach().flatten() for p in predictor.network.parameters()])


def test_weights_depend_on_the_seed_alone(learner, labels):
    a, b, c = (learner.fit(labels, rng(seed)).dumps() for seed in (0, 0, 1))
    assert a == b != c


def test_a_loaded_predictor_predicts_and_trains_further_like_the_original(learner, labels):
    model = learner.fit(labels, rng())
    again = learner.loads(model.dumps())
    images = labels.images(labels.ids)
    assert (again.probabilities(images) == model.probabilities(images)).all()
    assert learner.fit(labels, rng(1), again).dumps() == learner.fit(labels, rng(1), model).dumps()


def test_fitting_does_not_change_the_previous_model(learner, labels):
    model = learner.fit(labels, rng())
    before = model.dumps()
    learner.fit(labels, rng(1), model)
    assert model.dumps() == before


def test_only_carry_on_starts_from_the_last_weights(learner, labels):
    still = replace(learner, lr=1e-9)
    model = still.fit(labels, rng(0))
    assert torch.allclose(weights(still.fit(labels, rng(1), model)), weights(model), atol=1e-4)
    assert not torch.allclose(
        weights(replace(still, carry_on=False).fit(labels, rng(1), model)), weights(model), atol=1e-4
    )


def test_the_first_round_uses_the_first_number_of_epochs_and_later_rounds_the_second(labels, small_network):
    said = []
    learner = alkit.SegmentationLearner(small_network, epochs=(3, 2))
    model = learner.fit(labels, rng(), report=said.append)
    learner.fit(labels, rng(), model, said.append)
    replace(learner, carry_on=False).fit(labels, rng(), model, said.append)
    assert [(p.stage, p.done, p.total) for p in said] == [
        ("fit", done, total) for total in (3, 2, 3) for done in range(1, total + 1)
    ]


def test_training_lowers_the_loss_and_learns_the_training_images(labels, small_network):
    said = []
    learner = alkit.SegmentationLearner(small_network, epochs=(40, 1), lr=1e-2)
    model = learner.fit(labels, rng(), report=said.append)
    losses = [p.detail["loss"] for p in said]
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    found = model.probabilities(labels.images(labels.ids)).argmax(1)
    assert (found == labels.all_masks).mean() > 0.85


def test_images_and_masks_of_a_batch_belong_together(small_network):
    """Each image is bright where its mask is 1: only a learner that pairs them can learn it from random masks."""
    chance = np.random.default_rng(0)
    masks = np.repeat(np.repeat(chance.integers(0, 2, (20, 4, 4)), 4, 1), 4, 2).astype(np.uint8)
    pool = alkit.ArrayPool(masks * 255)
    model = alkit.SegmentationLearner(small_network, epochs=(40, 1), lr=1e-2).fit(
        Labels(tuple(pool.ids), pool, masks), rng()
    )
    assert (model.probabilities(pool.read(pool.ids)).argmax(1) == masks).mean() > 0.95


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(learner, labels):
    model, images = learner.fit(labels, rng()), labels.images(labels.ids)
    whole = model.probabilities(images)
    np.testing.assert_allclose(whole.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.probabilities(images[3:4]), whole[3:4], atol=1e-5)
    with pytest.raises(alkit.errors.ConfigurationError, match=r"must have the shape \(n, 1, h, w\): got"):
        model.probabilities(np.repeat(images, 3, axis=1))


def test_a_warm_start_takes_the_weights_of_the_fitted_pretext(labels, small_network):
    pretext = alkit.Reconstruction(small_network, epochs=1)
    learner = alkit.SegmentationLearner(small_network, epochs=(1, 1), lr=1e-9, warm_start=pretext)
    model, source = learner.fit(labels, rng()), labels.fitted(pretext).network
    ours, theirs = dict(model.network.named_parameters()), dict(source.named_parameters())
    for name in ours:
        assert name.startswith("head.") or torch.allclose(ours[name], theirs[name], atol=1e-6), name


def test_a_warm_start_without_a_network_is_an_error(labels, small_network):
    learner = alkit.SegmentationLearner(small_network, epochs=(1, 1), warm_start=RowMeans())
    with pytest.raises(alkit.errors.ConfigurationError, match=r"^warm_start must be .* got RowMeans\(\)"):
        learner.fit(labels, rng())


def test_models_of_smp_learn_like_any_network(labels):
    learner = alkit.SegmentationLearner(partial(smp.Unet, "resnet18", encoder_weights=None), epochs=(1, 1), batch=7)
    images = np.random.default_rng(0).random((7, 1, 32, 32), np.float32)
    pool = alkit.ArrayPool(images)
    some = Labels(tuple(pool.ids), pool, np.zeros((7, 32, 32), np.uint8))
    model = learner.fit(some, rng())
    assert learner.loads(model.dumps()).probabilities(images).shape == (7, 2, 32, 32)


def test_one_label_is_enough(learner, labels):
    assert learner.fit(replace(labels, ids=labels.ids[:1]), rng()).probabilities(labels.images(labels.ids[:1])).shape


def test_fitting_does_not_change_the_global_generator(learner, labels):
    before = torch.random.get_rng_state()
    learner.fit(labels, rng())
    assert before.equal(torch.random.get_rng_state())


@pytest.mark.parametrize(
    "arguments",
    [{"epochs": (1,)}, {"epochs": (0, 1)}, {"batch": 0}, {"lr": 0}, {"lr": float("nan")}, {"epochs": (1, 2, 3)}],
)
def test_epochs_batch_and_lr_out_of_range_are_errors(arguments):
    with pytest.raises(alkit.errors.ConfigurationError):
        alkit.SegmentationLearner(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epochs": (2.5, 1)}, r"each number of epochs must be an integer >= 1: got 2\.5"),
        (
            {"network": alkit.UNet(1, 2, (2, 4))},
            "network must be a factory .*: got a network, UNet. Try: the class",
        ),
        ({"network": "unet"}, r"network must be a network factory, .*: got 'unet'. Try: alkit\.UNet"),
        ({"warm_start": "pretext"}, r"warm_start must be an object with a method fit\(pool, rng\): got 'pretext'"),
        ({"warm_start": alkit.Reconstruction}, r"got the class Reconstruction. Try: Reconstruction\(\)"),
    ],
    ids=str,
)
def test_arguments_of_another_kind_are_errors(arguments, words):
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        alkit.SegmentationLearner(**arguments)


@pytest.mark.parametrize("arguments", [{"device": "abacus"}, {"precision": "half-hearted"}])
def test_an_unknown_device_or_precision_is_an_error(labels, learner, arguments):
    with pytest.raises(
        alkit.errors.ConfigurationError,
        match=r"^(device must be auto, cpu, .*: got 'abacus'|precision must be one of 32-true)",
    ):
        replace(learner, **arguments).fit(labels, rng())


def test_mixed_precision_trains(labels, learner):
    model = replace(learner, precision="bf16-mixed").fit(labels, rng())
    assert model.probabilities(labels.images(labels.ids)).dtype == np.float32


def test_a_loss_that_is_not_finite_is_an_error(labels, small_network):
    with pytest.raises(alkit.errors.ConfigurationError, match="diverged"):
        alkit.SegmentationLearner(small_network, epochs=(30, 1), lr=1e30).fit(labels, rng())


def slow_loss(logits, masks, ignore):
    """Cross-entropy + soft Dice, pixel by pixel, in float64."""
    n, classes, h, w = logits.shape
    probabilities = torch.softmax(logits.double(), 1)
    pixels = [(i, y, x) for i in range(n) for y in range(h) for x in range(w) if masks[i, y, x] != ignore]
    entropy = -sum(torch.log(probabilities[i, masks[i, y, x], y, x]) for i, y, x in pixels) / len(pixels)
    dice = 0.0
    for number in range(classes):
        true = [masks[i, y, x] == number for i, y, x in pixels]
        if any(true):
            p = [probabilities[i, number, y, x] for i, y, x in pixels]
            both = sum(a for a, t in zip(p, true, strict=True) if t)
            dice += 1 - (both + 1) / ((sum(p) + sum(true)) / 2 + 1)
    return float(entropy + dice / classes)


@pytest.mark.parametrize("ignore", [None, 9])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_loss_equals_its_definition(classes, ignore):
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(2, classes, 4, 5, generator=generator)
    masks = torch.randint(0, classes, (2, 4, 5), generator=generator)
    if ignore is not None:
        masks[0, 1:3] = ignore
    loss = segmentation_loss(alkit.LabelSpec(tuple("abc"[:classes]), ignore))
    assert float(loss(logits, masks)) == pytest.approx(slow_loss(logits, masks, ignore), rel=1e-5)


def test_ignored_pixels_have_no_gradient():
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    masks = torch.tensor([[[0, 1], [9, 9]]])
    segmentation_loss(alkit.LabelSpec(("a", "b"), 9))(logits, masks).backward()
    assert (logits.grad[0, :, 1] == 0).all()
    assert (logits.grad[0, :, 0] != 0).all()


def test_every_epoch_of_a_fit_has_its_own_order_and_dropout(labels):
    orders, seeds = [], []

    class Observed(alkit.UNet):
        def forward(self, images):
            seeds.append(torch.initial_seed())  # of the global generator, which dropout draws from
            return super().forward(images)

    @dataclass(frozen=True)
    class ObservedLabels(Labels):
        def labels(self, ids):
            orders.append(tuple(ids))
            return super().labels(ids)

    learner = alkit.SegmentationLearner(partial(Observed, widths=(2, 4)), epochs=(4, 1), batch=21)
    learner.fit(ObservedLabels(labels.ids, labels.pool, labels.all_masks), rng())
    assert len(orders) == len(set(orders)) == 4
    assert len(seeds) == len(set(seeds)) == 4


@pytest.mark.parametrize(("batch", "ignored"), [(1, 1), (2, 2), (10, 1)])
def test_masks_whose_pixels_are_all_ignored_are_not_learnt_from(labels, small_network, batch, ignored):
    spec, ids = alkit.LabelSpec(("skin", "lesion"), ignore=255), labels.ids[:4]
    masks = labels.all_masks.copy()
    masks[:ignored] = 255
    learner = alkit.SegmentationLearner(small_network, epochs=(2, 1), batch=batch)
    model = learner.fit(Labels(ids, labels.pool, masks, spec), rng())
    assert weights(model).isfinite().all()
    with pytest.raises(alkit.errors.LabelError, match="only the ignore value 255 in 1 masks"):
        learner.fit(Labels(ids[:1], labels.pool, masks, spec), rng())


def test_the_loss_of_a_batch_without_a_counted_pixel_is_zero_and_has_no_gradient():
    logits = torch.randn(2, 2, 4, 4, requires_grad=True)
    loss = segmentation_loss(alkit.LabelSpec(("a", "b"), 255))(logits, torch.full((2, 4, 4), 255))
    loss.backward()
    assert float(loss.detach()) == 0
    assert (logits.grad == 0).all()
