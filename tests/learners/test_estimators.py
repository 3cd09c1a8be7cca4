"""Any classifier with the interface of scikit-learn learns, and predicts the same numbers after it was loaded."""

from __future__ import annotations

import logging
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier, VotingClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import alkit
from alkit.configuration import differences, written_form
from alkit.learners.estimators import flattened

CLASSES = ("dark", "medium", "bright", "unseen")


@dataclass(frozen=True)
class Labelled:
    """Labelled images without an experiment."""

    pixels: np.ndarray
    classes: dict[str, int]
    spec: alkit.LabelSpec = alkit.LabelSpec(CLASSES, per="image")

    @property
    def ids(self):
        return list(self.classes)

    def images(self, ids):
        return self.pixels[[int(id) for id in ids]]

    def labels(self, ids):
        return np.array([self.classes[id] for id in ids], np.int64)


def make(n=60, present=(0, 1, 2), seed=0):
    """Images of 2 x 3 pixels whose brightness is their class plus noise, with ids in random order."""
    chance = np.random.default_rng(seed)
    ids = chance.permutation(n)
    classes = np.resize(present, n)
    pixels = np.zeros((n, 1, 2, 3), np.float32)
    pixels[ids] = np.clip(classes[:, None, None, None] / 4 + 0.15 * chance.random((n, 1, 2, 3)), 0, 1)
    return Labelled(pixels, dict(zip(map(str, ids), classes.tolist(), strict=True)))


ANYTHING = np.random.default_rng(7).random(
    (200, 1, 2, 3), np.float32
)  # images for which models with other seeds disagree


def rng(seed=0):
    return np.random.default_rng(seed)


class FromGlobal(GaussianNB):
    """Draws from numpy's global generator, as old code does."""

    def fit(self, X, y):
        return super().fit(X + 0.1 * np.random.standard_normal(X.shape), y)  # noqa: NPY002


ESTIMATORS = [
    RandomForestClassifier(n_estimators=10),
    ExtraTreesClassifier(n_estimators=10),
    LogisticRegression(),
    make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=2000)),
    KNeighborsClassifier(),
    GaussianNB(),
    FromGlobal(),
    GaussianProcessClassifier(),
    BaggingClassifier(LogisticRegression(), n_estimators=3),
    CalibratedClassifierCV(SVC(), cv=3, ensemble=False),
    GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 3]}, cv=StratifiedKFold(3, shuffle=True)),
]
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)


@each_estimator
def test_each_image_is_learned_with_its_own_label(estimator):
    labelled = make()
    found = alkit.EstimatorLearner(estimator).fit(labelled, rng()).probabilities(labelled.images(labelled.ids))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.argmax(axis=1) == labelled.labels(labelled.ids)).mean() > 0.9


@each_estimator
def test_a_loaded_predictor_predicts_the_same_numbers(estimator):
    learner = alkit.EstimatorLearner(estimator)
    model = learner.fit(make(), rng())
    again = learner.loads(model.dumps())
    assert (again.probabilities(ANYTHING) == model.probabilities(ANYTHING)).all()
    assert again.dumps() == model.dumps()


@each_estimator
def test_a_model_depends_on_the_seed_and_neither_reads_nor_changes_the_global_generator(estimator):
    learner, labelled = alkit.EstimatorLearner(estimator), make()
    found = []
    for number in range(2):
        np.random.seed(number)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        found.append(learner.fit(labelled, rng(5)).probabilities(ANYTHING))
        assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert (found[0] == found[1]).all()


class SlowlyFromGlobal(FromGlobal):
    """Lets other threads run between the seed and the draws."""

    def fit(self, X, y):
        time.sleep(0.01)
        return super().fit(X, y)


def test_threads_that_fit_at_the_same_time_do_not_disturb_each_other():
    learner, labelled, seeds = alkit.EstimatorLearner(SlowlyFromGlobal()), make(), range(4)

    def probabilities(seed):
        return learner.fit(labelled, rng(seed)).probabilities(ANYTHING)

    alone = [probabilities(seed) for seed in seeds]
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(probabilities, seeds))
    np.testing.assert_array_equal(together, alone)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_another_seed_gives_another_model_even_if_the_estimator_has_a_random_state():
    learner = alkit.EstimatorLearner(make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=3)))
    a, b = (learner.fit(make(), rng(seed)).probabilities(ANYTHING) for seed in (0, 1))
    assert (a != b).any()


