"""Compositions of strategies, and strategies that need a model before there is one."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import alkit
from alkit import scores
from alkit.configuration import differences, rebuild, written_form


@dataclass(frozen=True)
class Named:
    """Takes the first candidates and says in whose name."""

    name: str
    starts_cold: bool = True
    needs: tuple = ()

    def select(self, view, n, rng):
        if not self.starts_cold:
            view.scores(scores.entropy)
        return alkit.Selection(view.candidates[:n], stands_for=[self.name] * n)


COLD, WARM = Named("cold", needs=("features",)), Named("warm", starts_cold=False)
DROPS = Named("drops", starts_cold=False, needs=("dropout",))


def chosen_by(experiment):
    return {query.stands_for for query in experiment.queries()}


def test_then_continues_with_the_second_strategy_from_the_given_number_of_labels_on(world, tmp_path):
    experiment = world.experiment(
        tmp_path / "r.db", alkit.strategies.Then(COLD, WARM, after=8), classes=("skin", "lesion")
    )
    turns = []
    for _ in range(4):
        ids = experiment.ask(3)
        turns.append(chosen_by(experiment))
        experiment.tell({id: world.masks[id] for id in ids})
        experiment.fit()
    assert turns == [{"cold"}, {"cold"}, {"cold"}, {"warm"}]  # at 0, 3, 6 and 9 labels


def test_then_does_not_count_skips_as_labels(world, tmp_path):
    experiment = world.experiment(
        tmp_path / "r.db", alkit.strategies.Then(COLD, WARM, after=3), classes=("skin", "lesion")
    )
    ids = experiment.ask(3)
    experiment.tell({ids[0]: alkit.SKIP, **{id: world.masks[id] for id in ids[1:]}})
    experiment.fit()
    experiment.ask(2)
    assert chosen_by(experiment) == {"cold"}


def test_then_needs_what_both_parts_need_and_starts_cold_if_the_first_does():
    both = alkit.strategies.Then(COLD, DROPS, after=1)
    assert both.starts_cold
    assert not alkit.strategies.Then(DROPS, COLD, after=1).starts_cold
    assert both.needs == ("features", "dropout")
    assert alkit.strategies.Then(both, alkit.strategies.Then(DROPS, COLD, 9), 5).needs == ("features", "dropout")


def test_then_is_recorded_and_built_again(world, tmp_path):
    strategy = alkit.strategies.Then(alkit.strategy("random"), alkit.strategy("mc-dropout", draws=3), after=8)
    images, _ = alkit.synthetic.lesions(8, size=16)
    pool = alkit.ArrayPool(images)
    learner = alkit.SegmentationLearner()
    alkit.Experiment(pool, learner, strategy, store=tmp_path / "r.db")
    assert alkit.Experiment.open(tmp_path / "r.db", pool=pool).strategy == strategy
    assert repr(strategy).startswith("Then(cold=Random(), warm=MCDropout(draws=3")


@pytest.mark.parametrize(
    "wrong", [{"after": 0}, {"after": 2.5}, {"after": True}, {"cold": "random"}, {"warm": Named}], ids=str
)
def test_then_refuses_wrong_parameters(wrong):
    with pytest.raises(alkit.errors.ConfigurationError):
        alkit.strategies.Then(**{"cold": COLD, "warm": WARM, "after": 3, **wrong})


def test_a_warm_strategy_is_preceded_by_random_and_can_say_so_itself(world, tmp_path):
    default = world.experiment(tmp_path / "a.db", WARM)
    plain = world.experiment(tmp_path / "b.db", alkit.strategy("random"))
    assert default.ask(6) == plain.ask(6)
    given = world.experiment(tmp_path / "c.db", WARM, initial=COLD)
    given.ask(6)
    assert chosen_by(given) == {"cold"}
    with pytest.raises(alkit.errors.ColdStartError, match="random"):
        world.experiment(tmp_path / "d.db", COLD, initial=WARM)


@pytest.mark.parametrize(
    "question", [lambda v: v.scores(scores.entropy), lambda v: next(v.predictions())], ids=["scores", "predictions"]
)
def test_a_question_to_a_missing_model_is_an_error_that_names_strategies_without_one(world, tmp_path, question):
    class Hasty:
        """Does not say that it needs a model."""

        def select(self, view, n, rng):
            question(view)

    with pytest.raises(alkit.errors.ColdStartError, match=r"initial=alkit\.strategy\('random'\) or initial="):
        world.experiment(tmp_path / "r.db", Hasty()).ask(3)


def test_after_tell_and_before_fit_the_hint_is_to_fit(world, tmp_path):
    both = alkit.strategies.Then(COLD, WARM, after=2)
    experiment = world.experiment(tmp_path / "r.db", both, classes=("skin", "lesion"))
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    with pytest.raises(alkit.errors.ColdStartError, match=r"fit\(\) first"):
        experiment.ask(3)


@pytest.mark.parametrize(
    ("strategy", "learner", "hint"),
    [
        ("ensemble-js", {}, "Ensemble"),
        ("mc-dropout", {"dropout": 0.0}, "dropout=0.5"),
        ("dsal", {}, "heads="),
    ],
)
def test_a_learner_without_what_the_strategy_needs_is_an_error_at_once(world, tmp_path, strategy, learner, hint):
    """Found out in round 1, the answer would be another learner, which the record refuses."""
    network = partial(alkit.UNet, widths=(2, 4, 4, 4), **learner)
    with pytest.raises(alkit.errors.ConfigurationError, match=hint):
        world.experiment(tmp_path / "r.db", alkit.strategy(strategy), learner=alkit.SegmentationLearner(network))
    assert not list(tmp_path.iterdir())
    single = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4, 4, 4), heads={2: 0.1, 4: 0.3}))
    made = alkit.Ensemble(single, 2) if strategy == "ensemble-js" else single
    world.experiment(tmp_path / "r.db", alkit.strategy(strategy), learner=made)


@pytest.mark.parametrize("strategy", ["mc-dropout", "dsal"])
def test_an_ensemble_draws_by_its_members_only(world, tmp_path, strategy):
    single = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4, 4, 4), heads={2: 0.1, 4: 0.3}))
    with pytest.raises(alkit.errors.ConfigurationError, match="got Ensemble, whose models are EnsemblePredictors"):
        world.experiment(tmp_path / "r.db", alkit.strategy(strategy), learner=alkit.Ensemble(single, 2))
    assert not list(tmp_path.iterdir())


def test_scores_are_those_of_the_candidates_and_are_computed_once(world, tmp_path):
    seen = []

    class Curious:
        def select(self, view, n, rng):
            if view.round:
                found = view.scores(scores.entropy)
                seen.append((tuple(found), found == view.scores(scores.entropy), tuple(view.candidates)))
                assert [id for batch in view.predictions() for id in batch.ids] == list(view.candidates)
            return alkit.Selection(view.candidates[:n])

    world.experiment(tmp_path / "r.db", Curious()).run(world.oracle, start=5, batch=5, rounds=2)
    assert [len(ids) for ids, _, _ in seen] == [35, 30]
    assert all(ids == candidates and same for ids, same, candidates in seen)


# Compositions on a view whose scores, clusters and features are given.


@dataclass
class Given:
    """A view of `n` images whose sorted ids tell nothing; the candidates are all but the labelled ones."""

    values: dict
    labelled: tuple = ()
    round: int = 1
    rows: dict | None = None
    labels: dict | None = None

    @property
    def ids(self):
        return tuple(sorted(self.values))

    @property
    def candidates(self):
        return tuple(id for id in self.ids if id not in self.labelled)

    def scores(self, score, sampler=None, reduction=None):
        return {id: self.values[id] for id in self.candidates}

    def features(self, extractor):
        return np.array([self.rows[id] for id in self.ids], np.float32)

    def clusters(self, extractor, k):
        labels = np.array([self.labels[id] for id in self.ids])
        return alkit.values.Clusters(self.ids, labels, np.arange(len(labels)) / 10, k)

    def predictions(self):
        for id in self.candidates:
            yield alkit.Predictions((id,), np.full((1, 2, 1, 1), self.values[id], np.float32))


def numbered(n, seed=0, **more):
    chance = np.random.default_rng(seed)
    ids = [f"{letter}{number}" for number, letter in enumerate(chance.choice(list("abcdefgh"), n))]
    return Given(dict(zip(ids, chance.random(n).tolist(), strict=True)), **more)


def first(view, n, rng):
    return view.candidates[:n]


def chance(view, n, rng):
    return [view.candidates[i] for i in rng.permutation(len(view.candidates))[:n]]


SCORE = alkit.strategies.Uncertainty(scores.entropy)
FEATURES = alkit.Reconstruction()


def rng(seed=0):
    return np.random.default_rng(seed)


def highest(view, n):
    return sorted(view.candidates, key=lambda id: (-view.values[id], id))[:n]


@given(n=st.integers(0, 12), factor=st.integers(1, 4), seed=st.integers(0, 99))
def test_filter_selects_with_the_second_strategy_among_the_highest_scores_of_the_first(n, factor, seed):
    view = numbered(20, seed, labelled=())
    seen = []

    def last(inner, n, rng):
        seen.append(inner)
        return list(inner.candidates)[::-1][:n]

    chosen = alkit.strategies.Filter(SCORE, then=last, factor=factor).select(view, n, rng())
    offered = sorted(highest(view, min(20, n * factor)))
    assert list(seen[0].candidates) == offered
    assert chosen.ids == tuple(offered[::-1][:n])
    assert set(seen[0].scores(scores.margin)) == set(offered)
    assert [id for batch in seen[0].predictions() for id in batch.ids] == offered
    assert seen[0].ids == view.ids


@given(n=st.integers(0, 30), shares=st.lists(st.floats(0.01, 10), min_size=1, max_size=4))
def test_a_mix_gives_each_part_its_share_and_selects_no_image_twice(n, shares):
    view = numbered(30)
    named = {Named(f"part {place}"): share for place, share in enumerate(shares)}
    chosen = alkit.strategies.Mix(named).select(view, n, rng())
    assert len(chosen.ids) == len(set(chosen.ids)) == n
    for part, share in named.items():
        count = list(chosen.stands_for or ()).count(part.name)
        assert abs(count - n * share / sum(shares)) < 1 + 1e-6


def test_a_mix_is_interleaved_and_each_part_selects_among_the_remaining_candidates():
    view = numbered(30)
    chosen = alkit.strategies.Mix({Named("a"): 0.75, Named("b"): 0.25}).select(view, 8, rng())
    assert chosen.stands_for == ("a", "a", "b", "a", "a", "a", "b", "a")
    assert sorted(chosen.ids) == sorted(view.candidates[:8])
    swapped = alkit.strategies.Mix({Named("a"): 3, Named("b"): 1}).select(view, 8, rng())
    assert swapped == chosen


def test_a_stochastic_batch_draws_in_proportion_to_a_power_of_the_score():
    view = Given({"a": 1.0, "b": 2.0, "c": 4.0, "d": 0.0, "e": -1e-9})
    for power in (0, 1, 2):
        strategy, stream = alkit.strategies.Stochastic(SCORE, power=power), rng()
        firsts = Counter(strategy.select(view, 1, stream).ids[0] for _ in range(4000))
        weights = {id: view.values[id] ** power for id in "abc"}
        for id in "abc":
            expected = weights[id] / sum(weights.values())
            assert firsts[id] / 4000 == pytest.approx(expected, abs=0.03)
        assert not firsts["d"] + firsts["e"]
    whole = [alkit.strategies.Stochastic(SCORE).select(view, 5, rng(seed)).ids for seed in range(40)]
    assert all(set(ids[3:]) == {"d", "e"} for ids in whole)
    assert len({ids[3:] for ids in whole}) == 2
    steep = alkit.strategies.Stochastic(SCORE, power=1e6).select(view, 3, rng())
    assert steep.ids == ("c", "b", "a")
    assert steep.scores == (4.0, 2.0, 1.0)


def test_a_stochastic_batch_refuses_scores_that_are_not_finite():
    with pytest.raises(alkit.errors.SelectionError, match="'b' is not finite"):
        alkit.strategies.Stochastic(SCORE).select(Given({"a": 1.0, "b": float("nan")}), 1, rng())


@given(n=st.integers(0, 18), seed=st.integers(0, 99))
def test_every_cluster_gives_its_share_of_the_candidates_with_the_highest_scores_first(n, seed):
    view = numbered(20, seed)
    view.labelled = view.ids[:2]
    view.labels = {id: int(rng(seed + place).integers(3)) for place, id in enumerate(view.ids)}
    for label, id in enumerate(view.ids[-3:]):
        view.labels[id] = label  # none is empty
    chosen = alkit.strategies.PerCluster(SCORE, FEATURES, clusters=3).select(view, n, rng())
    assert len(set(chosen.ids)) == n
    assert list(chosen.scores) == sorted(chosen.scores, reverse=True)
    groups = [[id for id in view.candidates if view.labels[id] == label] for label in range(3)]
    for group, share in zip(
        groups, alkit.strategies.largest_remainder(n, [len(group) for group in groups]), strict=True
    ):
        expected = sorted(group, key=lambda id: (-view.values[id], id))[:share]
        assert sorted(id for id in chosen.ids if id in group) == sorted(expected)
    assert all(
        f"cluster {view.labels[id] + 1} of 3" in said for id, said in zip(chosen.ids, chosen.stands_for, strict=True)
    )


def twins():
    """Eight images: a1, a2 and a3 show one thing, b1 and b2 another, c, d and e nothing of the kind."""
    away = {"a": [5, 0, 0], "b": [0, 5, 0], "c": [0, 0, 5], "d": [-5, -5, 0], "e": [0, -5, -5]}
    ids = ["a1", "a2", "a3", "b1", "b2", "c", "d", "e"]
    rows = {id: np.array(away[id[0]], float) + 0.001 * place for place, id in enumerate(ids)}
    return Given(dict.fromkeys(ids, 1.0), rows=rows)


@pytest.mark.parametrize("inner", [first, chance], ids=["first", "chance"])
def test_near_duplicates_are_selected_only_if_nothing_else_is_left_and_described_as_such(inner):
    view, strategy = twins(), alkit.strategies.DuplicatesLast(inner, FEATURES, similarity=0.99)
    few = strategy.select(view, 4, rng())
    assert set(few.ids) <= {"a1", "b1", "c", "d", "e"}
    many = strategy.select(view, 7, rng())
    assert set(many.ids[:5]) == {"a1", "b1", "c", "d", "e"}
    assert set(many.ids[5:]) < {"a2", "a3", "b2"}
    for id, said in zip(many.ids, many.stands_for, strict=True):
        assert said == (f"nothing else is left: near-duplicate of {id[0]}1" if id in ("a2", "a3", "b2") else "")
    view.labelled = ("b2", "c")
    after = strategy.select(view, 6, rng())
    assert set(after.ids[:3]) == {"a1", "d", "e"}
    assert dict(zip(after.ids, after.stands_for, strict=True))["b1"].endswith("of b2")


def test_pseudo_labels_of_the_parts_are_kept_without_the_queried_images():
    @dataclass(frozen=True)
    class Trusting:
        def select(self, view, n, rng):
            return alkit.Selection(view.candidates[:n], pseudo_labels=view.candidates[n : n + 5])

    view = numbered(12)
    for strategy in (
        alkit.strategies.Mix({Trusting(): 1, Named("other"): 1}),
        alkit.strategies.Filter(SCORE, Trusting(), factor=3),
        alkit.strategies.Then(Trusting(), Named("x"), 5),
    ):
        chosen = strategy.select(view, 4, rng())
        assert chosen.pseudo_labels
        assert not set(chosen.ids) & set(chosen.pseudo_labels)


NESTED = alkit.strategies.Then(
    alkit.strategies.DuplicatesLast(alkit.strategy("random"), FEATURES),
    alkit.strategies.Mix(
        {
            alkit.strategies.Filter(SCORE, then=alkit.strategies.PerCluster(SCORE, FEATURES, 2), factor=3): 2,
            alkit.strategies.Stochastic(alkit.strategies.Uncertainty(scores.bald, alkit.Dropout(3)), power=2): 1,
            alkit.strategies.FromFunction(first): 1,
        }
    ),
    after=4,
)


def test_compositions_nest_and_declare_what_they_need():
    assert NESTED.starts_cold
    assert NESTED.needs == ("features", "dropout")
    assert not NESTED.warm.starts_cold
    assert "Filter(ranking=Uncertainty('entropy'), then=PerCluster(ranking=Uncertainty('entropy')" in repr(NESTED)
    assert "Uncertainty('bald', Dropout(draws=3))" in repr(NESTED)
    view = twins()
    view.labels = {id: int(id[0] > "b") for id in view.ids}
    view.labelled = ("a1",)
    assert len(set(NESTED.select(view, 3, rng()).ids)) == 3
    view.labelled = ("a1", "b1", "c", "d")
    assert set(NESTED.select(view, 4, rng()).ids) == {"a2", "a3", "b2", "e"}


def test_a_nested_composition_is_rebuilt_exactly_from_its_written_form():
    form = json.loads(json.dumps(written_form(NESTED)))
    assert rebuild(form, {"alkit", "alkit_baselines", "tests"}) == NESTED
    assert written_form(rebuild(form, {"alkit", "alkit_baselines", "tests"})) == form
    other = alkit.strategies.Then(NESTED.cold, alkit.strategies.Stochastic(SCORE), after=4)
    assert differences(form, written_form(other))


def test_a_function_can_be_given_wherever_a_strategy_can(world, tmp_path):
    experiment = world.experiment(tmp_path / "a.db", alkit.strategies.Then(first, chance, after=9))
    history = experiment.run(world.oracle, start=5, batch=5, rounds=1)
    assert history[0].ids == tuple(sorted(world.pool.ids)[:5])
    plain = alkit.Experiment(world.pool, world.learner, first, store=tmp_path / "b.db", initial=chance)
    assert plain.initial == alkit.strategies.FromFunction(chance)
    assert plain.run(world.oracle, start=5, batch=5, rounds=1)[1].n_labels == 10

    def warm(view, n, rng):
        return view.candidates[:n]

    warm.starts_cold = False
    assert not alkit.strategies.FromFunction(warm).starts_cold
    for wrong in (lambda view, n, rng: "abc", lambda view, n, rng: 7, lambda view, n, rng: None):
        with pytest.raises(alkit.errors.SelectionError, match="list of ids"):
            alkit.strategies.FromFunction(wrong).select(numbered(4), 1, rng())


def says(function, **attributes):
    def again(view, n, rng):
        return function(view, n, rng)

    for name, value in attributes.items():
        setattr(again, name, value)
    return again


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: alkit.strategies.Filter(first, then=first),
        lambda: alkit.strategies.Filter(SCORE, then="random"),
        lambda: alkit.strategies.Filter(SCORE, then=first, factor=0),
        lambda: alkit.strategies.Mix({}),
        lambda: alkit.strategies.Mix([first]),
        lambda: alkit.strategies.Mix({first: 0}),
        lambda: alkit.strategies.Mix({first: -1, chance: 2}),
        lambda: alkit.strategies.Mix({"random": 1}),
        lambda: alkit.strategies.Stochastic(SCORE, power=-1),
        lambda: alkit.strategies.Stochastic(first),
        lambda: alkit.strategies.PerCluster(SCORE, "pixels"),
        lambda: alkit.strategies.PerCluster(SCORE, FEATURES, clusters=0),
        lambda: alkit.strategies.DuplicatesLast(first, FEATURES, similarity=1.5),
        lambda: alkit.strategies.DuplicatesLast(Named, FEATURES),
        lambda: alkit.strategies.Uncertainty("entrpy"),
        lambda: alkit.strategies.Uncertainty(7),
        lambda: alkit.strategies.Uncertainty(scores.entropy, sampler="dropout"),
        lambda: alkit.strategies.Uncertainty(lambda average: average),
        lambda: alkit.strategies.Uncertainty(scores.entropy, alkit.Dropout),
        lambda: alkit.strategies.Uncertainty(scores.entropy, reduction="meen"),
        lambda: alkit.strategies.Uncertainty(scores.entropy, reduction=3),
        lambda: alkit.strategies.Mix({first: 1, alkit.strategies.FromFunction(first): 2}),
        lambda: alkit.strategies.FromFunction(says(first, needs="dropout")),
        lambda: alkit.strategies.Uncertainty(int),
        lambda: alkit.strategies.Uncertainty("bald"),
        lambda: alkit.strategies.Uncertainty(scores.variance),
        lambda: alkit.strategies.Uncertainty("edt-variance", alkit.Dropout(1)),
    ],
)
def test_a_wrong_composition_is_an_error_when_it_is_made(wrong):
    with pytest.raises(alkit.errors.ConfigurationError):
        wrong()


@pytest.mark.parametrize(
    "whole",
    [
        alkit.strategies.Filter(SCORE, first),
        alkit.strategies.Mix({first: 1}),
        alkit.strategies.PerCluster(SCORE, FEATURES, 2),
        alkit.strategies.Stochastic(SCORE),
    ],
)
def test_more_images_than_candidates_is_an_error(whole):
    view = twins()
    view.labels = {id: int(id[0] > "b") for id in view.ids}
    with pytest.raises(alkit.errors.SelectionError, match="cannot select 9 images: only"):
        whole.select(view, 9, rng())


class BreaksItsType:
    """Returns ids as a function may, and no selection."""

    def select(self, view, n, rng):
        return view.candidates[:n]


@dataclass(frozen=True)
class Breaks:
    """Selects `more` images than asked for, or images that are not candidates."""

    more: int = 0
    stranger: str = ""

    def select(self, view, n, rng):
        wanted = [self.stranger] * bool(self.stranger) + list(view.candidates)
        return alkit.Selection(tuple(wanted[: n + self.more]))


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        (
            lambda view: alkit.strategies.Filter(SCORE, Breaks(stranger=highest(view, 12)[-1]), factor=2),
            "not candidates",
        ),
        (lambda view: alkit.strategies.Filter(SCORE, Breaks(more=-1)), "wrong number"),
        (lambda view: alkit.strategies.Mix({Named("a"): 1, Breaks(stranger=view.candidates[0]): 1}), "not candidates"),
        (lambda view: alkit.strategies.Mix({Breaks(more=1): 1, Breaks(more=-1): 1}), "wrong number"),
        (lambda view: alkit.strategies.DuplicatesLast(Breaks(more=-1), FEATURES), "wrong number"),
        (lambda view: alkit.strategies.Then(Breaks(more=-1), first, after=9), "Breaks selected the wrong number"),
        (lambda view: alkit.strategies.Then(Breaks(stranger="nobody"), first, after=9), "not candidates"),
        (lambda view: alkit.strategies.Then(BreaksItsType(), first, after=9), "BreaksItsType must return an alkit.Sel"),
        (lambda view: alkit.strategies.DuplicatesLast(Breaks(stranger="a2"), FEATURES), "not candidates"),
        (lambda view: alkit.strategies.FromFunction(Breaks(more=1).select), "wrong number"),
        (lambda view: alkit.strategies.FromFunction(says(lambda view, n, rng: [0, 1, 2, 3])), "look like positions"),
    ],
)
def test_a_part_with_a_wrong_selection_is_named(whole, said):
    view = numbered(20)
    strategy = whole(view)
    if isinstance(strategy, alkit.strategies.DuplicatesLast):
        view = twins()
    with pytest.raises(alkit.errors.SelectionError, match=said) as refused:
        strategy.select(view, 4, rng())
    assert "Breaks" in str(refused.value) or "function" in str(refused.value)


def test_a_ranking_must_score_every_candidate():
    @dataclass(frozen=True)
    class Forgets:
        def select(self, view, n, rng):
            return alkit.Selection(view.candidates[:n])

        def scores(self, view):
            return dict.fromkeys(view.candidates[2:], 1.0)

    for whole in (alkit.strategies.Filter(Forgets(), first), alkit.strategies.Stochastic(Forgets())):
        with pytest.raises(alkit.errors.SelectionError, match=r"Forgets\.scores must .* got no score for 2"):
            whole.select(numbered(9), 2, rng())


def test_the_order_of_a_mix_matters_and_is_kept_in_its_written_form():
    one, other = (
        alkit.strategies.Mix({Named("a"): 1, Named("b"): 1}),
        alkit.strategies.Mix({Named("b"): 1, Named("a"): 1}),
    )
    assert one != other
    assert one == alkit.strategies.Mix({Named("a"): 1, Named("b"): 1})
    assert hash(one) == hash(alkit.strategies.Mix({Named("a"): 1, Named("b"): 1}))
    for mix in (one, other):
        again = rebuild(json.loads(json.dumps(written_form(mix))), packages=["alkit", "tests"])
        assert list(again.parts) == list(mix.parts)
    assert written_form(one) != written_form(other)


def nth(view, n, rng, start=0):
    return view.candidates[start : start + n]


def test_equal_partials_are_the_same_part_of_a_mix_and_lambdas_are_different_parts():
    def ssl(widths):
        return alkit.strategy("ssl-cluster", features=alkit.Reconstruction(partial(alkit.UNet, widths=widths)))

    for one, again in [(ssl((2, 4)), ssl((2, 4))), (partial(nth, start=1), partial(nth, start=1))]:
        with pytest.raises(alkit.errors.ConfigurationError, match="parts must not contain a strategy twice"):
            alkit.strategies.Mix({one: 1, again: 1})
    alkit.strategies.Mix({ssl((2, 4)): 1, ssl((2, 8)): 1})
    alkit.strategies.Mix({partial(nth, start=1): 1, partial(nth, start=2): 1})
    alkit.strategies.Mix(
        {(lambda view, n, rng: view.candidates[:n]): 1, (lambda view, n, rng: view.candidates[-n:]): 1}
    )


def test_the_repr_of_a_partial_has_the_name_of_the_function_and_its_arguments():
    assert repr(alkit.strategies.FromFunction(partial(nth, start=3))) == "FromFunction(partial(nth, start=3))"
    median = partial(torch.quantile, q=0.5)
    assert repr(alkit.strategies.Uncertainty("bald", alkit.Dropout(3), median)) == (
        "Uncertainty('bald', Dropout(draws=3), reduction=partial(quantile, q=0.5))"
    )


def test_a_single_draw_is_an_error_only_if_it_would_give_all_images_the_same_score():
    alkit.strategies.Uncertainty("entropy", alkit.Dropout(1))
    alkit.strategies.Uncertainty("bald", alkit.samplers.Members())
    alkit.strategies.Uncertainty("bald", OwnDraws())


class OwnDraws:
    """A sampler without needs."""

    def sample(self, posterior, stream):
        return posterior.dropout(2, stream)


@dataclass(frozen=True)
class ThirdDraws(OwnDraws):
    """A sampler that declares what it needs."""

    needs = ("dropout", "heads")


@dataclass(frozen=True)
class MoreDropout(alkit.Dropout):
    """A kind of dropout."""


def test_a_sampler_declares_its_needs_and_its_subclasses_inherit_them():
    assert alkit.strategies.Uncertainty("bald", OwnDraws()).needs == ()
    assert alkit.strategies.Uncertainty("bald", ThirdDraws()).needs == ("dropout", "heads")
    assert alkit.strategies.Uncertainty("bald", MoreDropout(3)).needs == ("dropout",)
    assert alkit.strategies.Uncertainty(scores.head_disagreement, MoreDropout(3)).needs == ("heads",)


def test_needs_that_are_text_are_an_error_when_the_experiment_is_made(world):
    words = "the attribute needs of Named must be a tuple of names: got 'members'"
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        world.experiment(strategy=Named("a", needs="members"))


@pytest.mark.parametrize(
    "whole", [lambda part: alkit.strategies.Filter(part, first), lambda part: alkit.strategies.Stochastic(part)]
)
def test_scores_that_are_text_are_an_error_of_alkit(whole):
    class Text(Named):
        def scores(self, view):
            return dict.fromkeys(view.candidates, "high")

    with pytest.raises(alkit.errors.SelectionError, match="scores must be numbers"):
        whole(Text("a")).select(numbered(9), 2, rng())


def test_scores_and_reductions_with_a_name_are_stored_by_it():
    assert alkit.strategies.Uncertainty("margin") == alkit.strategies.Uncertainty(scores.margin)
    assert alkit.strategies.Uncertainty("margin", reduction="total") == alkit.strategies.Uncertainty(
        "margin", reduction=scores.total
    )
    assert alkit.strategies.Uncertainty("margin", reduction=scores.mean) == alkit.strategies.Uncertainty("margin")
    assert alkit.strategy("mc-dropout", score=scores.bald) == alkit.strategy("mc-dropout", score="bald")


@pytest.mark.parametrize("name", ["mc-dropout", "ensemble-s", "ensemble-js"])
def test_the_baselines_that_score_are_rankings(name):
    view = numbered(20)
    chosen = alkit.strategies.Filter(alkit.strategy(name), then=first, factor=2).select(view, 3, rng())
    assert chosen.ids == tuple(sorted(highest(view, 6))[:3])
    assert alkit.strategy(name).scores(view) == dict(view.values)


def test_a_partial_has_the_attributes_of_its_function():
    cold = says(first, starts_cold=False, needs=("dropout",))
    assert not alkit.strategies.FromFunction(partial(cold)).starts_cold
    assert alkit.strategies.FromFunction(partial(partial(cold))).needs == ("dropout",)
    own = partial(cold)
    own.needs = ()
    assert alkit.strategies.FromFunction(own).needs == ()


class Timed(Given):
    """A view that knows how long labels take."""

    def seconds(self):
        return {"a": 10.0, "b": 1.0, "c": 5.0}


def test_a_score_per_second_prefers_what_is_labelled_quickly():
    whole, scores = alkit.strategies.PerSecond(SCORE), {"a": 4.0, "b": 1.0, "c": 3.0}
    found = whole.select(Timed(scores), 2, rng())
    assert (found.ids, found.scores) == (("b", "c"), (1.0, 0.6))
    assert whole.select(Given(scores), 2, rng()).ids == ("a", "c")  # no time is known
    few = alkit.strategies.Filter(SCORE, then=whole, factor=2).select(Timed(scores), 1, rng())
    assert few.ids == ("c",)  # of a and c


def test_a_score_per_second_needs_scores_that_are_not_negative():
    with pytest.raises(alkit.errors.SelectionError, match=r"must return scores >= 0 .*: got -1 for 'a'"):
        alkit.strategies.PerSecond(SCORE).select(Timed({"a": -1.0, "b": 1.0, "c": 0.0}), 1, rng())
