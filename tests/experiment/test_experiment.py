import gc
import itertools
import multiprocessing
import os
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from parts import CLASSES, MeanLearner

import alkit
from alkit.configuration import written_form
from alkit.values import Answer


@dataclass(frozen=True)
class Chooser:
    """Takes whatever a function of view and n returns."""

    choose: object
    starts_cold: bool = True

    def select(self, view, n, rng):
        return self.choose(view, n)


class Plain:
    """A strategy that is no dataclass."""

    def __init__(self, setting):
        self.setting = setting

    def select(self, view, n, rng):
        return alkit.Selection(view.candidates[:n])


def first(view, n):
    return alkit.Selection(view.candidates[:n])


SCHEDULE = {"start": 6, "batch": 4, "rounds": 3}


def outcome(results):
    return [(r.round, r.ids, r.n_labels, dict(r.metrics)) for r in results]


def test_rounds_ask_for_start_then_batch_and_never_twice(world):
    results = world.experiment().run(world.oracle, test=world.test, **SCHEDULE)
    assert [r.round for r in results] == [0, 1, 2, 3]
    assert [len(r.ids) for r in results] == [6, 4, 4, 4]
    assert [r.n_labels for r in results] == [6, 10, 14, 18]
    chosen = [id for r in results for id in r.ids]
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(world.pool.ids)
    assert all(0 <= r.metrics["dice"] <= 1 for r in results)


