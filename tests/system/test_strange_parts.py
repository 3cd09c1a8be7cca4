"""Parts from elsewhere that return garbage: an error of alkit names the part's class, and nothing hangs or is lost."""

from __future__ import annotations

import re

import numpy as np
import pytest

import alkit
from alkit.errors import AlkitError, ConfigurationError, DataError, OracleError
from alkit.strategies import Uncertainty
from tests.support.parts import CLASSES, MeanLearner, MeanPredictor
from tests.support.time_limit import at_most

IDS = tuple("abcdef")
MASKS = {id: np.full((8, 8), row % 2, np.uint8) for row, id in enumerate(IDS)}
PIXELS = np.random.default_rng(0).integers(256, size=(6, 8, 8), dtype=np.uint8)


@pytest.fixture
def pool():
    return alkit.ArrayPool(PIXELS, ids=IDS)


def shape(value):
    return f"{type(value).__name__}{np.shape(value)}"


def experiment_of(pool, learner=None, strategy="random", **more):
    strategy = alkit.strategy(strategy) if isinstance(strategy, str) else strategy
    return alkit.Experiment(pool, learner or MeanLearner(), strategy, classes=CLASSES, **more)


class Odd:
    """An oracle that returns one thing after another."""

    spec = alkit.LabelSpec(CLASSES)

    def __init__(self, garbage):
        self.garbage = garbage

    def ask(self, queries):
        self.queries = queries

    def poll(self):
        return self.garbage


GARBAGE = {
    "None": None,
    "number": 3,
    "text": "answers",
    "numbers": [1, 2],
    "texts": ["a"],
    "pairs": [("a", MASKS["a"])],
    "mapping": {"a": MASKS["a"]},
    "class": alkit.Answer,
    "ids that are numbers": [alkit.Answer(3, MASKS["a"])],
    "ids that cannot be hashed": [alkit.Answer([], MASKS["a"])],
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("verb", ["collect", "run", "evaluate"])
def test_an_oracle_that_returns_something_else_than_answers_is_named(pool, verb, garbage):
    experiment, oracle = experiment_of(pool), Odd(GARBAGE[garbage])
    test = alkit.ArrayPool(PIXELS[:2], ids=("x", "y"))
    if verb == "evaluate":
        experiment.tell({id: MASKS[id] for id in experiment.ask(2)})
        experiment.fit()
    before = len(experiment.answers())
    if verb == "collect":
        experiment.ask(2)
    calls = {
        "collect": lambda: experiment.collect(oracle),
        "run": lambda: experiment.run(oracle, start=2, batch=1, rounds=1, poll=0.01),
        "evaluate": lambda: experiment.evaluate(test, oracle, poll=0.01),
    }
    with at_most(20), pytest.raises(OracleError, match=r"Odd\.poll must return"):
        calls[verb]()
    assert len(experiment.answers()) == before


def test_good_answers_beside_garbage_are_recorded(pool):
    experiment = experiment_of(pool)
    first, second = experiment.ask(2)
    oracle = Odd([alkit.Answer(first, MASKS[first]), 7, alkit.Answer(second, MASKS[second])])
    experiment.send(oracle)
    with pytest.raises(OracleError, match=r"Odd\.poll must return answers: got 7"):
        experiment.collect(oracle)
    assert experiment.open_ids == ()


@pytest.mark.parametrize("spec", [None, CLASSES, alkit.LabelSpec])
def test_an_oracle_without_a_label_spec_is_named(pool, spec):
    oracle = Odd([])
    oracle.spec = spec
    with pytest.raises(ConfigurationError, match="spec of oracle Odd must be a LabelSpec"):
        experiment_of(pool).run(oracle, start=1, batch=1, rounds=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"confirmed": "x"}, "confirmed must be True or False"),
        ({"annotator": 3}, "annotator must be"),
        ({"seconds": "long"}, "seconds must be"),
        ({"revision": 1.5}, "revision must be"),
        ({"label": "lesion"}, "not a label map"),
        ({"label": None}, "not a label map"),
        ({"id": 3}, "3 is not an image of the pool"),
        ({"id": None}, "None is not an image of the pool"),
        ({"id": []}, r"\[\] is not an image of the pool"),
    ],
    ids=str,
)
def test_a_wrong_answer_is_refused_with_the_reason(pool, wrong, message):
    experiment = experiment_of(pool)
    (id,) = experiment.ask(1)
    receipt = experiment.receive([alkit.Answer(**{"id": id, "label": MASKS[id], **wrong})])
    assert not receipt.taken
    (refused,) = receipt.refused
    assert re.search(message, refused[1])


def learner_whose(method, garbage):
    return type("Bad", (MeanLearner,), {method: lambda self, *given, **named: garbage})()


