"""Losses and learners of several classes per image."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import alkit
from alkit.learners.losses import presence_loss, weigh_classes
from alkit.learners.made_up import MadeUp
from alkit.learners.stop import Stop, hold_out
from alkit.rng import Stream

SPEC = alkit.LabelSpec(("cat", "dog", "fox"), ignore=255, per="image", multiple=True)
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0]])
LABELS = torch.tensor([[1, 0, 255], [255, 1, 0]])


class Known(MadeUp):
    """Images with given labels."""

    def labels(self, ids):
        return np.array(self.given, np.uint8)[[int(id) for id in ids]]


def labelled(given):
    found = Known(np.zeros((len(given), 1, 4, 4), np.float32), SPEC)
    vars(found)["given"] = given
    return found


def test_the_loss_is_binary_cross_entropy_over_the_known_classes():
    known = LABELS != 255
    expected = F.binary_cross_entropy_with_logits(LOGITS[known], LABELS[known].float())
    assert float(presence_loss("cross-entropy", SPEC)(LOGITS, LABELS)) == pytest.approx(float(expected))
    weights = (2.0, 3.0, 1.0)
    expected = F.binary_cross_entropy_with_logits(
        LOGITS, (LABELS == 1).float(), reduction="none", pos_weight=torch.tensor(weights)
    )[known].mean()
    assert float(presence_loss("cross-entropy", SPEC, weights)(LOGITS, LABELS)) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", ["cross-entropy", "focal"])
def test_unknown_classes_have_no_gradient(name):
    logits = LOGITS.clone().requires_grad_()
    presence_loss(name, SPEC)(logits, LABELS).backward()
    assert (logits.grad[LABELS == 255] == 0).all()
    assert (logits.grad[LABELS != 255] != 0).all()
    nothing = torch.full_like(LABELS, 255)
    assert float(presence_loss(name, SPEC)(LOGITS, nothing)) == 0


def test_weights_by_frequency_make_images_with_and_without_a_class_equal():
    rows = [[1, 0, 255], [0, 0, 1], [0, 1, 0], [0, 255, 0]]
    assert weigh_classes("frequency", labelled(rows)) == (3.0, 2.0, 2.0)
    assert weigh_classes({"dog": 5}, labelled(rows)) == (1.0, 5.0, 1.0)


def test_the_last_image_with_a_class_is_not_held_out():
    rows = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1]]
    for seed in range(20):
        kept, held = hold_out(Stop(share=1 / 3), labelled(rows), list("012345"), Stream(seed))
        assert len(held) == 2
        assert (np.array(rows)[[int(id) for id in kept]].sum(axis=0) > 0).all()


def test_a_network_with_one_output_is_refused_for_two_classes():
    def one(in_channels, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(16 * in_channels, 1))

    spec = alkit.LabelSpec(("cat", "dog"), per="image", multiple=True)
    with pytest.raises(alkit.errors.ConfigurationError, match="one logit for each of 2 classes"):
        alkit.ClassificationLearner(one).try_training(np.zeros((2, 1, 4, 4), np.float32), spec)