def test_the_same_seed_gives_the_same_and_another_seed_another(world):
    runs = [outcome(world.experiment(seed=seed).run(world.oracle, test=world.test, **SCHEDULE)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_the_order_of_the_pool_makes_no_difference(world):
    turned = replace(world, pool=world.pool.subset(list(world.pool.ids)[::-1]))
    runs = [outcome(w.experiment().run(w.oracle, test=w.test, **SCHEDULE)) for w in (world, turned)]
    assert runs[0] == runs[1]


def test_steps_by_hand_come_to_the_same_as_rounds(world):
    by_loop = outcome(world.experiment().run(world.oracle, test=world.test, **SCHEDULE))
    experiment = world.experiment(classes=CLASSES)
    for number in range(4):
        ids = experiment.ask(6 if number == 0 else 4)
        experiment.tell({id: world.masks[id] for id in reversed(ids)})
        experiment.fit()
        experiment.evaluate(world.test, world.oracle)
    assert outcome(experiment.history) == by_loop


@pytest.mark.parametrize("stop", range(1, 9))
def test_closing_and_opening_between_any_two_steps_changes_nothing(world, tmp_path, stop):
    expected = outcome(world.experiment().run(world.oracle, test=world.test, start=6, batch=4, rounds=1))
    store = tmp_path / "record.db"
    experiment = world.experiment(store, classes=CLASSES)
    steps = itertools.count(1)

    def again():
        return world.experiment(store) if next(steps) == stop else experiment

    for n in (6, 4):
        ids = experiment.ask(n)
        experiment = again()
        experiment.tell({id: world.masks[id] for id in ids[:3]})
        experiment = again()
        experiment.tell({id: world.masks[id] for id in ids[3:]})
        experiment = again()
        experiment.fit()
        experiment = again()
        experiment.evaluate(world.test, world.oracle)
    assert outcome(experiment.history) == expected


def test_an_open_query_is_repeated_until_it_is_answered(world):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(5)
    assert experiment.ask(5) == ids
    experiment.tell({ids[2]: world.masks[ids[2]]})
    left = (*ids[:2], *ids[3:])
    assert experiment.ask(5) == experiment.ask() == experiment.open_ids == left
    with pytest.raises(alkit.errors.QueryError, match="a query for 5 images is open"):
        experiment.ask(4)
    experiment.tell(dict.fromkeys(left, alkit.SKIP))
    assert experiment.ask() == ()
    assert not set(experiment.ask(3)) & set(ids)  # labelled or skipped, none comes again


def test_telling_is_idempotent_and_conflicts_need_revise(world):
    experiment = world.experiment(classes=CLASSES)
    a, b = experiment.ask(2)
    experiment.tell({a: world.masks[a]})
    experiment.tell({a: world.masks[a].astype(bool)})
    other = 1 - world.masks[a]
    with pytest.raises(alkit.errors.ConflictError, match="revise=True"):
        experiment.tell({b: world.masks[b], a: other})
    assert experiment.open_ids == (b,)  # all of a call or nothing
    with pytest.raises(alkit.errors.ConflictError):
        experiment.tell({a: alkit.SKIP})
    experiment.tell({a: other}, revise=True)
    experiment.tell({b: alkit.SKIP})
    fitted = experiment.fit()
    assert fitted.n_labels == 1
    assert experiment.fit() == fitted  # nothing new, nothing done
    experiment.tell({b: world.masks[b]}, revise=True)
    assert experiment.fit().n_labels == 2
    assert len(experiment.history) == 2


def test_a_revision_reaches_the_next_training(world):
    models = []
    for flipped in (False, True):
        experiment = world.experiment(classes=CLASSES)
        (id,) = experiment.ask(1)
        experiment.tell({id: np.zeros((16, 16), int)})
        experiment.fit()
        if flipped:
            experiment.tell({id: np.ones((16, 16), int)}, revise=True)
            experiment.fit()
        models.append(next(experiment.predict(world.test)).probabilities[:, 1].mean())
    assert models[1] > models[0] + 0.3


def test_withdrawn_images_may_come_again_and_late_answers_still_count(world):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(3)
    experiment.tell({ids[0]: world.masks[ids[0]]})
    assert experiment.withdraw() == ids[1:]
    assert set(ids[1:]) <= set(experiment.candidates)
    again = experiment.ask(39)
    assert set(ids[1:]) <= set(again)
    experiment.withdraw()
    experiment.tell({ids[1]: world.masks[ids[1]]})
    assert experiment.fit().n_labels == 2


def test_single_images_can_be_withdrawn_and_the_others_stay_open(world):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(3)
    experiment.tell({ids[0]: world.masks[ids[0]]})
    for wrong, words in (
        ([ids[1], ids[0]], f"{ids[0]!r} has no open query"),
        (["nobody"], "'nobody' has no open query"),
    ):
        with pytest.raises(alkit.errors.QueryError, match=words):
            experiment.withdraw(wrong)
    with pytest.raises(alkit.errors.ConfigurationError, match="ids must be a list of ids"):
        experiment.withdraw(ids[1])
    assert experiment.open_ids == ids[1:]
    assert experiment.withdraw([ids[1]]) == (ids[1],)
    assert experiment.open_ids == ids[2:]
    assert ids[1] in experiment.candidates
    experiment.tell({ids[2]: world.masks[ids[2]]})
    assert experiment.fit().n_labels == 2


def test_a_second_query_of_a_round_draws_anew(world):
    experiment = world.experiment(classes=CLASSES)
    draws = []
    for _ in range(2):
        draws.append(experiment.ask(5))
        experiment.withdraw()
    assert draws[0] != draws[1]


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ({"nowhere": 0}, alkit.errors.DataError, "not an image of the pool"),
        ({"candidate": 0}, alkit.errors.QueryError, "never asked"),
        ({"asked": np.zeros((8, 8), int)}, alkit.errors.LabelError, "another size"),
        ({"asked": np.zeros((16, 16))}, alkit.errors.LabelError, "wrong type"),
        ({"asked": np.full((16, 16), 2)}, alkit.errors.LabelError, "outside its classes"),
        ({"asked": np.zeros((16, 16, 3), int)}, alkit.errors.LabelError, "not a label map"),
    ],
)
def test_wrong_answers_are_refused_and_nothing_of_the_call_is_recorded(world, labels, error, words):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(2)
    names = {"nowhere": "nowhere", "candidate": experiment.candidates[0], "asked": ids[1]}
    with pytest.raises(error, match=words):
        experiment.tell({ids[0]: world.masks[ids[0]]} | {names[name]: label for name, label in labels.items()})
    assert experiment.open_ids == ids


@pytest.mark.parametrize("n", [0, -1, 41])
def test_a_batch_that_cannot_be_is_refused(world, n):
    with pytest.raises(alkit.errors.ConfigurationError, match="1 to 40"):
        world.experiment().ask(n)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": 0}, "start must be an integer >= 1: got 0"),
        ({"start": "4"}, "start must be an integer >= 1: got '4'"),
        ({"batch": 0}, "batch must be an integer >= 1: got 0"),
        ({"batch": -1}, "batch must be an integer >= 1: got -1"),
        ({"rounds": -1}, "rounds must be an integer >= 0: got -1"),
        (
            {"rounds": 9},
            "the rounds need 42 labels, but the pool has 40 images: got 6 labels in round 0 and 9",
        ),
    ],
)
def test_rounds_that_cannot_be_run_are_refused_before_any_work(world, change, words):
    experiment = world.experiment()
    with pytest.raises(alkit.errors.ConfigurationError, match=words):
        experiment.rounds(world.oracle, test=world.test, **SCHEDULE | change)
    assert experiment.open_ids == ()


