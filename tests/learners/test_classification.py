"""Classification by a network of torch, with the same strategies, scores and record as for masks."""

import numpy as np
import pytest
import torch
from torch import nn

import alkit
from alkit import scores
from alkit.record import Store
from alkit.values import LabelSpec

CLASSES = ("dark", "middle", "bright")


def perceptron(in_channels, classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(in_channels * 16, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, classes)
    )


LEARNER = alkit.ClassificationLearner(perceptron, epochs=(200, 100), lr=1e-2)


@pytest.fixture(scope="module")
def shades():
    """Images of 4 x 4 pixels whose brightness is their class, with noise."""
    chance = np.random.default_rng(0)
    classes = np.arange(90) % 3
    images = 0.2 + 0.3 * classes[:, None, None, None] + 0.05 * chance.standard_normal((90, 1, 4, 4))
    ids = [f"{row:02}" for row in chance.permutation(90)]
    pool = alkit.ArrayPool(images.clip(0, 1).astype(np.float32), ids=ids)
    oracle = alkit.LabelOracle({id: int(c) for id, c in zip(ids, classes, strict=True)}, classes=CLASSES)
    return *pool.split(test=30, seed=0), oracle


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("random", {}),
        pytest.param("mc-dropout", {}, marks=pytest.mark.slow),
        pytest.param("mc-dropout", {"score": "margin"}, marks=pytest.mark.slow),
        ("mc-dropout", {"score": "bald"}),
    ],
    ids=str,
)
def test_strategies_work_for_classification_too(shades, tmp_path, name, parameters):
    pool, test, oracle = shades
    strategy = alkit.strategy(name, **parameters)
    experiment = alkit.Experiment(pool, LEARNER, strategy, store=tmp_path / "r.db")
    history = experiment.run(oracle, test=test, start=9, batch=6, rounds=2)
    assert [result.n_labels for result in history] == [9, 15, 21]
    assert history[-1].metrics["accuracy"] > 0.8
    again = alkit.Experiment.open(tmp_path / "r.db", pool=pool, learner=LEARNER)
    assert again.history == history
    predicted = {id: label for batch in again.predict(test) for id, label in zip(batch.ids, batch.labels, strict=True)}
    right = [predicted[id] == oracle.labels[id] for id in test.ids]
    assert np.mean(right) == pytest.approx(history[-1].metrics["accuracy"])


def test_class_ids_are_told_recorded_and_compared(shades, tmp_path):
    pool, *_ = shades
    experiment = alkit.Experiment(
        pool, LEARNER, alkit.strategy("random"), store=tmp_path / "r.db", classes=LabelSpec(CLASSES, per="image")
    )
    a, b, c = experiment.ask(3)
    experiment.tell({a: 2, b: np.int16(0)})
    experiment.tell({a: np.array(2)})
    with pytest.raises(alkit.errors.ConflictError, match=repr(a)):
        experiment.tell({a: 1})
    for wrong in (3, -1, 1.0, "dark", [1], np.zeros((4, 4), np.uint8), None, True):
        with pytest.raises(alkit.errors.LabelError, match="not a class id"):
            experiment.tell({c: wrong})
    experiment.tell({c: alkit.SKIP})
    store = Store(tmp_path / "r.db")
    assert {answer.id: answer.label and store.content(answer.label) for answer in store.answers()} == {
        a: b"2",
        b: b"0",
        c: None,
    }
    assert experiment.fit().n_labels == 2


def test_a_pseudo_label_can_be_a_class(shades, tmp_path):
    class Trusting:
        def select(self, view, n, rng):
            last = view.candidates[-5:] if view.round else ()
            return alkit.Selection(view.candidates[:n], pseudo_labels=last)

    pool, _, oracle = shades
    experiment = alkit.Experiment(pool, LEARNER, Trusting(), store=tmp_path / "r.db")
    history = experiment.run(oracle, start=12, batch=3, rounds=1)
    assert (history[1].n_labels, history[1].n_pseudo) == (15, 5)
    store = Store(tmp_path / "r.db")
    made = {id: int(store.content(file)) for id, file in store.pseudo_labels(1).items()}
    assert set(made) == set(sorted(pool.ids)[-5:])
    assert np.mean([made[id] == oracle.labels[id] for id in made]) > 0.5
    assert len(set(made.values())) > 1


