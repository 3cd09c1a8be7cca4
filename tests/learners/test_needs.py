"""What a strategy needs and the models of a learner lack is said at Experiment(...), for learners of any author."""

from dataclasses import dataclass

import pytest
import torch
from parts import CLASSES, MeanLearner, MeanPredictor

import alkit
from alkit.errors import ConfigurationError
from alkit.testing import Brightness

SIZE = 16
STRATEGIES = {"dropout": "mc-dropout", "members": "ensemble-js", "heads": "dsal", "model-features": "badge"}


class Posterior:
    """Offers a prediction only; what else it has is added in each test."""

    def __init__(self, model, images):
        self.model, self.images = model, images

    def prediction(self):
        return torch.from_numpy(self.model.probabilities(self.images))


@dataclass(frozen=True, eq=False)
class Model(MeanPredictor):
    methods: tuple = ()

    def posterior(self, images):
        return type("Mine", (Posterior,), dict(self.methods))(self, images)


@dataclass(frozen=True)
class Mine(MeanLearner):
    """A learner without type annotations: its models have some methods, and may declare members."""

    methods: tuple = ()
    members: int = 3

    def fit(self, *given):
        return Model(super().fit(*given).lesion, self.methods)

    def loads(self, dumped):
        return Model(super().loads(dumped).lesion, self.methods)


def experiment(learner, need, **more):
    images, _ = alkit.synthetic.lesions(8, size=SIZE)
    strategy = alkit.strategy(STRATEGIES[need])
    return alkit.Experiment(alkit.ArrayPool(images), learner, strategy, **{"classes": CLASSES, **more})


def two(self, *_):
    return iter([self.prediction()[None], self.prediction()[None]])


class Three(MeanLearner):
    members = 3


LACKING = {
    ("dropout", "no posterior"): (MeanLearner(), "whose models draw by dropout: got MeanPredictor"),
    ("dropout", "another method"): (Mine(methods=(("members", two),)), "whose models draw by dropout: got Model"),
    ("dropout", "no draws"): (
        Mine(methods=(("dropout", lambda self, draws, stream: iter(())),)),
        r"dropout\(\) of the posterior of a Model must give 1 or more predictions: got 0",
    ),
    ("dropout", "no stack"): (
        Mine(methods=(("dropout", lambda self, draws, stream: iter([self.prediction()])),)),
        r"must give probabilities \(k, n, classes, h, w\) or \(k, n, classes\): got shape \(2, 2, 16, 16\) for 2",
    ),
    ("members", "no posterior"): (
        type("Three", (MeanLearner,), {"members": 3})(),
        "whose models are ensembles: got Mean",
    ),
    ("members", "another method"): (Mine(methods=(("dropout", two),)), "whose models are ensembles: got Model"),
    ("members", "one member"): (
        Mine(methods=(("members", lambda self: iter([self.prediction()[None]])),)),
        r"members\(\) of the posterior of a Model must give 2 or more predictions: got 1",
    ),
    ("members", "an error"): (
        Mine(methods=(("members", lambda self: self.other),)),
        r"members\(\) of the posterior of a Model fails \(AttributeError: ",
    ),
    ("heads", "no posterior"): (MeanLearner(), "whose models have heads of deep supervision: got MeanPredictor"),
    ("heads", "another method"): (Mine(methods=(("members", two),)), "have heads of deep supervision: got Model"),
    ("heads", "one head"): (
        Mine(methods=(("heads", lambda self: (self.prediction(),)),)),
        r"heads\(\) of the posterior of a Model must give 2 or more predictions: got 1",
    ),
    ("model-features", "no features"): (MeanLearner(), r"whose models have a method features\(images\), .*got MeanP"),
}


@pytest.mark.parametrize("case", LACKING, ids=" ".join)
def test_what_the_models_of_a_learner_lack_is_said_before_the_first_query(case):
    learner, message = LACKING[case]
    with pytest.raises(ConfigurationError, match=message):
        experiment(learner, case[0])


def heads(self):
    return self.prediction(), self.prediction()


@pytest.mark.parametrize("need", ["dropout", "members", "heads"])
def test_models_that_have_what_the_strategy_needs_pass(need):
    experiment(Mine(methods=((need, heads if need == "heads" else two),)), need)


@pytest.mark.parametrize("need", STRATEGIES)
def test_a_learner_that_has_everything_passes(need):
    experiment(Brightness(), need)


@pytest.mark.parametrize("need", ["dropout", "heads"])
def test_an_ensemble_has_no_draws_and_no_heads_of_its_own(need):
    """Its members may have them. Without this check, the error came in round 1, after the first labels."""
    for learner in (alkit.Ensemble(alkit.SegmentationLearner(), 2), alkit.Ensemble(Brightness(), 2)):
        with pytest.raises(ConfigurationError, match=r"got Ensemble, whose models are EnsemblePredictors"):
            experiment(learner, need, classes=None)


@pytest.mark.parametrize("need", ["dropout", "members", "heads"])
def test_what_declared_models_lack_is_said_even_before_the_classes_are_known(need):
    class Declared(MeanLearner):
        members = 3

        def fit(self, labelled, rng, previous=None, report=None) -> MeanPredictor:
            raise NotImplementedError

    with pytest.raises(ConfigurationError, match=r"got Declared, whose models are MeanPredictors"):
        experiment(Declared(), need, classes=None)


def test_a_learner_that_cannot_be_tried_is_told(caplog):
    class Picky(MeanLearner):
        def fit(self, *given):
            raise ValueError("too few labels")

    experiment(Picky(), "dropout")
    assert "Picky cannot be tried on 4 images with made-up labels (ValueError: too few labels)" in caplog.text


def test_a_wrapper_is_tried_as_a_whole():
    """What its own models lack counts, and not what those of the inner learner have."""

    class Wrapper(MeanLearner):
        learner = Brightness()

    with pytest.raises(ConfigurationError, match="whose models draw by dropout: got MeanPredictor"):
        experiment(Wrapper(), "dropout")
