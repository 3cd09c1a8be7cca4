"""Functions of the user get copies: what they write into their arguments changes nothing that the experiment keeps."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from parts import CLASSES, MeanLearner

import alkit
from alkit.learners.ensemble import EnsemblePredictor
from alkit.scores.moments import posterior_of

SCHEDULE = {"start": 3, "batch": 2, "rounds": 2}


class Seeing(MeanLearner):
    """Notes the sums of the labels that it is trained on."""

    def fit(self, labelled, *rest):
        seen.append({id: int(labelled.labels([id]).sum()) for id in labelled.ids})
        return super().fit(labelled, *rest)


seen: list[dict[str, int]] = []


def union(labels, spec):
    """Add all labels to the first one."""
    joined = labels[0]
    for label in labels[1:]:
        joined[label == 1] = 1
    return joined


def test_a_join_that_writes_into_labels_sees_them_as_they_were_given_in_each_round(world):
    experiment = world.experiment(learner=Seeing(), classes=CLASSES, annotators=2, join=union)
    (id,) = experiment.ask(1)
    rows = np.arange(16)[:, None] + np.zeros((16, 16), int)
    experiment.tell({id: (rows < 4).astype(np.uint8)}, annotator="ann")
    experiment.tell({id: (rows >= 8).astype(np.uint8)}, annotator="bob")
    experiment.fit()
    experiment.tell({id: (rows >= 15).astype(np.uint8)}, annotator="bob", revise=True)
    experiment.fit()
    assert [sums[id] for sums in seen[-2:]] == [(4 + 8) * 16, (4 + 1) * 16]


def zeroing(predicted, truth):
    """Write into both masks, as functions do that clear ignored pixels."""
    predicted[:] = truth[:] = 0
    return float((predicted == truth).mean())


class Zeroing:
    """An object like those of torchmetrics that writes into what it gets."""

    def reset(self):
        pass

    def update(self, preds, target):
        preds.zero_()
        target.zero_()

    def compute(self):
        return torch.tensor(0.5)


def test_a_metric_that_writes_into_masks_changes_neither_the_test_set_nor_other_metrics(world):
    expected = world.experiment(metrics=["dice", "ece"]).run(world.oracle, test=world.test, **SCHEDULE)
    for own in (zeroing, Zeroing()):
        experiment = world.experiment(metrics={"own": own, "dice": "dice", "ece": "ece"})
        found = experiment.run(world.oracle, test=world.test, **SCHEDULE)
        assert [{**result.metrics, "own": None} for result in found] == [
            {"own": None, **result.metrics} for result in expected
        ]


def test_masks_of_a_simulated_oracle_are_not_changed_by_a_metric(world):
    masks = {id: mask.copy() for id, mask in world.masks.items()}
    own = replace(world, oracle=alkit.MaskOracle(masks, classes=CLASSES))
    own.experiment(metrics=[zeroing]).run(own.oracle, test=own.test, **SCHEDULE)
    assert all(np.array_equal(mask, world.masks[id]) for id, mask in masks.items())


class Shifting:
    """A model that shifts the images in their place."""

    def probabilities(self, images):
        images -= np.float32(0.5)
        lesion = 1 / (1 + np.exp(10 * images.mean(axis=1)))
        return np.stack([1 - lesion, lesion], axis=1).astype(np.float32)

    def features(self, images):
        return self.probabilities(images)[:, 1].mean(axis=2)

    def dumps(self):
        return b"shifting"


@dataclass(frozen=True)
class ShiftingLearner:
    def fit(self, *_):
        return Shifting()

    def loads(self, dumped):
        return Shifting()


def test_models_that_write_into_images_do_not_change_those_of_other_models(world):
    experiment = world.experiment(learner=ShiftingLearner(), classes=CLASSES, stop_set=10)
    for _ in range(2):
        experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
        result = experiment.fit()
    assert result.agreement == 1  # all models are equal
    images = world.pool.read(world.pool.ids[:4])
    one, three = Shifting(), EnsemblePredictor([Shifting()] * 3)
    np.testing.assert_allclose(three.probabilities(images.copy()), one.probabilities(images.copy()), atol=1e-6)
    np.testing.assert_array_equal(three.features(images.copy()), np.tile(one.features(images.copy()), 3))
    ensemble = world.experiment(learner=alkit.Ensemble(ShiftingLearner(), 2))
    (found,) = ensemble.run(world.oracle, test=world.test, start=3, batch=2, rounds=0)
    assert found.metrics["member_dice"] == pytest.approx(found.metrics["dice"])
    posterior = posterior_of(one, images)
    assert torch.equal(posterior.prediction(), posterior.prediction())


def test_figures_that_are_written_into_a_history_are_not_those_of_the_experiment(world):
    experiment = world.experiment()
    experiment.run(world.oracle, test=world.test, **SCHEDULE)
    before = [dict(result.metrics) for result in experiment.history]
    experiment.history[-1].metrics["dice"] = 2.0
    assert [result.metrics for result in experiment.history] == before