def test_every_random_state_inside_gets_a_seed_of_its_own():
    class Recorder(VotingClassifier):
        seen = None

        def fit(self, X, y):
            Recorder.seen = {name: seed for name, seed in self.get_params().items() if name.endswith("random_state")}
            return super().fit(X, y)

    members = [("a", DecisionTreeClassifier()), ("b", make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss")))]
    alkit.EstimatorLearner(Recorder(members, voting="soft")).fit(make(), rng())
    assert set(Recorder.seen) == {"a__random_state", "b__sgdclassifier__random_state"}
    seeds = list(Recorder.seen.values())
    assert len(set(seeds)) == 2
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in seeds)


def test_fitting_does_not_change_the_given_estimator():
    estimator = RandomForestClassifier(5, random_state=7)
    alkit.EstimatorLearner(estimator).fit(make(), rng())
    assert estimator.random_state == 7
    assert not hasattr(estimator, "classes_")


@each_estimator
def test_a_class_without_labels_has_probability_0(estimator):
    labelled = make(present=(1, 3))
    found = alkit.EstimatorLearner(estimator).fit(labelled, rng()).probabilities(labelled.images(labelled.ids))
    assert found.shape == (60, 4)
    assert (found[:, [0, 2]] == 0).all()
    assert (found.argmax(axis=1) == labelled.labels(labelled.ids)).mean() > 0.9


@each_estimator
def test_labels_of_one_class_give_certain_predictions_and_a_warning(estimator, caplog):
    labelled, learner = make(n=4, present=(2,)), alkit.EstimatorLearner(estimator)
    with caplog.at_level(logging.WARNING):
        model = learner.fit(labelled, rng())
    assert [record.getMessage() for record in caplog.records] == [
        "all 4 labels are of class 'bright', so the model predicts this class for every image"
    ]
    caplog.clear()
    for one in (model, learner.loads(model.dumps())):
        assert (one.probabilities(make().pixels) == np.eye(4)[[2] * 60]).all()
    assert not caplog.records


def test_one_label_is_enough():
    labelled = make(n=1, present=(1,))
    assert alkit.EstimatorLearner(LogisticRegression()).fit(labelled, rng()).probabilities(labelled.pixels)[0, 1] == 1


def test_predictions_equal_those_of_the_estimator_on_flat_pixels_in_double_precision():
    labelled, other = make(), make(seed=1).pixels
    model = alkit.EstimatorLearner(LogisticRegression(C=30)).fit(labelled, rng())
    rows = labelled.images(labelled.ids).reshape(60, 6).astype(np.float64)
    alone = LogisticRegression(C=30).fit(rows, labelled.labels(labelled.ids))
    expected = alone.predict_proba(other.reshape(60, 6).astype(np.float64)).astype(np.float32)
    assert (model.probabilities(other)[:, :3] == expected).all()


def corner(images):
    return images[:, 0, :1, 0]


def test_rows_of_training_and_prediction_come_from_the_given_function():
    labelled = make()
    learner = alkit.EstimatorLearner(KNeighborsClassifier(1), rows=corner)
    model = learner.fit(labelled, rng())
    changed = labelled.images(labelled.ids).copy()
    changed[:, :, 1:] = 0.5  # pixels that the rows do not use
    expected = np.eye(4)[labelled.labels(labelled.ids)]
    assert (model.probabilities(changed) == expected).all()
    assert (learner.loads(model.dumps()).probabilities(changed) == expected).all()


def test_rows_of_many_images_are_computed_in_parts_and_stay_in_order():
    sizes = []

    def count_images(images):
        sizes.append(len(images))
        return flattened(images)

    labelled = make(n=600)
    model = alkit.EstimatorLearner(RandomForestClassifier(3), rows=count_images).fit(labelled, rng())
    assert max(sizes) <= 256
    assert sum(sizes) == 600
    alone = clone(model.estimator).fit(flattened(labelled.images(labelled.ids)), labelled.labels(labelled.ids))
    assert (model.probabilities(ANYTHING)[:, :3] == alone.predict_proba(flattened(ANYTHING)).astype(np.float32)).all()


def test_a_fit_reports_its_end():
    said = []
    alkit.EstimatorLearner(GaussianNB()).fit(make(), rng(), report=said.append)
    assert said == [alkit.values.Progress("fit", 1, 1)]


@pytest.mark.parametrize(
    "estimator", [SVC(), SGDClassifier(), VotingClassifier([("a", GaussianNB())]), StandardScaler(), "forest"]
)
def test_an_estimator_without_probabilities_is_an_error_with_advice(estimator):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"classifier with predict_proba.*CalibratedClassifierCV"):
        alkit.EstimatorLearner(estimator)


