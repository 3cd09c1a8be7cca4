"""The recommended learner, and that of the paper."""

from functools import partial

import numpy as np
import pytest

import alkit
from alkit.configuration import build, to_former, written_form
from alkit.learners import Augment, paper, strong
from alkit.testing.learners import Labelled

UNET = partial(alkit.UNet, widths=(4, 8, 16))


def test_the_learner_of_the_paper_is_written_as_the_default_of_version_0_1_was():
    form = to_former(written_form(paper()))
    assert form["with"] == {
        "network": {"named": "alkit.networks:UNet"},
        "epochs": [10, 2],
        "batch": 10,
        "lr": 0.0001,
        "carry_on": True,
        "precision": "32-true",
        "warm_start": None,
    }


def test_given_parameters_replace_those_of_a_recipe():
    assert strong(steps=(50, 20)).steps == (50, 20)
    assert (strong(epochs=(3, 1)).epochs, strong(epochs=(3, 1)).steps) == ((3, 1), None)
    assert (paper(steps=5).steps, paper(steps=5).epochs) == ((5, 5), None)
    assert strong(augment=None).augment is None
    assert strong(UNET).network is UNET
    assert strong(UNET, per="image").augment == Augment(flips=False, quarter_turns=False, affine=0.1, intensity=0.2)
    assert strong(per="image").network.keywords == {"weights": "efficientnet-lite0"}


def test_the_recommended_learner_is_built_again_from_a_record():
    for learner in (strong(), strong(UNET), strong(UNET, per="image"), strong(per="image")):
        assert written_form(build(written_form(learner), "learner")) == written_form(learner)


@pytest.mark.parametrize("make", [alkit.SegmentationLearner, strong])
def test_ten_labels_suffice_to_learn_by_default(make):
    """With the paper's ten steps, the network predicts one class everywhere."""
    images, masks = alkit.synthetic.lesions(40, size=16, seed=0)
    pool = alkit.ArrayPool(images)
    ids = list(pool.ids)
    labelled = Labelled(pool, tuple(ids[:10]), dict(zip(ids, masks, strict=True)), alkit.LabelSpec(("skin", "lesion")))
    dice = {}
    for name, learner in (("default", make(UNET, device="cpu")), ("paper", paper(UNET, device="cpu"))):
        model = learner.fit(labelled, np.random.default_rng(0))
        found = model.probabilities(pool.read(ids[10:])).argmax(1)
        dice[name] = 2 * (found & masks[10:]).sum() / (found.sum() + masks[10:].sum())
    assert dice["paper"] < 0.05
    assert dice["default"] > 0.3