def test_a_score_that_needs_masks_is_an_error_for_classes(shades, tmp_path):
    pool, _, oracle = shades
    experiment = alkit.Experiment(pool, LEARNER, alkit.strategy("ceal"), store=tmp_path / "r.db")
    with pytest.raises(alkit.errors.ConfigurationError, match="need masks"):
        experiment.run(oracle, start=9, batch=3, rounds=1)


def test_a_learner_of_another_kind_of_labels_is_an_error(world, shades, tmp_path):
    with pytest.raises(alkit.errors.ConfigurationError, match="SegmentationLearner"):
        world.experiment(tmp_path / "a.db", learner=LEARNER).run(world.oracle, start=3, batch=1, rounds=0)
    pool, _, oracle = shades
    learner = alkit.SegmentationLearner(lambda in_channels, classes: alkit.UNet(in_channels, classes, (2, 4)))
    with pytest.raises(alkit.errors.ConfigurationError, match="ClassificationLearner"):
        alkit.Experiment(pool, learner, alkit.strategy("random")).run(oracle, start=3, batch=1, rounds=0)
    convolution = alkit.ClassificationLearner(lambda in_channels, classes: nn.Conv2d(in_channels, classes, 1))
    with pytest.raises(alkit.errors.ConfigurationError, match="logits"):
        alkit.Experiment(pool, convolution, alkit.strategy("random")).run(oracle, start=3, batch=1, rounds=0)


def test_a_network_with_lazy_layers_is_an_error(shades):
    def lazy(in_channels, classes):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))

    pool, _, oracle = shades
    learner = alkit.ClassificationLearner(lazy)
    with pytest.raises(alkit.errors.ConfigurationError, match=r"LazyLinear|lazy"):
        alkit.Experiment(pool, learner, alkit.strategy("random")).run(oracle, start=3, batch=1, rounds=0)


def test_a_label_spec_of_images_accepts_any_number_of_classes():
    assert LabelSpec([f"class {n}" for n in range(1000)], per="image").check(999, id="a", sizes=[]) == 999
    for wrong in ({"per": "word"}, {"per": "image", "ignore": 7}):
        with pytest.raises(alkit.errors.ConfigurationError):
            LabelSpec(CLASSES, **wrong)


def test_training_is_reproducible_and_does_not_change_the_global_generator(shades):
    pool, _, oracle = shades

    class Labelled:
        ids, pseudo_ids, spec = tuple(pool.ids[:12]), (), oracle.spec

        def images(self, ids):
            return pool.read(ids)

        def labels(self, ids):
            return np.array([oracle.labels[id] for id in ids])

    state = torch.random.get_rng_state()
    a, b, c = (LEARNER.fit(Labelled(), np.random.default_rng(seed)).dumps() for seed in (0, 0, 1))
    assert a == b != c
    assert torch.equal(state, torch.random.get_rng_state())


def test_scores_of_predictions_work_for_classes_too(shades, tmp_path):
    pool, _, oracle = shades

    class Asking:
        def select(self, view, n, rng):
            if view.round:
                for score in (scores.margin, scores.least_confidence, scores.entropy):
                    found = view.scores(score, alkit.Dropout(3))
                    assert all(0 <= value <= np.log(3) for value in found.values())
            return alkit.Selection(view.candidates[:n])

    alkit.Experiment(pool, LEARNER, Asking(), store=tmp_path / "r.db").run(oracle, start=9, batch=3, rounds=1)
