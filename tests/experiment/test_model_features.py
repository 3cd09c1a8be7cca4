"""The features of the last round's model, which strategies read by the same verb as any others."""

import json
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from parts import CLASSES, MeanLearner, MeanPredictor
from torch import nn

import alkit
from alkit.errors import ColdStartError, ConfigurationError, SelectionError
from alkit.features import OfLearner
from alkit.protocols import FeatureExtractor, HasFeatures
from alkit.testing import RowMeans
from alkit.values import quiet


@dataclass(frozen=True)
class Farthest:
    """Selects the candidates whose features are farthest from those of the first labelled image."""

    features: FeatureExtractor = field(default_factory=OfLearner)
    clusters: int = 0

    def select(self, view, n, rng):
        rows = view.features(self.features)
        assert not rows.flags.writeable
        assert view.features(self.features) is rows
        if self.clusters:
            found = view.clusters(self.features, self.clusters)
            assert view.clusters(self.features, self.clusters) is found
        place = {id: row for row, id in enumerate(view.ids)}
        away = np.linalg.norm(rows - rows[place[view.labelled[0]]], axis=1)
        return alkit.Selection(tuple(sorted(view.candidates, key=lambda id: (-away[place[id]], id))[:n]))


class MapPredictor(MeanPredictor):
    def features(self, images):
        return np.asarray([[image.mean(), self.lesion.sum()] for image in images], np.float32)


@dataclass(frozen=True)
class MapLearner(MeanLearner):
    def fit(self, labelled, rng, previous=None, report=quiet):
        return MapPredictor(super().fit(labelled, rng, previous, report).lesion)

    def loads(self, dumped):
        return MapPredictor(super().loads(dumped).lesion)


def test_each_round_has_the_features_of_its_own_model(world):
    seen = []

    @dataclass(frozen=True)
    class Notes(Farthest):
        def select(self, view, n, rng):
            seen.append(np.array(view.features(self.features)))
            return super().select(view, n, rng)

    experiment = world.experiment(learner=MapLearner(), strategy=Notes())
    experiment.run(world.oracle, start=3, batch=2, rounds=2)
    assert experiment.initial != experiment.strategy  # the strategy does not start cold
    first, second = seen
    np.testing.assert_array_equal(first[:, 0], second[:, 0])
    assert (first[:, 1] != second[:, 1]).all()  # of another model
    means = [world.pool.read([id]).mean() for id in sorted(world.pool.ids)]
    np.testing.assert_allclose(first[:, 0], means, rtol=1e-6)


def test_a_network_an_ensemble_and_a_classifier_have_features(world, small_network):
    network = alkit.SegmentationLearner(small_network, epochs=(1, 1))
    for learner, width in ((network, 8), (alkit.Ensemble(network, members=2), 16)):
        experiment = world.experiment(learner=learner, strategy=Farthest(clusters=2))
        experiment.run(world.oracle, start=3, batch=2, rounds=1)
        model = learner.loads(experiment._parts.store.content(experiment._parts.store.last_model()[0]))
        assert isinstance(model, HasFeatures)
        rows = model.features(world.pool.read(world.pool.ids[:3]))
        assert rows.shape == (3, width)
        assert rows.dtype == np.float32


def test_in_another_process_the_choice_is_the_same(world, tmp_path):
    whole = world.experiment(tmp_path / "whole.db", Farthest(), learner=MapLearner())
    results = whole.run(world.oracle, start=3, batch=2, rounds=2)
    for result in results:
        opened = world.experiment(tmp_path / "steps.db", Farthest(), learner=MapLearner(), classes=CLASSES)
        ids = opened.ask(len(result.ids))
        again = world.experiment(tmp_path / "steps.db", Farthest(), learner=MapLearner(), classes=CLASSES)
        assert again.ask() == ids == result.ids
        again.tell({id: world.masks[id] for id in ids})
        again.fit()


def test_neither_features_nor_clusters_of_a_model_are_recorded(world, tmp_path):
    experiment = world.experiment(tmp_path / "r.db", Farthest(clusters=3), learner=MapLearner())
    experiment.run(world.oracle, start=3, batch=2, rounds=1)
    files = (tmp_path / "r.db.files").iterdir()
    assert not [file for file in files if file.suffix == ".npz"]
    recorded = world.experiment(tmp_path / "other.db", alkit.strategy("ssl-cluster", features=RowMeans(), clusters=3))
    recorded.run(world.oracle, start=3, batch=2, rounds=1)
    assert [file for file in (tmp_path / "other.db.files").iterdir() if file.suffix == ".npz"]


