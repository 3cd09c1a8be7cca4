"""Campaigns in which an image can have several classes, or none."""

import csv

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

import alkit
from alkit.record import Store

CLASSES = ("left", "right", "top")
SPEC = alkit.LabelSpec(CLASSES, per="image", multiple=True)


def perceptron(in_channels, classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(in_channels * 36, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, classes)
    )


LEARNER = alkit.ClassificationLearner(perceptron, epochs=(120, 60), lr=1e-2, batch=16)


@pytest.fixture(scope="module")
def world():
    """Images of 6 x 6 pixels with a bright spot for each class that they have."""
    chance = np.random.default_rng(0)
    present = (chance.random((100, 3)) < 0.4).astype(np.uint8)
    images = 0.1 * chance.random((100, 1, 6, 6))
    for k, (row, column) in enumerate(((4, 0), (4, 4), (0, 2))):
        images[:, 0, row : row + 2, column : column + 2] += 0.8 * present[:, k, None, None]
    ids = [f"{row:03}" for row in chance.permutation(100)]
    pool = alkit.ArrayPool(images.astype(np.float32), ids=ids)
    oracle = alkit.LabelOracle(dict(zip(ids, present, strict=True)), CLASSES, multiple=True)
    return *pool.split(test=40, seed=0), oracle


