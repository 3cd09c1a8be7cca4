"""Ensembles: the first member equals the single model, and each member continues from its own weights."""

from functools import partial

import numpy as np
import pytest
from parts import MeanLearner

import alkit
from alkit import scores
from alkit.learners import Ensemble
from alkit.learners.ensemble import EnsemblePredictor
from alkit.rng import Stream
from alkit.scores.streamed import Scoring

SEGMENTATION = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), lr=1e-2)


@pytest.fixture(scope="module")
def labelled(world):
    class Labelled:
        ids, pseudo_ids, spec = tuple(world.pool.ids[:12]), (), world.oracle.spec

        def images(self, ids):
            return world.pool.read(ids)

        def labels(self, ids):
            return np.stack([world.masks[id] for id in ids])

    return Labelled()


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("learner", [SEGMENTATION, MeanLearner()], ids=["network", "any learner"])
def test_the_first_member_is_the_model_that_the_learner_alone_would_train(labelled, learner):
    alone = learner.fit(labelled, rng())
    ensemble = Ensemble(learner, members=3).fit(labelled, rng())
    assert ensemble.members[0].dumps() == alone.dumps()
    assert len({member.dumps() for member in ensemble.members}) == 3


def test_the_same_seed_gives_the_same_members_and_each_continues_from_its_own_weights(labelled):
    ensemble = Ensemble(SEGMENTATION, members=2)
    first, again = (ensemble.fit(labelled, rng()) for _ in range(2))
    assert first.dumps() == again.dumps()
    second = ensemble.fit(labelled, rng(1), first)
    swapped = ensemble.fit(labelled, rng(1), EnsemblePredictor(first.members[::-1]))
    assert second.dumps() != swapped.dumps()
    alone = SEGMENTATION.fit(labelled, rng(1), first.members[0])
    assert second.members[0].dumps() == alone.dumps()


@pytest.mark.parametrize("learner", [SEGMENTATION, MeanLearner()], ids=["network", "any learner"])
def test_a_loaded_ensemble_predicts_the_same_numbers(labelled, world, learner):
    ensemble = Ensemble(learner, members=3)
    model = ensemble.fit(labelled, rng())
    again = ensemble.loads(model.dumps())
    images = world.pool.read(world.pool.ids)
    np.testing.assert_array_equal(again.probabilities(images), model.probabilities(images))
    assert again.dumps() == model.dumps()


@pytest.mark.parametrize("learner", [SEGMENTATION, MeanLearner(noise=0.3)], ids=["network", "any learner"])
def test_members_are_the_draws_and_their_mean_the_prediction(labelled, world, learner):
    model = Ensemble(learner, members=4).fit(labelled, rng())
    ids = list(world.pool.ids)
    images = world.pool.read(ids)
    each = np.stack([member.probabilities(images) for member in model.members]).astype(np.float64)
    mean = each.mean(axis=0)
    np.testing.assert_allclose(model.probabilities(images), mean, atol=1e-6)

    def h(p):
        return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-3)

    found = Scoring(world.pool, model, Stream(0)).scores(ids, scores.bald, alkit.samplers.Members())
    expected = (h(mean) - h(each).mean(axis=0)).mean(axis=(1, 2))
    np.testing.assert_allclose([found[id] for id in ids], expected, atol=1e-6)
    assert expected.max() > 1e-4
    found = Scoring(world.pool, model, Stream(0)).scores(ids, scores.entropy)  # of the prediction
    np.testing.assert_allclose([found[id] for id in ids], h(mean).mean(axis=(1, 2)), atol=1e-5)


def test_an_ensemble_has_no_dropout_draws_and_a_single_model_no_members(labelled, world):
    model = Ensemble(SEGMENTATION, members=2).fit(labelled, rng())
    with pytest.raises(alkit.errors.ConfigurationError, match="ensemble-s"):
        Scoring(world.pool, model, Stream(0)).scores(world.pool.ids, scores.entropy, alkit.Dropout(2))
    with pytest.raises(alkit.errors.ConfigurationError, match="Ensemble"):
        Scoring(world.pool, model.members[0], Stream(0)).scores(
            world.pool.ids, scores.entropy, alkit.samplers.Members()
        )


def test_metrics_are_those_of_the_mean_prediction_and_the_mean_of_the_members(world, tmp_path):
    learner = Ensemble(MeanLearner(noise=0.5), members=3)
    experiment = world.experiment(tmp_path / "r.db", alkit.strategy("ensemble-js"), learner=learner)
    result = experiment.run(world.oracle, test=world.test, start=6, batch=4, rounds=1)[-1]
    model = alkit.trained_model(experiment.path, learner=learner).predictor

    def dice(masks):
        values = []
        for id, mask in zip(world.test.ids, masks, strict=True):
            both, either = (mask & world.masks[id]).sum(), mask.sum() + world.masks[id].sum()
            values.append(2 * both / either if either else 1.0)
        return np.mean(values)

    images = world.test.read(world.test.ids)
    assert result.metrics["dice"] == pytest.approx(dice(model.probabilities(images).argmax(1)), abs=1e-6)
    members = [dice(member.probabilities(images).argmax(1)) for member in model.members]
    assert len(set(members)) == 3
    assert result.metrics["member_dice"] == pytest.approx(np.mean(members), abs=1e-6)


def test_progress_counts_all_members(labelled):
    steps = []
    Ensemble(SEGMENTATION, members=3).fit(labelled, rng(), report=steps.append)
    assert [(step.stage, step.done, step.total) for step in steps] == [("fit", n, 3) for n in (1, 2, 3)]


def test_wrong_members_learners_and_previous_models_are_errors(labelled):
    for wrong in (1, 2.0, True):
        with pytest.raises(alkit.errors.ConfigurationError, match=r"^members must be an integer >= 2: got "):
            Ensemble(SEGMENTATION, members=wrong)
    with pytest.raises(
        alkit.errors.ConfigurationError,
        match=r"learner must be a learner, an object with the methods fit\(.*\) and loads\(dumped\): got the class",
    ):
        Ensemble(alkit.SegmentationLearner)
    three = Ensemble(MeanLearner(), members=3).fit(labelled, rng())
    for previous in (three.members[0], three):
        with pytest.raises(alkit.errors.ConfigurationError, match="previous must be an ensemble of 2 members"):
            Ensemble(MeanLearner(), members=2).fit(labelled, rng(), previous)