def test_a_test_image_in_the_pool_is_refused(world):
    with pytest.raises(alkit.errors.DataError, match="test shares"):
        world.experiment().rounds(world.oracle, test=world.pool.subset(world.pool.ids[:2]), **SCHEDULE)


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        (lambda view, n: alkit.Selection(view.candidates[: n - 1]), "wrong number"),
        (lambda view, n: alkit.Selection([*view.candidates[: n - 1], "stranger"]), "not candidates"),
        (lambda view, n: view.candidates[:n], "must return an alkit"),
    ],
)
def test_a_strategy_that_breaks_its_contract_is_named(world, choose, words):
    experiment = world.experiment(strategy=Chooser(choose))
    with pytest.raises(alkit.errors.SelectionError, match=f"Chooser.*{words}"):
        experiment.ask(3)
    assert experiment.open_ids == ()


def test_a_strategy_that_does_not_say_why_is_named(world):
    def first(view, n, rng):
        return view.candidates[:n]

    experiment = world.experiment(strategy=first)
    experiment.ask(2)
    assert {query.stands_for for query in experiment.queries()} == {"chosen by first"}


def test_scores_and_what_a_pick_stands_for_reach_the_queries(world):
    def choose(view, n):
        return alkit.Selection(view.candidates[:n], scores=range(n), stands_for=[f"group {i}" for i in range(n)])

    experiment = world.experiment(strategy=Chooser(choose))
    ids = experiment.ask(2)
    assert [(q.id, q.rank, q.score, q.stands_for) for q in experiment.queries()] == [
        (ids[0], 0, 0.0, "group 0"),
        (ids[1], 1, 1.0, "group 1"),
    ]


def test_the_view_says_what_is_labelled_and_what_is_left(world):
    seen = []

    def choose(view, n):
        seen.append((view.round, view.labelled, set(view.candidates)))
        return first(view, n)

    results = world.experiment(strategy=Chooser(choose)).run(world.oracle, **SCHEDULE)
    taken = [tuple(id for r in results[:n] for id in r.ids) for n in range(4)]
    assert seen == [(n, taken[n], set(world.pool.ids) - set(taken[n])) for n in range(4)]


def test_initial_chooses_the_start_set_only(world):
    by_id = Chooser(first)
    results = world.experiment(initial=by_id, seed=3).run(world.oracle, **SCHEDULE)
    assert results[0].ids == tuple(sorted(world.pool.ids)[:6])
    assert results[1].ids != tuple(sorted(world.pool.ids)[6:10])


def test_strategies_that_start_warm_share_a_random_start_set(world):
    warm = Chooser(first, starts_cold=False)
    random = world.experiment(seed=5).run(world.oracle, **SCHEDULE)
    results = world.experiment(strategy=warm, seed=5).run(world.oracle, **SCHEDULE)
    assert results[0].ids == random[0].ids
    assert results[1].ids != random[1].ids


class SharedOracle:
    """An oracle from which another thread, which asks for other images, now and then takes all answers."""

    def __init__(self, inner):
        self.inner, self.spec, self.polls = inner, inner.spec, 0

    def ask(self, queries):
        self.inner.ask(queries)

    def poll(self):
        self.polls += 1
        answers = list(self.inner.poll())
        yield from answers if self.polls % 2 == 0 else ()

    def check_labels(self, pool, report=None):
        self.inner.check_labels(pool)


def test_experiments_in_several_threads_share_an_oracle(world, monkeypatch):
    expected = outcome(world.experiment().run(world.oracle, test=world.test, **SCHEDULE))
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("its answers are there after another question"))
    assert outcome(world.experiment().run(SharedOracle(world.oracle), test=world.test, **SCHEDULE)) == expected


@dataclass(frozen=True)
class SlowOracle:
    """Answers one query a poll, the last first, everything twice, and skips one."""

    inner: alkit.MaskOracle
    waiting: list
    skipped: str = ""

    @property
    def spec(self):
        return self.inner.spec

    def ask(self, queries):
        self.waiting.extend(query for query in queries if query not in self.waiting)

    def poll(self):
        if not self.waiting:
            return
        query = self.waiting.pop()
        self.inner.ask([query])
        for answer in self.inner.poll():
            yield from [Answer(query.id, alkit.values.Skip("blurred")) if query.id == self.skipped else answer] * 2


def test_an_oracle_may_answer_late_out_of_order_and_twice(world):
    expected = outcome(world.experiment().run(world.oracle, **SCHEDULE))
    slow = SlowOracle(world.oracle, [])
    assert outcome(world.experiment().run(slow, poll=0, **SCHEDULE)) == expected
    skipped = expected[0][1][2]
    results = world.experiment().run(SlowOracle(world.oracle, [], skipped), poll=0, **SCHEDULE)
    assert [r.n_labels for r in results] == [5, 9, 13, 17]
    assert all(skipped not in r.ids for r in results[1:])


