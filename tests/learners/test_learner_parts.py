"""The parts of a learner's training: steps, loss, optimizer, schedule, early stopping, average and frozen encoder."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import alkit
from alkit.configuration import build, written_form
from alkit.errors import ConfigurationError, LabelError
from alkit.learners import Augment, Stop, losses, optimizers, training
from alkit.learners.averages import WeightAverage
from alkit.learners.parts import STEPS
from alkit.learners.stop import hold_out
from alkit.rng import Stream
from alkit.testing.learners import Labelled
from alkit.testing.worlds import unchanged_generators

SPEC = alkit.LabelSpec(("skin", "lesion"), ignore=255)
IDS = [f"{row:02}" for row in range(12)]


class Encoded(nn.Module):
    """A network with an encoder that has batch normalisation."""

    def __init__(self, in_channels, classes):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(4, classes, 1)

    def forward(self, images):
        return self.head(self.encoder(images))


def labelled(n=6, spec=SPEC):
    images, masks = alkit.synthetic.lesions(12, size=16, seed=3)
    return Labelled(alkit.ArrayPool(images, ids=IDS), tuple(IDS[:n]), dict(zip(IDS, masks, strict=True)), spec)


def learner(**parts):
    return alkit.SegmentationLearner(Encoded, **{"batch": 4, "lr": 1e-2, "steps": 6, **parts})


def fit(learner, labels=None, seed=0, previous=None, report=alkit.values.quiet):
    return learner.fit(labels or labelled(), np.random.default_rng(seed), previous, report)


def watch(calls):
    def augment(images, targets, generator):
        calls.append((tuple(images.shape), targets))
        return images, targets

    return augment


@pytest.mark.parametrize("n", [1, 3, 6])
def test_every_step_has_a_full_batch_and_takes_the_labels_equally_often(n):
    calls, said = [], []
    fit(learner(steps=(9, 3), augment=watch(calls)), labelled(n), report=said.append)
    assert [shape for shape, _ in calls] == [(4, 1, 16, 16)] * 9
    masks = torch.from_numpy(labelled(n).labels(IDS[:n])).long()
    counts = [sum(int((target == mask).all()) for _, batch in calls for target in batch) for mask in masks]
    assert sum(counts) == 36
    assert max(counts) - min(counts) <= 1
    assert [(step.done, step.total) for step in said] == [(9, 9)]


def test_later_rounds_take_the_second_number_of_steps():
    calls = []
    one = learner(steps=(5, 2), augment=watch(calls))
    model = fit(one)
    calls.clear()
    fit(one, previous=model)
    assert len(calls) == 2
    fit(replace(one, carry_on=False), previous=model)
    assert len(calls) == 2 + 5


def test_one_number_of_steps_is_that_of_all_rounds_and_epochs_replace_the_default():
    assert learner(steps=np.int64(7)).steps == (7, 7)
    default = alkit.SegmentationLearner()
    assert (default.steps, default.epochs) == (STEPS, None)
    other = alkit.SegmentationLearner(epochs=(2, 1))
    assert (other.steps, other.epochs) == (None, (2, 1))


def test_masks_that_are_ignored_throughout_are_never_in_a_batch():
    labels, calls = labelled(3), []
    labels.known[IDS[1]] = np.full((16, 16), 255, np.uint8)
    fit(learner(augment=watch(calls)), labels)
    assert not any((target == 255).all() for _, batch in calls for target in batch)
    labels = labelled(1)
    labels.known[IDS[0]] = np.full((16, 16), 255, np.uint8)
    with pytest.raises(LabelError, match="must have at least one pixel to learn from"):
        fit(learner(), labels)


PARTS = {
    "augment": {"augment": Augment(affine=0.1, elastic=0.1, intensity=0.1)},
    "loss": {"loss": "focal"},
    "tversky": {"loss": "tversky"},
    "class weights": {"class_weights": "frequency"},
    "optimizer": {"optimizer": "adamw", "weight_decay": 0.1},
    "sgd": {"optimizer": "sgd"},
    "schedule": {"schedule": "cosine"},
    "one cycle": {"schedule": "one-cycle"},
    "stop": {"stop": Stop(share=0.3, patience=1, every=2)},
    "average": {"average": 0.9},
    "freeze": {"freeze": 3},
    "epochs": {"steps": None, "epochs": (3, 2), "augment": Augment(), "stop": Stop(), "average": 0.9, "freeze": 2},
}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_changes_the_model_and_repeats_bit_for_bit_without_the_global_generators(part):
    one = learner(**PARTS[part])
    with unchanged_generators():
        first, again = fit(one), fit(one)
    assert first.dumps() == again.dumps() != fit(learner()).dumps()


ALIKE = ("loss", "tversky", "class weights", "sgd", "one cycle")  # others begin each round as these do


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=pytest.mark.slow if part in ALIKE else ()) for part in PARTS]
)
def test_an_experiment_reopened_at_every_step_ends_like_one_that_never_was(world, tmp_path, part):
    network = partial(alkit.UNet, widths=(2, 4)) if PARTS[part].get("freeze", 0) == 0 else Encoded

    def opened(name):
        own = alkit.SegmentationLearner(network, **{"batch": 2, "lr": 1e-2, "steps": (4, 3), **PARTS[part]})
        return world.experiment(tmp_path / name, learner=own, seed=3, classes=("skin", "lesion"))

    whole = opened("whole.db")
    for _ in range(3):
        for experiment in (whole, opened("parts.db")):
            experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
        whole.fit()
        opened("parts.db").fit()
    from alkit.record import Store

    (one, _), (other, _) = (Store(tmp_path / name).last_model() for name in ("whole.db", "parts.db"))
    assert one == other


@pytest.mark.parametrize("part", [part for part in PARTS if part != "epochs"])
def test_a_learner_is_built_again_from_a_record(part):
    one = alkit.SegmentationLearner(alkit.UNet, **{"steps": 6, **PARTS[part]})
    assert build(written_form(one), "learner") == one


def test_a_function_of_ones_own_is_recorded_by_its_name_and_not_built_for_a_stranger():
    one = alkit.SegmentationLearner(optimizer=torch.optim.Adagrad, loss=focal_of_ones_own)
    form = written_form(one)
    assert form["with"]["loss"] == {"named": f"{__name__}:focal_of_ones_own"}
    with pytest.raises(ConfigurationError, match=r"^loss: .*focal_of_ones_own is not a loss that a record may name"):
        build(form, "learner")


def focal_of_ones_own(spec):
    return lambda logits, masks: losses.mask_loss("focal", spec)(logits, masks)


def test_functions_of_ones_own_are_used():
    calls = []

    def optimizer(parameters, lr):
        calls.append(("optimizer", lr))
        return torch.optim.Adagrad(parameters, lr=lr)

    def schedule(optimizer, steps):
        calls.append(("schedule", steps))
        return torch.optim.lr_scheduler.ConstantLR(optimizer)

    fit(learner(optimizer=optimizer, schedule=schedule, loss=focal_of_ones_own))
    assert calls == [("optimizer", 1e-2), ("schedule", 6)]
    with pytest.raises(ConfigurationError, match="optimizer must return an optimizer of torch: got int"):
        fit(learner(optimizer=lambda parameters, lr: 3))
    with pytest.raises(ConfigurationError, match="schedule must return a schedule of torch: got int"):
        fit(learner(schedule=lambda optimizer, steps: 3))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"steps": 0}, "each number of steps must be an integer >= 1: got 0"),
        ({"steps": (1, 2, 3)}, "steps must be two integers, for the first round and for later rounds: got"),
        ({"epochs": (1, 1)}, r"steps must be None if epochs are given.*Try: epochs=None"),
        ({"loss": "dice+tversky"}, "loss must be one of cross-entropy\\+dice, .*: got 'dice\\+tversky'"),
        ({"class_weights": "equal"}, "class_weights must be 'frequency', or numbers by the names of classes"),
        ({"class_weights": {"lesion": -1}}, r"class_weights\['lesion'\] must be a finite number >= 0: got -1"),
        ({"class_weights": "frequency", "loss": "focal"}, "class_weights need a loss with cross-entropy"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, adamw, sgd, or a function"),
        ({"optimizer": torch.optim.Adam, "weight_decay": 0.1}, "weight_decay is for the optimizers that alkit makes"),
        ({"weight_decay": -1}, "weight_decay must be a finite number >= 0: got -1"),
        ({"schedule": "step"}, "schedule must be None, one of cosine, one-cycle, or a function"),
        ({"average": 1.0}, r"average must be a number in \(0, 1\): got 1.0"),
        ({"freeze": -1}, "freeze must be an integer >= 0: got -1"),
        ({"augment": "flips"}, r"augment must be None, alkit.learners.Augment\(...\) or a function"),
    ],
)
def test_a_wrong_part_is_an_error_that_says_what_must_hold(parts, message):
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        learner(**parts)


def test_an_early_stop_holds_out_at_most_a_third():
    for share in (0.34, 0.0, -0.1):
        with pytest.raises(ConfigurationError, match=r"^share must be a number in"):
            Stop(share=share)
    for n in range(1, 13):
        trained, held = hold_out(Stop(1 / 3), labelled(n), IDS[:n], Stream(0))
        assert sorted([*trained, *held]) == IDS[:n]
        assert len(held) == (0 if n < 3 else max(1, n // 3))


def test_an_early_stop_holds_out_no_pseudo_labels():
    given = replace(labelled(12), pseudo_ids=tuple(IDS[6:12]))
    for seed in range(20):
        trained, held = hold_out(Stop(1 / 3), given, IDS[:12], Stream(seed))
        assert sorted([*trained, *held]) == IDS[:12]
        assert len(held) == 2
        assert set(held) <= set(IDS[:6])
    assert hold_out(Stop(), replace(given, pseudo_ids=tuple(IDS[2:12])), IDS[:12], Stream(0))[1] == []


def test_no_class_loses_its_last_label_to_the_held_out_images():
    labels = labelled(12, alkit.LabelSpec(("a", "b"), per="image"))
    labels.known.update({id: np.int64(row == 5) for row, id in enumerate(IDS)})
    for seed in range(20):
        _, held = hold_out(Stop(1 / 3), labels, IDS, Stream(seed))
        assert len(held) == 4
        assert IDS[5] not in held


def test_a_training_stops_early_and_keeps_the_best_weights():
    said = []
    one = learner(steps=200, lr=0.5, stop=Stop(share=0.3, patience=2, every=2))
    model = fit(one, labelled(9), report=said.append)
    measured = [step.detail["held_out"] for step in said]
    assert len(measured) < 100
    best = int(np.argmin(measured))
    assert len(measured) == best + 3
    shorter = fit(replace(one, steps=(200, 200), stop=Stop(share=0.3, patience=2, every=2)), labelled(9))
    assert shorter.dumps() == model.dumps()
    _, held = hold_out(one.stop, labelled(9), IDS[:9], Stream.from_rng(np.random.default_rng(0)).child("stop"))
    with torch.no_grad():
        logits = model.network.eval()(torch.from_numpy(labelled(9).images(held)))
    loss = losses.mask_loss("cross-entropy+dice", SPEC)(logits, torch.from_numpy(labelled(9).labels(held)).long())
    assert float(loss) == pytest.approx(min(measured), rel=1e-4)


def test_the_average_has_its_own_buffers_and_copies_whole_numbers():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    network.register_buffer("index", torch.tensor([5, 7]))
    average = WeightAverage(network, 0.9)
    kept = None
    for step in range(30):
        with torch.no_grad():
            for weights in (*network.parameters(), network[1].running_mean, network[1].running_var):
                weights.fill_(step)
            network[1].num_batches_tracked.fill_(step)
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        kept = float(step) if kept is None else decay * kept + (1 - decay) * step
    for value in (*average.network.parameters(), average.network[1].running_mean, average.network[1].running_var):
        torch.testing.assert_close(value.detach(), torch.full_like(value, kept))
    assert average.network[1].num_batches_tracked == 29
    assert average.network.index.tolist() == [5, 7]


def test_an_averaged_model_is_another_network_than_the_one_in_training_and_predicts_by_its_own_statistics():
    model = fit(learner(average=0.9, steps=40))
    assert np.isfinite(model.probabilities(labelled().images(IDS))).all()
    assert float(model.network.encoder[1].running_mean.abs().max()) > 0
    assert all(weights.grad is None for weights in model.network.parameters())


def test_a_frozen_encoder_stays_as_it_was_for_the_first_steps_and_is_trained_after_them():
    one = learner(freeze=6, steps=(6, 6))
    start = one.initial_model(labelled(), Stream.from_rng(np.random.default_rng(0))).network.state_dict()
    frozen, thawed = fit(one), fit(replace(one, freeze=5))
    state = frozen.network.state_dict()
    for name, value in start.items():
        assert torch.equal(value, state[name]) == name.startswith("encoder"), name
    after = thawed.network.state_dict()
    assert all(not torch.equal(value, after[name]) for name, value in start.items())
    assert all(weights.requires_grad for model in (frozen, thawed) for weights in model.network.parameters())
    later = fit(one, previous=frozen)
    assert not torch.equal(later.network.encoder[0].weight, frozen.network.encoder[0].weight)


def test_a_network_without_an_encoder_cannot_be_frozen():
    plain = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), steps=2, freeze=1)
    with pytest.raises(ConfigurationError, match=r"^freeze needs a network with a module named encoder: got UNet"):
        fit(plain)


@pytest.mark.parametrize("name", losses.MASK_LOSSES)
def test_ignored_pixels_have_no_gradient_in_any_loss(name):
    logits = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    masks = torch.randint(0, 3, (2, 6, 6), generator=torch.Generator().manual_seed(1))
    masks[:, :2] = 255
    loss = losses.mask_loss(name, alkit.LabelSpec(("a", "b", "c"), ignore=255))
    loss(logits, masks).backward()
    assert float(logits.grad[:, :, :2].abs().max()) == 0
    assert float(logits.grad[:, :, 2:].abs().max()) > 0
    assert float(loss(logits.detach(), torch.full_like(masks, 255))) == 0
    certain = 60 * F.one_hot(masks.clamp(max=2), 3).permute(0, 3, 1, 2).float() - 30
    assert float(loss(certain, masks)) == pytest.approx(0, abs=1e-4)


def test_the_focal_loss_is_that_of_the_soft_max():
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    classes = torch.arange(50) % 4
    p = logits.softmax(1)
    right = F.one_hot(classes, 4).bool()
    each = torch.where(right, (1 - p) ** 2 * -p.log(), p**2 * -(1 - p).log())
    torch.testing.assert_close(losses.class_loss("focal")(logits, classes), each.mean(), rtol=1e-4, atol=1e-6)


def test_weights_by_frequency_give_each_class_the_same_share():
    labels = labelled(2)
    mask = np.zeros((16, 16), np.uint8)
    mask[:4], mask[4:8] = 255, 1
    labels.known.update(dict.fromkeys(IDS, mask))
    weights = losses.weigh_classes("frequency", labels)
    assert weights == pytest.approx((192 / 128 / 2, 192 / 64 / 2))
    assert losses.weigh_classes({"lesion": 3}, labels) == (1.0, 3.0)
    with pytest.raises(ConfigurationError, match="class_weights name 'naevus', which is not a class"):
        losses.weigh_classes({"naevus": 1.0}, labels)
    logits = torch.zeros(1, 2, 16, 16)
    weighted = losses.mask_loss("cross-entropy", SPEC, weights)(logits, torch.from_numpy(mask[None]).long())
    assert float(weighted) == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", optimizers.SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 37])
def test_a_schedule_rises_to_the_rate_and_falls_to_almost_nothing(name, steps):
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule, rates = optimizers.make_schedule(name, optimizer, steps), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert max(rates) <= 0.1 + 1e-9
    if steps == 37:
        peak = int(np.argmax(rates))
        assert rates[peak] == pytest.approx(0.1, rel=0.02)
        assert rates[:peak] == sorted(rates[:peak])
        assert rates[peak:] == sorted(rates[peak:], reverse=True)
        assert rates[-1] < 0.002


def test_batches_read_ahead_by_many_threads_give_the_same_bits(monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    def ahead(batches, device):
        with ThreadPoolExecutor(4) as threads:
            yield from threads.map(lambda batch: tuple(part.clone() for part in batch), list(batches))

    one = learner(augment=Augment(affine=0.1), average=0.9, steps=8)
    expected = fit(one).dumps()
    monkeypatch.setattr(training, "read_ahead", ahead)
    assert fit(one).dumps() == expected


def test_a_schedule_goes_on_if_the_scaler_leaves_out_the_first_step():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = optimizers.make_schedule("cosine", optimizer, 20)
    optimizers.advance(schedule, first=True)
    assert schedule.last_epoch == 1


def test_a_batch_of_classes_with_the_weight_0_only_has_the_loss_0():
    spec = alkit.LabelSpec(("skin", "lesion"), ignore=255)
    logits = torch.randn(2, 2, 4, 4, requires_grad=True)
    loss = losses.mask_loss("cross-entropy", spec, (0.0, 1.0))
    masks = torch.zeros(2, 4, 4, dtype=torch.long)
    masks[0, 0] = 255
    value = loss(logits, masks)
    value.backward()
    assert value == 0
    assert not logits.grad.any()
    masks[0, 1] = 1
    expected = F.cross_entropy(logits, masks, torch.tensor([0.0, 1.0]), ignore_index=255)
    torch.testing.assert_close(loss(logits, masks), expected)
    of_classes = losses.class_loss("cross-entropy", (0.0, 1.0))
    assert of_classes(torch.randn(3, 2), torch.tensor([0, 0, 0])) == 0
