"""Strategies made of strategies, and what happens before there is a model."""

from dataclasses import dataclass

import pytest

import alkit
from alkit import scores


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


COLD, WARM = Named("cold", needs=("features",)), Named("warm", starts_cold=False, needs=("dropout",))


def chosen_by(experiment):
    return {query.stands_for for query in experiment.queries()}


def test_then_goes_on_with_the_other_from_so_many_labels_on(world, tmp_path):
    experiment = world.experiment(tmp_path / "r.db", alkit.Then(COLD, WARM, after=8), classes=("skin", "lesion"))
    turns = []
    for _ in range(4):
        ids = experiment.ask(3)
        turns.append(chosen_by(experiment))
        experiment.tell({id: world.masks[id] for id in ids})
        experiment.fit()
    assert turns == [{"cold"}, {"cold"}, {"cold"}, {"warm"}]  # at 0, 3, 6 and 9 labels


def test_skips_are_no_labels_for_then(world, tmp_path):
    experiment = world.experiment(tmp_path / "r.db", alkit.Then(COLD, WARM, after=3), classes=("skin", "lesion"))
    ids = experiment.ask(3)
    experiment.tell({ids[0]: alkit.SKIP, **{id: world.masks[id] for id in ids[1:]}})
    experiment.fit()
    experiment.ask(2)
    assert chosen_by(experiment) == {"cold"}


def test_then_needs_what_both_need_and_starts_as_the_first_does():
    both = alkit.Then(COLD, WARM, after=1)
    assert both.starts_cold
    assert not alkit.Then(WARM, COLD, after=1).starts_cold
    assert both.needs == ("features", "dropout")
    assert alkit.Then(both, alkit.Then(WARM, COLD, 9), 5).needs == ("features", "dropout")


def test_then_is_recorded_and_built_again(world, tmp_path):
    strategy = alkit.Then(alkit.strategy("random"), alkit.strategy("mc-dropout", draws=3), after=8)
    images, _ = alkit.synthetic.lesions(8, size=16)
    pool = alkit.ArrayPool(images)
    learner = alkit.SegmentationLearner()
    alkit.Experiment(pool, learner, strategy, store=tmp_path / "r.db")
    assert alkit.Experiment.open(tmp_path / "r.db", pool=pool).strategy == strategy
    assert repr(strategy).startswith("Then(cold=Random(), warm=MCDropout(draws=3")


@pytest.mark.parametrize(
    "wrong", [{"after": 0}, {"after": 2.5}, {"after": True}, {"cold": "random"}, {"warm": Named}], ids=str
)
def test_then_refuses_what_cannot_be(wrong):
    with pytest.raises(alkit.ConfigurationError):
        alkit.Then(**{"cold": COLD, "warm": WARM, "after": 3, **wrong})


def test_a_warm_strategy_is_preceded_by_random_and_can_say_so_itself(world, tmp_path):
    default = world.experiment(tmp_path / "a.db", WARM)
    plain = world.experiment(tmp_path / "b.db", alkit.strategy("random"))
    assert default.ask(6) == plain.ask(6)
    given = world.experiment(tmp_path / "c.db", WARM, initial=COLD)
    given.ask(6)
    assert chosen_by(given) == {"cold"}
    with pytest.raises(alkit.ColdStartError, match="random"):
        world.experiment(tmp_path / "d.db", COLD, initial=WARM)


@pytest.mark.parametrize("question", [lambda v: v.scores(scores.entropy), lambda v: next(v.predictions())], ids=str)
def test_asking_for_a_model_that_is_not_there_names_strategies_that_need_none(world, tmp_path, question):
    class Hasty:
        """Does not say that it needs a model."""

        def select(self, view, n, rng):
            question(view)

    with pytest.raises(alkit.ColdStartError, match=r"random or ssl-cluster"):
        world.experiment(tmp_path / "r.db", Hasty()).ask(3)


def test_scores_are_of_the_candidates_and_asking_twice_is_free(world, tmp_path):
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