def test_an_invalid_answer_stops_the_loop_with_its_reason_and_keeps_the_valid_ones(world):
    class Half(SlowOracle):
        def poll(self):
            for row, query in enumerate(self.waiting):
                yield Answer(query.id, alkit.values.Invalid("unreadable") if row == 3 else world.masks[query.id])
            self.waiting.clear()

    experiment = world.experiment()
    with pytest.raises(alkit.errors.LabelError, match="unreadable"):
        experiment.run(Half(world.oracle, []), **SCHEDULE)
    assert len(experiment.open_ids) == 1


def test_a_finished_record_is_read_and_more_rounds_go_on(world, tmp_path):
    store = tmp_path / "record.db"
    whole = outcome(world.experiment().run(world.oracle, test=world.test, **SCHEDULE))
    world.experiment(store).run(world.oracle, test=world.test, **SCHEDULE | {"rounds": 1})
    calls = []
    experiment = world.experiment(store, report=calls.append)
    assert outcome(experiment.run(world.oracle, test=world.test, **SCHEDULE | {"rounds": 1})) == whole[:2]
    assert {call.stage for call in calls} == {"round"}
    assert outcome(experiment.run(world.oracle, test=world.test, **SCHEDULE)) == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed: recorded 0, now 1"),
        ({"learner": MeanLearner(noise=0.5)}, "noise: recorded 0.01, now 0.5"),
        ({"strategy": Chooser("x")}, "Chooser"),
        ({"strategy": Plain(2)}, "Plain"),
        ({"initial": Chooser("x")}, "initial"),
        ({"classes": ("skin", "mole")}, "mole"),
    ],
)
def test_another_configuration_is_refused_and_the_difference_shown(world, tmp_path, change, words):
    store = tmp_path / "record.db"
    experiment = world.experiment(store, classes=CLASSES)
    experiment.tell({id: world.masks[id] for id in experiment.ask(1)})
    world.experiment(store)
    with pytest.raises(alkit.errors.ResumeError, match=words):
        world.experiment(store, **change)


def test_before_anything_was_asked_the_settings_may_still_change(world, tmp_path):
    store = tmp_path / "record.db"
    world.experiment(store, classes=CLASSES)
    with pytest.raises(alkit.errors.ConfigurationError):
        world.experiment(store, seed=1).run(world.oracle, **SCHEDULE | {"rounds": 99})
    world.experiment(store, seed=1).rounds(world.oracle, **SCHEDULE | {"batch": 9})
    results = world.experiment(store, seed=2).run(world.oracle, **SCHEDULE)
    assert outcome(results) == outcome(world.experiment(seed=2).run(world.oracle, **SCHEDULE))


def test_another_pool_schedule_or_test_set_is_refused(world, tmp_path):
    store = tmp_path / "record.db"
    next(world.experiment(store).rounds(world.oracle, test=world.test, **SCHEDULE))
    smaller = replace(world, pool=world.pool.subset(world.pool.ids[1:]))
    with pytest.raises(alkit.errors.ResumeError, match=rf"missing: '{world.pool.ids[0]}'"):
        smaller.experiment(store)
    with pytest.raises(alkit.errors.ResumeError, match="batch: recorded 4, now 5"):
        world.experiment(store).rounds(world.oracle, test=world.test, **SCHEDULE | {"batch": 5})
    with pytest.raises(alkit.errors.ResumeError, match="test"):
        world.experiment(store).rounds(world.oracle, test=None, **SCHEDULE)


def test_open_builds_what_was_declared_by_name_or_path(folders, tmp_path, small_network):
    images = alkit.ImagePool(str(folders / "images"), grayscale=True)
    pool, test = images.split(test=4, seed=0)
    oracle = alkit.MaskOracle(str(folders / "masks"), classes=CLASSES)
    learner = alkit.SegmentationLearner(small_network, epochs=(1, 1))
    store = tmp_path / "record.db"
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), store=store, seed=4)
    results = experiment.run(oracle, test=test, start=4, batch=2, rounds=1)
    again = alkit.Experiment.open(store)
    assert (again.pool.ids, again.strategy, again.seed) == (pool.ids, alkit.strategy("random"), 4)
    assert written_form(again.learner) == written_form(learner)
    assert outcome(again.history) == outcome(results)
    whole = again.run(oracle, test=test, start=4, batch=2, rounds=2)
    assert outcome(whole[:2]) == outcome(results)
    a, b = (next(e.predict(test)).probabilities for e in (again, alkit.Experiment.open(store)))
    assert (a == b).all()