@pytest.mark.parametrize(
    ("name", "parameters", "members"),
    [
        ("mc-dropout", {"score": "bald"}, 1),
        pytest.param("badge", {}, 1, marks=pytest.mark.slow),
        pytest.param("clasp-pe", {}, 1, marks=pytest.mark.slow),
        pytest.param("foreground-random", {}, 1, marks=pytest.mark.slow),
        pytest.param("ensemble-js", {}, 2, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_strategies_work_for_several_classes(world, tmp_path, name, parameters, members):
    pool, test, oracle = world
    learner = LEARNER if members == 1 else alkit.Ensemble(LEARNER, members)
    strategy = alkit.strategy(name, **parameters)
    experiment = alkit.Experiment(pool, learner, strategy, store=tmp_path / "r.db")
    history = experiment.run(oracle, test=test, start=20, batch=6, rounds=1)
    assert [result.n_labels for result in history] == [20, 26]
    assert {"f1", "micro_f1", "exact_match", "f1/left"} <= set(history[-1].metrics)
    assert history[-1].metrics["f1"] > 0.9
    again = alkit.Experiment.open(tmp_path / "r.db", pool=pool, learner=learner)
    assert again.history == history
    (found,) = again.predict(test)
    right = (found.labels == [oracle.read(id) for id in found.ids]).all(axis=1)
    assert right.mean() == pytest.approx(history[-1].metrics["exact_match"])
    assert np.abs(found.present.sum(axis=1) - 1).max() > 0.5


@pytest.mark.parametrize("name", ["ceal", "dsal"])
def test_strategies_that_need_masks_are_refused_before_anybody_labels(world, name):
    with pytest.raises(alkit.errors.ConfigurationError, match="need"):
        alkit.Experiment(world[0], LEARNER, alkit.strategy(name), classes=SPEC)


def test_a_strategy_inside_others_is_refused_too(world):
    inner = alkit.strategies.Uncertainty("edt-variance", alkit.Dropout(3))
    random, parts = alkit.strategy("random"), alkit.strategies
    for outer in (parts.Mix({random: 1, inner: 1}), parts.Then(random, inner, 9), parts.Stochastic(inner)):
        with pytest.raises(alkit.errors.ConfigurationError, match="need masks"):
            alkit.Experiment(world[0], LEARNER, outer, classes=SPEC)


def test_estimators_learn_each_class_by_itself(world, tmp_path):
    pool, test, oracle = world
    learner = alkit.EstimatorLearner(KNeighborsClassifier(3))
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), store=tmp_path / "r.db")
    (last,) = experiment.run(oracle, test=test, start=40, batch=1, rounds=0)
    assert last.metrics["f1"] > 0.9


def test_sets_are_told_corrected_sent_back_and_joined(world, tmp_path):
    pool, *_ = world
    experiment = alkit.Experiment(
        pool,
        LEARNER,
        alkit.strategy("random"),
        store=tmp_path / "r.db",
        classes=SPEC,
        annotators=2,
        join="majority",
        hold_out=0,
    )
    a, b, c = experiment.ask(3)
    experiment.tell({a: {"left", "top"}, b: set(), c: [0, 1, 0]}, annotator="ann")
    experiment.tell({a: [1, 0, 1]}, annotator="ann")  # the same
    with pytest.raises(alkit.errors.ConflictError):
        experiment.tell({a: {"left"}}, annotator="ann")
    experiment.tell({a: {"left"}}, annotator="ann", revise=True)
    with pytest.raises(alkit.errors.LabelError, match="set of classes"):
        experiment.tell({b: {"bottom"}}, annotator="bob")
    experiment.tell({a: {"left"}, b: {"right"}, c: {"right"}}, annotator="bob")
    experiment.reject(c, "look again", annotator="bob")
    experiment.tell({c: {"right", "top"}}, annotator="bob", revise=True)
    store = Store(tmp_path / "r.db")
    assert {store.content(answer.label) for answer in store.answers()} == {
        b"[1, 0, 1]",
        b"[0, 0, 0]",
        b"[0, 1, 0]",
        b"[1, 0, 0]",
        b"[0, 1, 1]",
    }
    result = experiment.fit()
    assert result.n_labels == 3
    assert any("disagree evenly about" in warning and "of the classes" in warning for warning in result.warnings)
    out = experiment.export_labels(tmp_path / "out", "csv")
    with (out / "labels.csv").open() as file:
        rows = {row["id"]: row["label"] for row in csv.DictReader(file)}
    assert rows == {a: "left", b: "?right", c: "right|?top"}
    assert "started with --ignore 255" in (out / "DATACARD.md").read_text()
    found = experiment.agreement()
    assert (found.measure, set(found.disputed)) == ("kappa", {b, c})
    assert [image.agreement for image in found.images] == pytest.approx([2 / 3, 2 / 3, 1])


def test_exported_labels_give_the_same_training_set(world, tmp_path):
    from alkit.oracles.existing import labels_in_table

    pool, _, oracle = world
    first = alkit.Experiment(pool, LEARNER, alkit.strategy("random"), store=tmp_path / "a.db", classes=SPEC, hold_out=0)
    first.run(oracle, start=12, batch=1, rounds=0)
    out = first.export_labels(tmp_path / "out", "csv")
    second = alkit.Experiment(
        pool, LEARNER, alkit.strategy("random"), store=tmp_path / "b.db", classes=SPEC, hold_out=0
    )
    receipt = second.receive(labels_in_table(out / "labels.csv", SPEC), unasked=True, source="a.db")
    assert len(receipt.taken) == 12
    again = second.export_labels(tmp_path / "again", "csv")
    assert (again / "labels.csv").read_text() == (out / "labels.csv").read_text()
    for form in ("masks", "coco", "nifti"):
        with pytest.raises(alkit.errors.ConfigurationError, match="table"):
            first.export_labels(tmp_path / form, form)


def test_pseudo_labels_are_sets(world, tmp_path):
    class Trusting:
        def select(self, view, n, rng):
            last = view.candidates[-5:] if view.round else ()
            return alkit.Selection(view.candidates[:n], pseudo_labels=last)

    pool, _, oracle = world
    experiment = alkit.Experiment(pool, LEARNER, Trusting(), store=tmp_path / "r.db")
    history = experiment.run(oracle, start=24, batch=3, rounds=1)
    assert (history[1].n_labels, history[1].n_pseudo) == (27, 5)
    store = Store(tmp_path / "r.db")
    made = {id: store.content(file).decode() for id, file in store.pseudo_labels(1).items()}
    right = [made[id] == str(oracle.read(id).tolist()) for id in made]
    assert len(right) == 5
    assert np.mean(right) > 0.5