def test_a_class_in_place_of_an_estimator_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"Try: RandomForestClassifier\(\)"):
        alkit.EstimatorLearner(RandomForestClassifier)


def test_masks_are_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match="one class per image: got masks"):
        alkit.EstimatorLearner(GaussianNB()).fit(replace(make(), spec=alkit.LabelSpec(("a", "b"))), rng())


@pytest.mark.parametrize("rows", [lambda images: images, lambda images: images[:-1, 0, 0]])
def test_rows_of_a_wrong_shape_are_an_error(rows):
    with pytest.raises(alkit.errors.ConfigurationError, match="rows= must return one row per image"):
        alkit.EstimatorLearner(GaussianNB(), rows=rows).fit(make(), rng())


@pytest.mark.parametrize("present", [(0, 1), (0,)])
def test_images_of_another_size_are_an_error(present):
    model = alkit.EstimatorLearner(GaussianNB()).fit(make(present=present), rng())
    with pytest.raises(alkit.errors.ConfigurationError, match="got 8 numbers, expected 6"):
        model.probabilities(np.zeros((1, 1, 2, 4), np.float32))


def test_the_error_of_an_estimator_counts_the_labels_of_each_class():
    labelled = make(n=7, present=(0, 0, 0, 0, 2))
    with pytest.raises(
        alkit.errors.ConfigurationError,
        match=r"(?s)^CalibratedClassifierCV cannot be fitted to these labels.*got 6 of class 0, 1 of class 2",
    ):
        alkit.EstimatorLearner(CalibratedClassifierCV(SVC(), cv=3, ensemble=False)).fit(labelled, rng())


def test_a_clusterer_with_predict_proba_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match="attribute classes_ after its fit: got GaussianMixture"):
        alkit.EstimatorLearner(GaussianMixture()).fit(make(), rng())


class FromNowhere(ClassifierMixin, BaseEstimator):
    """Draws from a generator that cannot be seeded."""

    def fit(self, X, y):
        self.classes_, self.first_ = np.unique(y), np.random.default_rng().random()
        return self

    def predict_proba(self, X):
        return np.tile([self.first_, 1 - self.first_], (len(X), 1))


@pytest.mark.parametrize(
    ("fitted", "loading"),
    [
        (LogisticRegression(), LogisticRegression(C=2)),
        (
            make_pipeline(StandardScaler(), LogisticRegression()),
            make_pipeline(StandardScaler(), LogisticRegression(C=2)),
        ),
        (FromNowhere(), FromNowhere()),
    ],
)
def test_a_model_that_cannot_be_reproduced_is_an_error(fitted, loading):
    dumped = alkit.EstimatorLearner(fitted).fit(make(present=(0, 1)), rng()).dumps()
    with pytest.raises(
        alkit.errors.ConfigurationError,
        match=r"predicts other probabilities .*: got scikit-learn \d",
    ):
        alkit.EstimatorLearner(loading).loads(dumped)


def test_a_predictor_with_rows_of_another_function_is_an_error():
    """The record contains the rows, so the difference shows only when new images are predicted."""
    dumped = alkit.EstimatorLearner(GaussianNB()).fit(make(), rng()).dumps()
    model = alkit.EstimatorLearner(GaussianNB(), rows=corner).loads(dumped)
    with pytest.raises(alkit.errors.ConfigurationError, match="got 1 numbers, expected 6"):
        model.probabilities(make().pixels)


def test_a_stored_model_consists_of_numbers():
    """It contains arrays of numbers and one line of JSON, and no code."""
    import json

    from safetensors.numpy import load

    dumped = alkit.EstimatorLearner(RandomForestClassifier(5)).fit(make(), rng()).dumps()
    arrays = load(dumped)
    assert {name: (array.dtype.kind, len(array)) for name, array in arrays.items()} == {
        "rows": ("f", 60),
        "labels": ("i", 60),
        "probabilities": ("f", 60),
    }
    header = json.loads(dumped[8 : 8 + int.from_bytes(dumped[:8], "little")])
    seed, classes, version = json.loads(header["__metadata__"]["lesson"])
    assert (type(seed), classes) == (int, 4)
    assert all(part.isdigit() for part in version.split(".")[:2])