def test_open_names_what_has_to_be_passed(world, tmp_path):
    store = tmp_path / "record.db"
    world.experiment(store)
    with pytest.raises(alkit.errors.ConfigurationError, match=r"pool=.*learner="):
        alkit.Experiment.open(store)
    again = alkit.Experiment.open(store, pool=world.pool, learner=world.learner)
    assert again.strategy == alkit.strategy("random")
    with pytest.raises(alkit.errors.StoreError, match=r"missing\.db does not exist"):
        alkit.Experiment.open(tmp_path / "missing.db")


def test_masks_at_the_original_size_are_taken_and_brought_to_the_working_size(tmp_path):
    from PIL import Image

    for row in range(3):
        Image.new("L", (40, 20), row * 100).save(tmp_path / f"{row}.png")
    seen = []

    class Watching(MeanLearner):
        def fit(self, labelled, rng, previous=None, report=None):
            seen.append(labelled.labels(labelled.ids))
            return super().fit(labelled, rng, previous)

    pool = alkit.ImagePool(str(tmp_path), size=10, grayscale=True)
    experiment = alkit.Experiment(pool, Watching(), alkit.strategy("random"), classes=CLASSES)
    a, b, _ = experiment.ask(3)
    large = np.zeros((20, 40), int)
    large[:, 20:] = 1
    experiment.tell({a: large, b: np.ones((10, 10), bool)})
    experiment.withdraw()
    experiment.fit()
    assert seen[0].shape == (2, 10, 10)
    assert (seen[0][0] == np.repeat([[0, 1]], 5, axis=1)).all()


def test_predictions_cover_any_pool_in_batches(world):
    experiment = world.experiment()
    experiment.run(world.oracle, **SCHEDULE)
    batches = list(experiment.predict(world.test))
    assert [id for batch in batches for id in batch.ids] == list(world.test.ids)
    assert all(batch.labels.shape == (len(batch.ids), 16, 16) for batch in batches)


def test_there_is_nothing_to_predict_or_evaluate_before_the_first_fit(world):
    experiment = world.experiment(classes=CLASSES)
    with pytest.raises(alkit.errors.QueryError, match="no model"):
        next(experiment.predict(world.test))
    with pytest.raises(alkit.errors.QueryError, match="no model"):
        experiment.evaluate(world.test, world.oracle)
    with pytest.raises(alkit.errors.QueryError, match="no label"):
        experiment.fit()


def test_without_classes_telling_says_what_is_missing(world):
    experiment = world.experiment()
    (id,) = experiment.ask(1)
    with pytest.raises(alkit.errors.ConfigurationError, match="classes="):
        experiment.tell({id: world.masks[id]})


def test_an_empty_pool_and_repeated_ids_are_refused():
    class Pool:
        ids = ()

    with pytest.raises(alkit.errors.DataError, match="pool must contain at least one image"):
        alkit.Experiment(Pool(), MeanLearner(), alkit.strategy("random"))
    Pool.ids = ("a", "a")
    with pytest.raises(alkit.errors.DataError, match="'a'"):
        alkit.Experiment(Pool(), MeanLearner(), alkit.strategy("random"))


def test_a_pool_needs_no_more_than_the_protocol(world):
    class Plain:
        ids = world.pool.ids

        def read(self, ids):
            return world.pool.read(ids)

    plain = replace(world, pool=Plain())
    assert outcome(plain.experiment().run(world.oracle, test=world.test, **SCHEDULE)) == outcome(
        world.experiment().run(world.oracle, test=world.test, **SCHEDULE)
    )


def test_global_generators_and_threads_are_left_as_found(world, tmp_path, monkeypatch):
    before = torch.get_num_threads()
    store = tmp_path / "record.db"
    world.experiment(store)
    torch.set_num_threads(before + 1)
    try:
        state, legacy = torch.random.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
        seen, fit = [], MeanLearner.fit

        def watched(*arguments):
            seen.append(torch.get_num_threads())
            return fit(*arguments)

        monkeypatch.setattr(MeanLearner, "fit", watched)

        alkit.Experiment.open(store, pool=world.pool, learner=world.learner)  # the record knows the learner
        experiment = world.experiment(store)
        experiment.run(world.oracle, test=world.test, **SCHEDULE)
        assert set(seen) == {before}  # the number the record was begun with
        assert torch.get_num_threads() == before + 1
        assert state.equal(torch.random.get_rng_state())
        assert legacy == repr(np.random.get_state())  # noqa: NPY002
    finally:
        torch.set_num_threads(before)


def _race(store, results, barrier):
    images, masks = alkit.synthetic.lesions(60, size=16, seed=0)
    pool, test = alkit.ArrayPool(images).split(test=20, seed=0)
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=CLASSES)
    barrier.wait(60)
    experiment = alkit.Experiment(pool, MeanLearner(), alkit.strategy("random"), store=store)
    results.put(outcome(experiment.run(oracle, test=test, **SCHEDULE)))


