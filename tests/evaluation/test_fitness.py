"""Warnings about models that are not fit to choose by: each has its cause, and sound trainings have none."""

import random
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import alkit
from alkit.evaluation.fitness import CLASSES, MASKS, Losses, about_model, warnings_about
from alkit.values import Progress, quiet

MASK = alkit.LabelSpec(("skin", "lesion"), ignore=255)
CLASS = alkit.LabelSpec(("cat", "dog", "fox"), per="image")
TWO = SimpleNamespace(steps=(300, 100))


def curve(*values):
    losses = Losses(quiet)
    for done, value in enumerate(values, start=1):
        losses(Progress("fit", done, len(values), {"loss": value}))
    return losses


def decay(share, n=20, noise=0.0, start=1.0, end=0.2):
    """Return losses that fall exponentially; `share` is the part of the training in which they fall by 1/e."""
    chance = np.random.default_rng(0).normal(0, noise, n)
    return curve(*(end + (start - end) * np.exp(-np.arange(n) / (share * n)) + chance))


@dataclass
class Labelled:
    known: dict
    spec: alkit.LabelSpec
    pseudo_ids: tuple = ()
    asked: list = field(default_factory=list)

    @property
    def ids(self):
        return tuple(self.known)

    def labels(self, ids):
        self.asked += ids
        return np.stack([self.known[id] for id in ids])


class Knows:
    """Predicts given labels of each image, whose first pixel is its number."""

    def __init__(self, labels, classes=2):
        self.labels, self.classes = labels, classes

    def probabilities(self, images):
        random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002 - a model of somebody else
        rows = [self.labels[round(float(image[0, 0, 0]) * 255)] for image in images]
        return np.moveaxis(np.eye(self.classes, dtype=np.float32)[np.stack(rows)], -1, 1)


def masks(n, shift=0, side=8):
    """Return masks of a square that is moved by `shift` pixels."""
    found = np.zeros((n, side, side), np.uint8)
    found[:, 2:6, shift : shift + 4] = 1
    return found


def judged(true, predicted, spec=MASK, losses=curve(), learner=TWO, known=(), pseudo=()):  # noqa: B008
    n = len(true)
    pool = alkit.ArrayPool(np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8))
    labelled = Labelled(dict(zip(pool.ids, true, strict=True)), spec, pseudo)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()  # noqa: NPY002
    found = warnings_about(Knows(predicted, len(spec.classes)), labelled, pool, losses, learner, known)
    assert (before[0], before[1]) == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert torch.random.get_rng_state().equal(before[2])
    assert about_model(found) == found
    return found, labelled.asked


@pytest.mark.parametrize(
    ("losses", "falling", "flat"),
    [
        (decay(10), True, False),  # nearly a line
        (decay(0.5), True, False),
        (decay(0.2), False, False),
        (decay(0.2, noise=0.02), False, False),
        (decay(0.03), False, True),
        (decay(0.03, noise=0.002), False, True),
        (decay(0.03, noise=0.1), False, False),  # the line through noise is not steep
        (curve(*np.linspace(1, 0.8, 6)), True, False),
        (curve(*np.linspace(1, 0.8, 5)), False, False),  # too few to tell
        (curve(), False, False),
        (curve(*[0.3] * 20), False, False),
        (curve(*np.linspace(0.3, 0.31, 20)), False, False),
        (curve(*np.linspace(1, 0.8, 6), float("nan")), False, False),
    ],
    ids=range(13),
)
def test_a_loss_falls_steeply_or_is_flat_at_the_end(losses, falling, flat):
    assert (losses.is_falling(), losses.is_flat()) == (falling, flat)


def test_losses_pass_on_each_report_and_those_of_the_first_member_are_found():
    told = []
    losses = Losses(told.append)
    for progress in (
        Progress("read", 1, 2),
        Progress("fit", 1, 4),
        *(Progress("fit", n, 4, {"loss": n}) for n in range(4)),
    ):
        losses(progress)
    assert len(told) == 6
    assert losses.values == [0, 1, 2, 3]
    assert losses.first(2).values == [0, 1]


def test_a_sound_model_has_no_warning():
    assert judged(masks(5), masks(5, 1), losses=decay(0.2))[0] == ()
    assert judged(np.array([0, 1, 2, 0, 1]), np.array([0, 1, 2, 0, 2]), CLASS, decay(0.2))[0] == ()


def test_one_class_everywhere_is_told_once():
    (found,), _ = judged(masks(5), np.zeros((5, 8, 8), np.uint8))
    assert found == (
        "The model predicts 'skin' for every pixel of all 5 images that it was trained on and tried on, although their "
        "labels have other classes. Try: steps=(600, 200), a larger lr=, or more labels."
    )
    assert judged(masks(5), np.zeros((5, 8, 8), np.uint8), known=["The model predicts ..."])[0] == ()
    assert judged(np.zeros((5, 8, 8), np.uint8), np.zeros((5, 8, 8), np.uint8))[0] == ()  # the labels have no other
    (found,), _ = judged(np.array([0, 1, 2]), np.array([2, 2, 2]), CLASS)
    assert "predicts 'fox' for all 3 images" in found


@pytest.mark.parametrize(
    ("learner", "fix"),
    [
        (SimpleNamespace(epochs=(10, 2), steps=None), "Try: epochs=(20, 4), or"),
        (SimpleNamespace(learner=TWO, members=5), "Try: steps=(600, 200), or"),
        (SimpleNamespace(), "Try: a longer training, or"),
    ],
    ids=["epochs", "ensemble", "own"],
)
def test_a_model_that_has_not_learnt_its_labels_is_told_with_the_fix_of_its_learner(learner, fix):
    (found,), _ = judged(masks(5), masks(5, 3), learner=learner)
    assert found.startswith("The model has not learnt its labels: Dice is 0.25 on 5 images that it was trained on. ")
    assert fix in found


def test_classes_count_beyond_chance():
    """Saying nearly always the common class is right for 17 of 20 images."""
    true = np.array([0] * 18 + [1, 1])
    (found,), _ = judged(true, np.array([0] * 17 + [1, 0, 0]), CLASS)
    assert "has not learnt its labels: Cohen's kappa is -0.07 on 20 images" in found
    assert judged(true, np.array([0] * 17 + [1, 1, 0]), CLASS)[0] == ()


def test_a_training_that_ends_too_early_or_too_late_is_told():
    (found,), _ = judged(masks(5), masks(5), losses=decay(10))
    assert "was still learning when its training ended: its loss was falling steeply, to 0.9" in found
    assert "Try: steps=(600, 200)." in found
    (found,), _ = judged(masks(5), masks(5), losses=decay(0.02))
    assert "knows its 5 labels by heart: Dice is 1.00 on 5 images" in found
    assert "Try: steps=(150, 50), or" in found
    assert judged(masks(5), masks(5, 1), losses=decay(0.02))[0] == ()  # flat, but not by heart


def test_few_labels_are_looked_at_and_no_pseudo_label():
    n = 200
    _, asked = judged(masks(n), masks(n), pseudo=tuple(f"{row:04}" for row in range(100)))
    assert len(asked) == len(set(asked)) == MASKS
    assert min(asked) >= "0100"
    _, asked = judged(np.zeros(n, int), np.zeros(n, int), CLASS)
    assert len(set(asked)) == CLASSES


def test_masks_that_are_ignored_everywhere_and_models_that_fail_do_not_stop_the_round():
    assert judged(np.full((3, 8, 8), 255, np.uint8), masks(3))[0] == ()
    (found,), _ = judged(masks(3), masks(2))
    assert found.startswith("The model fails on images that it was trained on (IndexError")