def test_the_written_form_shows_a_changed_parameter():
    before, after = (written_form(alkit.EstimatorLearner(LogisticRegression(C=C))) for C in (1.0, 2.0))
    assert differences(before, after) == ["estimator.C: recorded 1.0, now 2.0"]
    assert differences(before, written_form(alkit.EstimatorLearner(clone(LogisticRegression())))) == []


# In an experiment.


@pytest.fixture(scope="module")
def world():
    labelled = make(n=90)
    pool, test = alkit.ArrayPool(labelled.pixels, ids=[str(row) for row in range(90)]).split(test=30, seed=0)
    return pool, test, alkit.LabelOracle(labelled.classes, CLASSES)


@pytest.mark.parametrize("strategy", ["random", "ensemble-s", "ensemble-js"])
def test_an_ensemble_of_forests_runs_and_resumes(world, strategy, tmp_path):
    pool, test, oracle = world
    learner = alkit.Ensemble(alkit.EstimatorLearner(RandomForestClassifier(5)), members=3)
    arguments = {"pool": pool, "learner": learner, "strategy": alkit.strategy(strategy), "seed": 1}
    whole = alkit.Experiment(**arguments).run(oracle, test=test, start=6, batch=4, rounds=2)
    assert [result.n_labels for result in whole] == [6, 10, 14]
    assert whole[-1].metrics["accuracy"] > 0.8
    assert 0 <= whole[-1].metrics["member_accuracy"] <= 1

    store = tmp_path / "record.db"
    alkit.Experiment(**arguments, store=store).run(oracle, test=test, start=6, batch=4, rounds=1)
    opened = alkit.Experiment.open(store, pool=pool, learner=learner)
    resumed = opened.run(oracle, test=test, start=6, batch=4, rounds=2)
    assert [(r.ids, r.metrics) for r in resumed] == [(r.ids, r.metrics) for r in whole]


def test_members_differ_only_if_the_estimator_uses_random_numbers(world):
    pool, _, _ = world
    spread = {}
    for name, estimator in (
        ("alone", LogisticRegression()),
        ("bagged", BaggingClassifier(LogisticRegression(), n_estimators=1)),
    ):
        learner = alkit.Ensemble(alkit.EstimatorLearner(estimator), members=3)
        model = learner.fit(make(), rng())
        members = [member.probabilities(pool.read(pool.ids)) for member in model.members]
        spread[name] = np.ptp(members, axis=0).max()
    assert spread["alone"] == 0
    assert spread["bagged"] > 0.01


def test_scores_of_an_estimator_come_from_its_probabilities(world):
    pool, _, oracle = world
    seen = {}

    class LeastSure:
        starts_cold = False

        def select(self, view, n, rng):
            seen.update(view.scores(alkit.scores.margin))
            seen["table"] = {p.ids[i]: p.probabilities[i] for p in view.predictions() for i in range(len(p.ids))}
            return alkit.Selection(view.candidates[:n])

    learner = alkit.EstimatorLearner(LogisticRegression())
    alkit.Experiment(pool, learner, LeastSure()).run(oracle, start=9, batch=1, rounds=1)
    table = seen.pop("table")
    assert set(seen) == set(table)
    for id, row in table.items():
        second, first = np.sort(row)[-2:]
        assert seen[id] == pytest.approx(1 - (first - second), abs=1e-6)


def test_warnings_of_the_estimator_reach_the_user():
    estimator = MLPClassifier((2,), max_iter=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        alkit.EstimatorLearner(estimator).fit(make(), rng())
    assert any("converge" in str(warning.message).lower() for warning in caught)


@pytest.mark.parametrize("wrap", [lambda learner: learner, alkit.Ensemble], ids=["alone", "ensemble"])
def test_masks_are_refused_before_anybody_labels_an_image(wrap, tmp_path):
    pool = alkit.ArrayPool(np.zeros((3, 4, 4), np.uint8))
    learner = wrap(alkit.EstimatorLearner(LogisticRegression()))
    with pytest.raises(alkit.errors.ConfigurationError, match="EstimatorLearner needs labels of one class per image"):
        alkit.Experiment(pool, learner, alkit.strategy("random"), tmp_path / "r.db", classes=("skin", "lesion"))
    alkit.Experiment(
        pool, learner, alkit.strategy("random"), tmp_path / "r.db", classes=alkit.LabelSpec(CLASSES, per="image")
    )
