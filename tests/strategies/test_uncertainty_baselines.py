"""The baselines that need a model: the scores that each asks for, and a real experiment with each of them by name."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alkit
from alkit import scores
from alkit_baselines.ceal import CEAL
from alkit_baselines.dsal import DSAL
from alkit_baselines.ensemble_js import EnsembleJS
from alkit_baselines.ensemble_s import EnsembleS
from alkit_baselines.mc_dropout import MCDropout

NAMES = ["mc-dropout", "ensemble-s", "ensemble-js", "ceal", "dsal"]


class FakeView:
    """Answers one question, and keeps it."""

    round = 1

    def __init__(self, found):
        self.found, self.questions = found, []

    def scores(self, *question):
        self.questions.append(question)
        return self.found


def rng(seed=0):
    return np.random.default_rng(seed)


def median_entropy(mean):
    return scores.entropy(mean).median(dim=1).values


@pytest.mark.parametrize(
    ("strategy", "question"),
    [
        (MCDropout(), (scores.entropy, alkit.Dropout(20))),
        (MCDropout(draws=5, score="entropy"), (scores.entropy, alkit.Dropout(5))),
        (MCDropout(score="bald"), (scores.bald, alkit.Dropout(20))),
        (MCDropout(score="variance"), (scores.variance, alkit.Dropout(20))),
        (MCDropout(score="edt-variance"), (scores.edt_variance, alkit.Dropout(20))),
        (MCDropout(score="least-confidence"), (scores.least_confidence, alkit.Dropout(20))),
        (MCDropout(score="margin"), (scores.margin, alkit.Dropout(20))),
        (MCDropout(score=scores.margin), (scores.margin, alkit.Dropout(20))),
        (MCDropout(score=median_entropy), (median_entropy, alkit.Dropout(20))),
        (EnsembleS(), (scores.entropy, alkit.samplers.Members())),
        (EnsembleJS(), (scores.bald, alkit.samplers.Members())),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_asks_for_its_score_and_selects_the_highest(strategy, question):
    view = FakeView({"c": 0.5, "a": 0.5, "d": 0.1, "b": 0.9})
    selection = strategy.select(view, 3, rng())
    assert view.questions == [question]
    assert selection.ids == ("b", "a", "c")
    assert selection.scores == (0.9, 0.5, 0.5)
    assert selection.pseudo_labels == ()


HIGHEST = pytest.mark.parametrize("strategy", [MCDropout(), EnsembleS(), EnsembleJS()], ids=repr)


@HIGHEST
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sampled_from([0.0, 0.25, 0.5, 0.75])),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_ties_are_broken_by_id_in_any_order_of_the_pool_and_without_the_generator(strategy, found, random, data):
    n = data.draw(st.integers(0, len(found)))
    other = list(found.items())
    random.shuffle(other)
    generator = rng(1)
    assert (
        list(strategy.select(FakeView(dict(other)), n, generator).ids)
        == sorted(found, key=lambda id: (-found[id], id))[:n]
    )
    assert generator.random() == rng(1).random()


@HIGHEST
def test_more_images_than_candidates_is_an_error(strategy):
    with pytest.raises(alkit.errors.SelectionError, match="cannot select 3 images: only 2 candidates are left"):
        strategy.select(FakeView({"a": 0.1, "b": 0.2}), 3, rng())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("entrpy", "Try: 'entropy'"), ("edt_variance", "Try: 'edt-variance'"), ("xyz", "Try: bald, edt-variance")],
)
def test_an_unknown_score_suggests_the_nearest(name, hint):
    with pytest.raises(alkit.errors.UnknownNameError, match=f"score must be the name of a score: got '{name}'.*{hint}"):
        MCDropout(score=name)


@pytest.mark.parametrize(
    "arguments",
    [{"draws": 0}, {"draws": 2.5}, {"draws": True}, {"score": 3}, {"score": None}, {"draws": 1, "score": "bald"}],
)
def test_wrong_parameters_are_errors(arguments):
    with pytest.raises(alkit.errors.ConfigurationError):
        MCDropout(**arguments)


@pytest.mark.parametrize(
    ("strategy", "needs"),
    [
        (MCDropout, ("dropout",)),
        (EnsembleS, ("members",)),
        (EnsembleJS, ("members",)),
        (CEAL, ("dropout", "pseudo-labels")),
        (DSAL, ("heads", "pseudo-labels")),
    ],
)
def test_each_declares_that_it_needs_a_model_and_what_the_model_must_have(strategy, needs):
    assert strategy.starts_cold is False
    assert strategy.needs == needs


# In a real experiment.


class Watched:
    """A strategy, and what it chose."""

    starts_cold = False

    def __init__(self, strategy):
        self.strategy, self.selections = strategy, []

    def select(self, view, n, rng):
        self.selections.append(self.strategy.select(view, n, rng))
        return self.selections[-1]


def learner(name):
    network = partial(alkit.UNet, widths=(2, 4, 4, 4), heads={2: 0.1, 4: 0.3})
    # Enough to see some lesions where that matters, and little elsewhere.
    epochs = (12, 2) if name in ("ceal", "dsal") else (2, 1)
    single = alkit.SegmentationLearner(network, epochs=epochs, lr=3e-2, batch=2)
    return alkit.Ensemble(single, members=2) if name.startswith("ensemble") else single


def made(name):
    """Return the strategy of this name, with pseudo-labels from the first round that can have them."""
    return alkit.strategy(name, **({"pseudo_from": 1, "pseudo_step": 3} if name in ("ceal", "dsal") else {}))


def run(world, name, rounds=2):
    """Return the results of the rounds after the start set, and the selections."""
    watched = Watched(made(name))
    experiment = world.experiment(strategy=watched, learner=learner(name), seed=3)
    return list(experiment.rounds(world.oracle, start=10, batch=7, rounds=rounds)), watched.selections


@pytest.fixture(scope="module")
def runs(world):
    return {name: run(world, name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_each_runs_two_rounds_by_name(world, runs, name):
    results, _ = runs[name]
    assert [len(result.ids) for result in results] == [10, 7, 7]
    asked = [id for result in results for id in result.ids]
    assert len(set(asked)) == 24
    assert set(asked) <= set(world.pool.ids)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name.startswith("ensemble") else ()) for name in NAMES]
)
def test_the_same_seed_gives_the_same_queries(world, runs, name):
    assert run(world, name, rounds=1)[1] == runs[name][1][:1]


def test_runs_with_one_seed_share_their_start_set_and_then_differ(runs):
    assert len({runs[name][0][0].ids for name in NAMES}) == 1
    assert len({runs[name][0][1].ids for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", ["ceal", "dsal"])
def test_pseudo_labels_are_trained_on_from_the_given_round_on(runs, name):
    results, selections = runs[name]
    counts = [len(selection.pseudo_labels) for selection in selections]
    assert [result.n_pseudo for result in results] == [0, *counts]
    assert [result.n_labels for result in results] == [10, 17, 24]
    if name == "dsal":
        assert counts == [3, 6]
    assert 1 <= counts[0] <= 3


def test_in_a_real_round_ceal_states_the_uncertainty_which_is_0_only_for_empty_predictions(world):
    experiment = world.experiment(strategy=made("ceal"), learner=learner("ceal"), seed=3)
    list(experiment.rounds(world.oracle, start=10, batch=7, rounds=0))
    experiment.ask(14)
    empty = {
        id
        for batch in experiment.predict(world.pool)
        for id, mask in zip(batch.ids, batch.labels, strict=True)
        if not mask.any()
    }
    told = {query.id: query.stands_for.partition(", U = ") for query in experiment.queries()}
    assert {id for id, (_, _, number) in told.items() if number == "0"} == empty & told.keys() != told.keys()
    groups = [group for group, _, _ in told.values()]
    assert groups.count("most uncertain") == 4
    assert groups.count("middle of the histogram") == 6


@pytest.mark.parametrize("name", ["ensemble-s", "ensemble-js", "dsal"])
def test_a_learner_that_lacks_what_the_strategy_needs_is_an_error_with_a_hint(world, name):
    plain = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4, 8)), epochs=(1, 1))
    with pytest.raises(alkit.errors.ConfigurationError, match="Try: "):
        world.experiment(strategy=made(name), learner=plain)


@pytest.mark.parametrize("name", NAMES)
def test_none_can_select_the_start_set(world, name):
    with pytest.raises(alkit.errors.ColdStartError, match="random"):
        world.experiment(initial=made(name))


def test_a_view_needs_only_the_scores_that_each_asks_for():
    view = SimpleNamespace(scores=lambda *question: {"a": 0.5, "b": 0.25}, round=0)
    for name in NAMES:
        assert len(made(name).select(view, 1, rng()).ids) == 1