@pytest.mark.slow  # tests/record/test_races.py runs by default
def test_two_processes_on_one_record_come_to_what_one_would(world, tmp_path):
    expected = outcome(world.experiment().run(world.oracle, test=world.test, **SCHEDULE))
    context = multiprocessing.get_context("spawn")
    results, barrier = context.Queue(), context.Barrier(2)
    children = [context.Process(target=_race, args=(tmp_path / "r.db", results, barrier)) for _ in range(2)]
    for child in children:
        child.start()
    assert [results.get(timeout=120) for _ in children] == [expected, expected]
    for child in children:
        child.join()


def test_a_record_made_with_a_relative_path_opens_from_any_folder(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders)
    pool = alkit.ImagePool("images", grayscale=True)
    alkit.Experiment(pool, MeanLearner(), alkit.strategy("random"), store="record.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = alkit.Experiment.open(folders / "record.db", learner=MeanLearner())
    assert again.pool.ids == pool.ids


def test_a_second_query_of_one_round_is_repeated_as_asked(world):
    experiment = world.experiment(classes=CLASSES)
    experiment.tell({id: world.masks[id] for id in experiment.ask(5)})
    ids = experiment.ask(3)
    assert experiment.ask(3) == ids
    experiment.tell({ids[0]: world.masks[ids[0]]})
    experiment.withdraw()
    again = experiment.ask(4)
    experiment.tell({again[1]: world.masks[again[1]]})
    assert experiment.ask(4) == (again[0], *again[2:])


def test_rounds_complete_what_was_begun_by_hand(world):
    for told, withdrawn in ((3, False), (1, True)):
        experiment = world.experiment(classes=CLASSES)
        ids = experiment.ask(3)
        experiment.tell({id: world.masks[id] for id in ids[:told]})
        if withdrawn:
            experiment.withdraw()
        results = experiment.run(world.oracle, **SCHEDULE)
        assert [len(r.ids) for r in results] == [6, 4, 4, 4]
        assert set(ids[:told]) <= set(results[0].ids)
    experiment = world.experiment()
    experiment.ask(7)
    with pytest.raises(alkit.errors.QueryError, match="more queries than its schedule"):
        experiment.run(world.oracle, **SCHEDULE)
    # Nothing was declared, so the right schedule can follow.
    results = experiment.run(world.oracle, **{**SCHEDULE, "start": 7, "rounds": 0})
    assert [len(r.ids) for r in results] == [7]


def test_skips_alone_are_nothing_to_learn_from(world):
    experiment = world.experiment(classes=CLASSES)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    fitted = experiment.fit()
    experiment.tell(dict.fromkeys(experiment.ask(2), alkit.SKIP))
    assert experiment.fit() == fitted
    assert len(experiment.history) == 1


def test_each_oracle_is_measured_by_its_own_masks(world):
    experiment = world.experiment()
    experiment.run(world.oracle, test=world.test, **SCHEDULE)
    turned = alkit.MaskOracle({id: 1 - mask for id, mask in world.masks.items()}, classes=CLASSES)
    recorded = dict(experiment.history[-1].metrics)
    assert experiment.evaluate(world.test, world.oracle) == recorded
    assert experiment.evaluate(world.test, turned) != recorded


def test_figures_of_another_test_set_do_not_replace_those_of_the_schedule(world):
    experiment = world.experiment()
    before = outcome(experiment.run(world.oracle, test=world.test, **SCHEDULE))
    other = world.test.subset(world.test.ids[:3])
    assert experiment.evaluate(other, world.oracle) != before[-1][-1]
    assert outcome(experiment.history) == before
    with pytest.raises(alkit.errors.DataError, match="test shares 40 images"):
        experiment.evaluate(world.pool, world.oracle)


def test_a_large_test_set_is_measured_image_by_image():
    """More images than one batch, each with a figure of its own."""
    masks = {}
    for row in range(150):
        mask = np.zeros((4, 150), np.uint8)
        mask[:, : row + 1] = 1
        masks[f"{row:03}"] = mask
    pool = alkit.ArrayPool({f"p{row}": np.zeros((4, 150), np.uint8) for row in range(2)})
    test = alkit.ArrayPool({id: mask * 255 for id, mask in masks.items()})

    class Echo(MeanLearner):
        def fit(self, *arguments):
            return EchoPredictor()

    oracle = alkit.MaskOracle(masks | {f"p{row}": masks["001"] for row in range(2)}, classes=CLASSES)
    experiment = alkit.Experiment(pool, Echo(), alkit.strategy("random"))
    (result,) = experiment.run(oracle, test=test, start=1, batch=1, rounds=0)
    assert result.metrics["dice"] == 1.0  # every prediction meets its own mask


class EchoPredictor:
    def probabilities(self, images):
        return np.concatenate([1 - images, images], axis=1).astype(np.float32)

    def dumps(self):
        return b"echo"


def test_a_missing_test_mask_is_found_before_the_training(world):
    class Never(MeanLearner):
        def fit(self, *arguments):
            raise AssertionError("trained")

    masks = {id: mask for id, mask in world.masks.items() if id != world.test.ids[-1]}
    experiment = world.experiment(learner=Never())
    with pytest.raises(alkit.errors.LabelError, match=world.test.ids[-1]):
        experiment.run(alkit.MaskOracle(masks, classes=CLASSES), test=world.test, **SCHEDULE)


def test_an_oracle_may_answer_late_about_the_test_set_too(world):
    expected = outcome(world.experiment().run(world.oracle, test=world.test, **SCHEDULE))
    slow = SlowOracle(world.oracle, [])
    assert outcome(world.experiment().run(slow, test=world.test, poll=0, **SCHEDULE)) == expected


def test_answers_about_the_pool_that_come_while_measuring_are_kept(world):
    experiment = world.experiment(classes=CLASSES)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    experiment.fit()
    ids = experiment.ask(2)
    world.oracle.ask(experiment.queries())
    experiment.evaluate(world.test, world.oracle)
    assert experiment.open_ids == ()
    assert not set(ids) & set(experiment.candidates)


def test_a_late_answer_takes_its_image_from_the_candidates(world):
    experiment = world.experiment(classes=CLASSES)
    a, b = experiment.ask(2)
    experiment.withdraw()
    experiment.tell({a: world.masks[a]})
    assert a not in experiment.candidates
    assert b in experiment.candidates


@pytest.mark.parametrize("n", ["3", 2.0, [1]])
def test_a_number_that_is_none_is_refused(world, n):
    with pytest.raises(alkit.errors.ConfigurationError, match="n must be an integer"):
        world.experiment().ask(n)


def test_a_mask_that_is_no_array_is_refused(world):
    experiment = world.experiment(classes=CLASSES)
    (id,) = experiment.ask(1)
    for label in ([[1, 0], [1]], "mask", None):
        with pytest.raises(alkit.errors.LabelError):
            experiment.tell({id: label})


def test_the_batch_may_not_be_larger_than_what_is_left_after_skips(world):
    experiment = world.experiment(classes=CLASSES)
    experiment.tell(dict.fromkeys(experiment.ask(38), alkit.SKIP))
    with pytest.raises(alkit.errors.ConfigurationError, match="1 to 2"):
        experiment.ask(3)


def test_a_strategy_that_needs_a_model_cannot_be_the_initial_one(world):
    with pytest.raises(alkit.errors.ColdStartError, match=r"Chooser.*initial=alkit\.strategy\('random'\) or initial="):
        world.experiment(initial=Chooser(first, starts_cold=False))


def test_classes_in_one_string_are_refused(world):
    with pytest.raises(alkit.errors.ConfigurationError, match="must be a sequence of names"):
        world.experiment(classes="ab")


def test_every_use_of_chance_has_a_stream_of_its_own(world):
    """All numbers that selections and trainings draw first differ from each other."""
    drawn = []

    class Drawing(MeanLearner):
        def fit(self, labelled, rng, previous=None, report=None):
            drawn.append(rng.random())
            return super().fit(labelled, rng, previous)

    class Strategy:
        def select(self, view, n, rng):
            drawn.append(rng.random())
            return first(view, n)

    world.experiment(learner=Drawing(), strategy=Strategy()).run(world.oracle, **SCHEDULE)
    assert len(drawn) == len(set(drawn)) == 8


def test_a_model_another_process_committed_is_the_one_that_predicts(world, tmp_path):
    store = tmp_path / "record.db"
    ours, theirs = world.experiment(store, classes=CLASSES), world.experiment(store)
    ours.tell({id: world.masks[id] for id in ours.ask(3)})
    ours.fit()
    before = next(ours.predict(world.test)).probabilities
    theirs.tell({id: world.masks[id] for id in theirs.ask(9)})
    theirs.fit()
    after = next(ours.predict(world.test)).probabilities
    assert (after == next(theirs.predict(world.test)).probabilities).all()
    assert (after != before).any()


def test_the_loop_body_of_predictions_runs_on_the_callers_threads(world):
    experiment = world.experiment()
    experiment.run(world.oracle, **SCHEDULE)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        for _ in experiment.predict(world.test):
            assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_selections_compute_on_the_recorded_threads(world):
    before, seen = torch.get_num_threads(), []

    def choose(view, n):
        seen.append(torch.get_num_threads())
        return first(view, n)

    experiment = world.experiment(strategy=Chooser(choose))
    torch.set_num_threads(before + 1)
    try:
        experiment.ask(1)
    finally:
        torch.set_num_threads(before)
    assert seen == [before]


CALLS: list[str] = []


@dataclass(frozen=True)
class Brightness:
    """A feature extractor that remembers what was asked of it."""

    def fit(self, pool, rng, report=None):
        CALLS.append("fit")
        return self

    def features(self, images):
        CALLS.append("features")
        return images.reshape(len(images), -1)[:, ::32]


def test_features_and_clusters_are_computed_once_and_clusters_survive_the_process(world, tmp_path):
    CALLS.clear()
    strategy = alkit.strategy("ssl-cluster", features=Brightness(), clusters=3)
    results = world.experiment(strategy=strategy).run(world.oracle, **SCHEDULE)
    assert CALLS == ["fit", "features"]
    assert len({id for r in results for id in r.ids}) == 18

    store = tmp_path / "record.db"
    first_ids = world.experiment(store, strategy, classes=CLASSES).ask(5)
    said = []
    again = world.experiment(store, strategy, report=said.append)
    again.withdraw()
    assert again.ask(5) == first_ids  # the next of the same order, which nobody has labelled
    assert "features" not in {progress.stage for progress in said}


def test_fewer_images_than_clusters_are_chosen_from_all_the_same(world):
    few = replace(world, pool=world.pool.subset(world.pool.ids[:4]))
    strategy = alkit.strategy("ssl-cluster", features=Brightness(), clusters=10)
    results = few.experiment(strategy=strategy).run(world.oracle, start=2, batch=1, rounds=2)
    assert {id for r in results for id in r.ids} == set(few.pool.ids)


def test_the_clusters_of_another_seed_are_not_taken_over(world, tmp_path):
    store, strategy = tmp_path / "record.db", alkit.strategy("ssl-cluster", features=Brightness(), clusters=3)
    with pytest.raises(alkit.errors.ConfigurationError):
        world.experiment(store, strategy).ask(41)
    experiment = world.experiment(store, strategy, seed=3)
    assert experiment.ask(6) == world.experiment(strategy=strategy, seed=3).ask(6)


@pytest.mark.parametrize("part", [object(), Chooser, 3])
def test_what_is_no_strategy_or_learner_is_refused_at_once(world, part):
    with pytest.raises(alkit.errors.ConfigurationError, match="must be a strategy"):
        world.experiment(strategy=part)
    with pytest.raises(alkit.errors.ConfigurationError, match="learner must be an object with the methods"):
        world.experiment(learner=part)


@pytest.mark.parametrize("oracle", ["masks", {"a": 0}, 3, alkit.MaskOracle])
def test_an_argument_that_is_not_an_oracle_is_refused_at_once(world, oracle):
    experiment = world.experiment()
    for call in (
        lambda: experiment.rounds(oracle, test=world.test, **SCHEDULE),
        lambda: experiment.send(oracle),
        lambda: experiment.collect(oracle),
    ):
        with pytest.raises(alkit.errors.ConfigurationError, match="oracle must be an object with spec and the methods"):
            call()


def test_a_folder_in_place_of_a_pool_is_refused_at_once(world):
    experiment = world.experiment(classes=CLASSES)
    with pytest.raises(alkit.errors.DataError, match=r"pool must be a pool, .*Try: alkit\.ImagePool\('images'\)"):
        alkit.Experiment("images", world.learner, alkit.strategy("random"))
    with pytest.raises(alkit.errors.DataError, match=r"test must be a pool, .*: got an object of type float"):
        experiment.rounds(world.oracle, test=0.2, **SCHEDULE)
    with pytest.raises(alkit.errors.DataError, match="pool must be a pool"):
        next(experiment.predict("images"))


@pytest.mark.parametrize("labels", [[0], "skip", 3])
def test_labels_without_ids_are_refused(world, labels):
    with pytest.raises(alkit.errors.ConfigurationError, match="labels must be a mapping from ids to labels"):
        world.experiment(classes=CLASSES).tell(labels)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
def test_the_end_of_an_experiment_in_a_fork_leaves_its_temporary_record(world):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(2)
    if not (child := os.fork()):
        try:
            del experiment
            gc.collect()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert experiment.ask() == ids
    folder = experiment._parts.store.path.parent
    del experiment
    gc.collect()
    assert not folder.exists()