def test_before_there_is_a_model_the_error_says_so(world):
    class Eager(Farthest):
        starts_cold = True

        def select(self, view, n, rng):
            view.features(OfLearner())

    @dataclass(frozen=True)
    class Hidden:
        """The extractor is not among its parameters."""

        def select(self, view, n, rng):
            return view.features(OfLearner())

    with pytest.raises(ColdStartError, match="round 0 has no model yet"):
        world.experiment(strategy=Hidden(), learner=MapLearner()).ask(3)
    with pytest.raises(ColdStartError, match="initial must be able to select without a model"):
        world.experiment(strategy=Farthest(), initial=Farthest(), learner=MapLearner())
    with pytest.raises(ConfigurationError, match="OfLearner cannot be fitted on a pool"):
        OfLearner().fit(world.pool, np.random.default_rng(0))


def test_a_learner_without_features_is_refused_before_anybody_labels_an_image(world):
    with pytest.raises(ConfigurationError, match=r"needs a learner whose models have a method features.*MeanPredictor"):
        world.experiment(strategy=Farthest(), classes=CLASSES)
    experiment = world.experiment(strategy=Farthest())  # its fit declares no class of models
    with pytest.raises(ConfigurationError, match="features"):
        experiment.run(world.oracle, start=3, batch=2, rounds=1)
    assert not experiment.queries()

    class Declared(MeanLearner):
        def fit(self, labelled, rng, previous=None, report=quiet) -> MeanPredictor:
            return super().fit(labelled, rng, previous, report)

    Declared.fit.__annotations__["return"] = MeanPredictor
    with pytest.raises(ConfigurationError, match="Declared, whose models are MeanPredictors"):
        world.experiment(strategy=Farthest(), learner=Declared())

    class Functional(nn.Module):
        def __init__(self, in_channels, classes):
            super().__init__()
            self.last = nn.Conv2d(in_channels, classes, 1)

        def forward(self, images):
            return nn.functional.conv2d(images, self.last.weight, self.last.bias)

    with pytest.raises(ConfigurationError, match="must call its output layer 'last' once"):
        world.experiment(strategy=Farthest(), learner=alkit.SegmentationLearner(Functional, epochs=(1, 1)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda n: np.zeros((n, 3, 2), np.float32), "one row for each image"),
        (lambda n: np.zeros((n + 1, 3), np.float32), "one row for each image"),
        (lambda n: [[0.0]] * n, "must return"),
    ],
)
def test_features_of_another_form_are_an_error(world, rows, message):
    class Odd(MapPredictor):
        def features(self, images):
            return rows(len(images))

    class OddLearner(MapLearner):
        def fit(self, labelled, rng, previous=None, report=quiet):
            return Odd(super().fit(labelled, rng, previous, report).lesion)

    with pytest.raises(ConfigurationError, match=message):
        world.experiment(strategy=Farthest(), learner=OddLearner(), classes=CLASSES)


def test_a_row_that_is_not_finite_names_its_image(world):
    last = sorted(world.pool.ids)[-1]
    spoilt = float(world.pool.read([last]).mean())

    class Odd(MapPredictor):
        def features(self, images):
            rows = super().features(images)
            return np.where(np.abs(rows[:, :1] - spoilt) < 1e-7, np.float32("nan"), rows)

    class OddLearner(MapLearner):
        def fit(self, labelled, rng, previous=None, report=quiet):
            return Odd(super().fit(labelled, rng, previous, report).lesion)

        def loads(self, dumped):
            return Odd(super().loads(dumped).lesion)

    experiment = world.experiment(strategy=Farthest(), learner=OddLearner())
    with pytest.raises(SelectionError, match=f"'{last}' is not finite"):
        experiment.run(world.oracle, start=3, batch=2, rounds=1)


def test_a_composition_with_the_features_of_the_model_does_not_start_cold(world):
    from alkit.strategies import DuplicatesLast, FromFunction, Then

    random = alkit.strategy("random")
    inside = DuplicatesLast(random, OfLearner(), similarity=0.99)
    for strategy in (inside, FromFunction(partial(lambda view, n, rng, features: (), features=OfLearner()))):
        experiment = world.experiment(strategy=strategy, learner=MapLearner())
        assert experiment.initial != experiment.strategy
    experiment = world.experiment(strategy=Then(random, inside, after=2), learner=MapLearner())
    assert experiment.initial == experiment.strategy
    assert len(experiment.run(world.oracle, start=3, batch=2, rounds=1)) == 2


def test_a_record_keeps_the_extractor():
    from alkit.configuration.construct import build
    from alkit.configuration.forms import written_form

    strategy = alkit.strategy("ssl-cluster", features=OfLearner(), clusters=3)
    form = json.loads(json.dumps(written_form(strategy)))
    assert form["with"]["features"] == {"is": "alkit.features:OfLearner", "with": {}}
    assert build(form, "strategy") == strategy


def test_it_cannot_be_a_warm_start():
    with pytest.raises(ConfigurationError, match="warm_start must be a feature extractor that works before there is"):
        alkit.SegmentationLearner(warm_start=OfLearner())