@pytest.mark.parametrize("garbage", [None, [1], "model", MeanPredictor], ids=shape)
def test_a_learner_that_does_not_return_a_model_is_named(pool, garbage):
    experiment = experiment_of(pool, learner_whose("fit", garbage))
    experiment.tell({id: MASKS[id] for id in experiment.ask(2)})
    with pytest.raises(ConfigurationError, match=r"Bad\.fit must return a predictor"):
        experiment.fit()
    assert experiment.history == ()


@pytest.mark.parametrize("garbage", [None, [1], "model", MeanPredictor], ids=shape)
def test_a_learner_that_does_not_load_a_model_is_named(tmp_path, pool, garbage):
    bad = learner_whose("loads", garbage)
    experiment = experiment_of(pool, bad, store=tmp_path / "r.db")
    experiment.tell({id: MASKS[id] for id in experiment.ask(2)})
    experiment.fit()
    again = experiment_of(pool, bad, store=tmp_path / "r.db")
    with pytest.raises(ConfigurationError, match=r"Bad\.loads must return a predictor"):
        list(again.predict(pool))
    with pytest.raises(ConfigurationError, match=r"Bad\.loads must return a predictor"):
        alkit.trained_model(tmp_path / "r.db", learner=bad)


@pytest.mark.parametrize(
    "garbage",
    [None, "p", [0.5], np.zeros(3), np.zeros((2, 5, 8, 8), np.float32), np.zeros((1, 2)), np.array(["a"])],
    ids=["None", "text", "list", "vector", "classes", "one image", "texts"],
)
@pytest.mark.parametrize("verb", ["predict", "prelabels", "evaluate", "scores"])
def test_a_model_whose_probabilities_are_garbage_is_named(pool, verb, garbage):
    class Garbled(MeanPredictor):
        def probabilities(self, images):
            return garbage

    fit = MeanLearner().fit
    learner = type("L", (MeanLearner,), {"fit": lambda self, *a, **k: Garbled(fit(*a, **k).lesion)})()
    strategy = Uncertainty("entropy") if verb == "scores" else "random"
    experiment = experiment_of(pool, learner, strategy)
    experiment.tell({id: MASKS[id] for id in experiment.ask(2)})
    experiment.fit()
    test = alkit.ArrayPool(PIXELS[:2], ids=("x", "y"))
    known = alkit.MaskOracle({"x": MASKS["a"], "y": MASKS["b"]}, CLASSES)
    calls = {
        "predict": lambda: list(experiment.predict(test)),
        "evaluate": lambda: experiment.evaluate(test, known),
        "prelabels": lambda: experiment.ask(2) and experiment.prelabels(),
        "scores": lambda: experiment.ask(2) and experiment.prelabels(),
    }
    with pytest.raises(AlkitError, match=r"Garbled\.probabilities must return"):
        calls[verb]()


@pytest.mark.parametrize("garbage", [None, [1.0], "rows", np.zeros(4), np.zeros((9, 2)), np.zeros((0, 2))], ids=shape)
def test_an_extractor_whose_features_are_garbage_is_named(pool, garbage):
    class Blur:
        def fit(self, pool, rng, report=None):
            return self

        def features(self, images):
            return garbage

    strategy = alkit.strategy("ssl-cluster", features=Blur(), clusters=2)
    with pytest.raises(AlkitError, match=r"Blur\.features must return"):
        experiment_of(pool, strategy=strategy).ask(2)


def test_an_extractor_whose_fit_returns_nothing_is_named(pool):
    class Empty:
        def fit(self, pool, rng, report=None):
            return None

    strategy = alkit.strategy("ssl-cluster", features=Empty(), clusters=2)
    with pytest.raises(AlkitError, match=r"Empty\.fit must return a fitted extractor"):
        experiment_of(pool, strategy=strategy).ask(2)


@pytest.mark.parametrize("garbage", [None, 3, "ab", [1, 2], {"a": 1}, alkit.SKIP, [None, None]], ids=str)
def test_a_strategy_that_returns_something_else_than_ids_is_named(pool, garbage):
    def choose(view, n, rng):
        return garbage

    with pytest.raises(AlkitError, match="the function choose"):
        experiment_of(pool, strategy=choose).ask(2)


@pytest.mark.parametrize("garbage", [None, "image", [1], np.zeros((8, 8)), np.zeros((2, 3, 8, 8))], ids=shape)
def test_a_pool_that_does_not_return_images_is_named(garbage):
    class Blank:
        ids = IDS

        def read(self, ids):
            return garbage

    with pytest.raises(DataError, match=r"Blank\.read must return"):
        experiment_of(Blank())
