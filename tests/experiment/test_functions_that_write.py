"""Functions of the user get copies: what they write into their arguments changes nothing that the experiment keeps."""

from dataclasses import dataclass, replace
from itertools import cycle

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


STEPS = {
    "ask": lambda world, experiment: experiment.ask(1),
    "top_up": lambda world, experiment: experiment.top_up(9),
    "fit": lambda world, experiment: experiment.fit(),
    "rounds": lambda world, experiment: experiment.run(world.oracle, **SCHEDULE),
    "grow": lambda world, experiment: experiment.grow(world.pool),
    "remove": lambda world, experiment: experiment.remove(world.pool.ids[-1], "consent withdrawn"),
    "evaluate": lambda world, experiment: experiment.evaluate(world.test, world.oracle),
    "label_quality": lambda world, experiment: experiment.label_quality(),
}


def calling(world, place, work):
    """Return an experiment, and an oracle, one of whose parts calls `work` once with the experiment."""
    done: list[object] = []

    def call():
        if not done:
            done.append(work)
            work(experiment)

    def select(view, n, rng):
        if place == "strategy":
            call()
        return view.candidates[:n]

    class Calling(MeanLearner):
        def fit(self, *given):
            if place == "learner":
                call()
            return super().fit(*given)

    class Oracle:
        spec = world.oracle.spec

        def ask(self, queries):
            if place == "oracle":
                call()
            world.oracle.ask(queries)

        def poll(self):
            return world.oracle.poll()

    def listen(progress):
        if place == "listener" and progress.stage == "fit":
            call()

    experiment = world.experiment(learner=Calling(), strategy=select, report=listen)
    return experiment, Oracle()


PLACES = ("strategy", "learner", "oracle", "listener")


@pytest.mark.parametrize(("name", "place"), list(zip(STEPS, cycle(PLACES), strict=False)))
def test_a_step_that_a_function_of_the_user_calls_inside_a_step_is_refused(world, place, name):
    experiment, oracle = calling(world, place, lambda experiment: STEPS[name](world, experiment))
    with pytest.raises(alkit.AlkitError, match=rf"{name}\(\) was called inside rounds\(\) of the same record"):
        experiment.run(oracle, **SCHEDULE)
    expected = world.experiment(learner=MeanLearner(), strategy=lambda view, n, rng: view.candidates[:n])
    expected = [result.ids for result in expected.run(world.oracle, **SCHEDULE)]
    assert [result.ids for result in experiment.run(oracle, **SCHEDULE)] == expected  # as if nothing had happened


@pytest.mark.parametrize("place", PLACES)
def test_answers_may_arrive_inside_a_step_as_they_may_from_another_process(world, place):
    id = world.pool.ids[-1]
    experiment, oracle = calling(world, place, lambda one: one.tell({id: world.masks[id]}, unasked=True))
    experiment.run(oracle, **SCHEDULE)
    assert id in {answer.id for answer in experiment.answers()}
