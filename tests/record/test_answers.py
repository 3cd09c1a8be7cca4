"""Answers of people arrive late, out of order, several times, revised, partly wrong, and from several annotators."""

from functools import partial
from itertools import permutations
from multiprocessing import get_context
from unittest.mock import Mock

import numpy as np
import pytest
from parts import MeanLearner

import alkit
from alkit import SKIP, Answer
from alkit.configuration import written_form
from alkit.errors import StoreError
from alkit.record import Store, Terms
from alkit.record.settings import Settings
from alkit.values import Invalid, Skip, State, Withdrawal


@pytest.fixture
def world():
    return alkit.synthetic.lesions(12, size=16)


def campaign(world, path=None, **terms):
    images, _ = world
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), device="cpu")
    return alkit.Experiment(
        alkit.ArrayPool(images), learner, alkit.strategy("random"), path, classes=("skin", "lesion"), **terms
    )


def mask_of(world, id, shift=0):
    return np.roll(world[1][int(id)], shift, axis=0)


def states(experiment):
    return {standing.query.id: standing.state for standing in experiment.standings()}


def test_a_receipt_lists_new_unchanged_and_refused_answers(world):
    experiment = campaign(world)
    a, b, c = experiment.ask(3)
    answers = [
        Answer(a, mask_of(world, a), "ann", 1),
        Answer(b, Skip("blurred"), "ann", 1),
        Answer(c, mask_of(world, c)[:3], "ann", 1),
        Answer("nobody's", SKIP, "ann", 1),
        Answer("\udcff", SKIP, "ann", 1),  # not Unicode, as in some file names
    ]
    receipt = experiment.receive(answers)
    assert [answer.id for answer in receipt.taken] == [a, b]
    (small, size), (stranger, unknown), (not_unicode, _) = receipt.refused
    assert (small.id, stranger.id, not_unicode.id) == (c, "nobody's", "\udcff")
    assert "another size" in size
    assert "not an image of the pool" in unknown
    assert states(experiment) == {a: State.ANSWERED, b: State.SKIPPED, c: State.PENDING}
    again = experiment.receive(answers)
    assert [answer.id for answer in again.unchanged] == [a, b]
    assert again.taken == ()
    assert len(experiment.answers()) == 3  # the invalid one is kept, once


def test_the_order_of_arrival_does_not_matter(world):
    a = campaign(world).ask(1)[0]
    answers = [
        Answer(a, mask_of(world, a), "ann", 10),
        Answer(a, SKIP, "ann", 20),
        Answer(a, mask_of(world, a, 2), "ann", 30),
        Answer(a, Invalid("half of it is missing"), "ann", 40),
    ]
    for order in [*permutations(answers)][::3]:
        experiment = campaign(world)
        experiment.ask(1)
        for answer in (*order, *order):
            experiment.receive([answer])
        (standing,) = experiment.standings()
        assert standing.state == State.ANSWERED
        assert [(one.kind, one.revision) for one in standing.answers] == [("invalid", 40), ("label", 30)]
        assert len(experiment.answers()) == 4


def test_two_answers_of_one_revision_are_refused(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    experiment.receive([Answer(a, mask_of(world, a), "ann", 1)])
    ((_, reason),) = experiment.receive([Answer(a, mask_of(world, a, 1), "ann", 1)]).refused
    assert "is recorded with another answer" in reason


def test_an_answer_may_be_taken_back_before_it_arrives(world):
    for order in permutations([(mask_of(world, "0010"), 1), (Withdrawal("wrong image"), 2), (Withdrawal(), 4)]):
        experiment = campaign(world)
        assert experiment.ask(1) == ("0010",)
        for label, revision in (*order, *order):
            assert not experiment.receive([Answer("0010", label, "ann", revision)]).refused
        assert experiment.open_ids == ("0010",)
        assert len(experiment.answers()) == 3


def test_an_invalid_answer_does_not_block_a_valid_one_of_the_same_revision(world):
    answers = {
        "small": lambda a: Answer(a, mask_of(world, a)[:3], "ann", 5),
        "right": lambda a: Answer(a, mask_of(world, a), "ann", 5),
        "strange": lambda a: Answer(a, mask_of(world, a) * 7, "ann", 5),
    }
    for order in permutations(answers):
        experiment = campaign(world)
        a, b = experiment.ask(2)
        for name in (*order, *order):
            experiment.receive([answers[name](a), Answer(b, SKIP, "ann", 1)])
        assert states(experiment) == {a: State.ANSWERED, b: State.SKIPPED}
        assert sorted(one.kind for one in experiment.answers()) == ["invalid", "invalid", "label", "skip"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"revision": 1.5}, "revision must be an integer"),
        ({"revision": -1}, "revision must be an integer"),
        ({"revision": 2**63}, "revision must be an integer"),
        ({"seconds": float("nan")}, "seconds must be a number"),
        ({"seconds": "long"}, "seconds must be a number"),
        ({"annotator": "\udcff"}, "annotator must be Unicode text"),
        ({"annotator": None}, "annotator must be Unicode text"),
        ({"label": Invalid("no file \udcff")}, "no file"),
    ],
)
def test_an_answer_that_cannot_be_stored_is_refused_and_the_others_are_taken(world, wrong, reason):
    experiment = campaign(world)
    a, b = experiment.ask(2)
    answers = [
        Answer(a, **{"label": mask_of(world, a), "annotator": "ann", "revision": 1, **wrong}),
        Answer(b, mask_of(world, b), "ann", np.int64(1), np.float32(7.5)),
    ]
    for _ in range(2):
        ((_, said),) = experiment.receive(answers).refused
        assert reason in said
    assert states(experiment) == {a: State.PENDING, b: State.ANSWERED}
    assert [(one.id, one.kind, one.revision, one.seconds) for one in experiment.answers()] == [
        (a, "invalid", 1, None),
        (b, "label", 1, 7.5),
    ]


def test_a_wrong_answer_without_a_revision_is_recorded_once(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    labels = mask_of(world, a)[:3], mask_of(world, a) * 7, mask_of(world, a)
    for _ in range(3):
        experiment.receive([Answer(a, label, "ann") for label in labels])
    assert [one.kind for one in experiment.answers()] == ["invalid", "invalid", "label"]


def test_an_answer_without_a_revision_gets_the_greatest_one(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    experiment.receive([Answer(a, SKIP, "ann", 7)])
    experiment.receive([Answer(a, mask_of(world, a), "ann")])
    assert [one.revision for one in experiment.standings()[0].answers] == [8]


@pytest.mark.parametrize("revision", [None, 3, 1_700_000_000 * 10**9])
def test_an_answer_without_a_revision_is_later_than_those_of_all_annotators(world, revision, seen):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    first, later = mask_of(world, a), 1 - mask_of(world, a)
    experiment.receive([Answer(a, first, "zoe", revision)])
    experiment.tell({a: later}, annotator="lead")
    experiment.fit()
    np.testing.assert_array_equal(seen[-1].labels([a])[0], later)  # by the rule "one"
    experiment.tell({a: first}, annotator="zoe", unasked=True, revise=True, source="corrected")
    experiment.fit()
    np.testing.assert_array_equal(seen[-1].labels([a])[0], later)  # zoe repeats what she has said
    experiment.tell({a: 0 * first}, annotator="ann", unasked=True, revise=True, source="corrected")
    experiment.fit()
    np.testing.assert_array_equal(seen[-1].labels([a])[0], 0 * first)


def test_an_answer_that_was_taken_back_opens_the_query_again(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    ((_, reason),) = experiment.receive([Answer(a, Withdrawal(), "ann")]).refused
    assert "has no answer" in reason
    experiment.receive([Answer(a, mask_of(world, a), "ann", 2)])
    assert experiment.open_ids == ()
    experiment.receive([Answer(a, Withdrawal("wrong image"), "ann", 3)])
    assert experiment.open_ids == (a,)
    experiment.tell({a: mask_of(world, a)}, annotator="ann", revise=True)
    assert experiment.open_ids == ()


def test_a_query_waits_for_all_annotators_and_their_labels_are_joined(world, seen):
    experiment = campaign(world, annotators=3, join="majority")
    (a,) = experiment.ask(1)
    truth = mask_of(world, a)
    for name, label in (("ann", truth), ("bob", mask_of(world, a, 8))):
        experiment.tell({a: label}, annotator=name)
    assert states(experiment) == {a: State.PARTIAL}
    assert experiment.standings()[0].missing == 1
    with pytest.raises(alkit.errors.QueryError, match=r"^1 image of the open query lacks an answer"):
        experiment.fit()
    experiment.tell({a: truth}, annotator="eve")
    experiment.fit()
    np.testing.assert_array_equal(seen[0].labels([a])[0], truth)
    assert states(experiment) == {a: State.CONSUMED}


def test_a_label_that_is_given_again_with_a_later_revision_is_trained_on(world, seen):
    experiment = campaign(world, annotators=2, join="one")
    (a,) = experiment.ask(1)
    experiment.receive([Answer(a, mask_of(world, a), "ann", 5), Answer(a, mask_of(world, a, 3), "bob", 6)])
    experiment.fit()
    experiment.receive([Answer(a, mask_of(world, a), "ann", 7)])
    assert states(experiment) == {a: State.STALE}
    assert experiment.fit().round == 1
    np.testing.assert_array_equal(seen[-1].labels([a])[0], mask_of(world, a))
    assert states(experiment) == {a: State.CONSUMED}
    assert experiment.fit().round == 1


def test_the_result_of_a_join_is_checked_like_any_label(world):
    experiment = campaign(world, annotators=2, join=lambda labels, spec: labels[0] + 7)
    (a,) = experiment.ask(1)
    for name, shift in (("ann", 0), ("bob", 1)):
        experiment.tell({a: mask_of(world, a, shift)}, annotator=name)
    with pytest.raises(alkit.errors.LabelError, match="outside its classes"):
        experiment.fit()


def test_an_answer_that_was_sent_back_does_not_count_until_a_new_one_arrives(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    answer = Answer(a, mask_of(world, a), "ann", 1)
    experiment.receive([answer])
    with pytest.raises(alkit.errors.QueryError, match="of 'bob'"):
        experiment.reject(a, "sloppy", "bob")
    for reason in ("", " ", None):
        with pytest.raises(alkit.errors.ConfigurationError, match="reason must say what is wrong with the answer"):
            experiment.reject(a, reason)
    experiment.reject(a, "the border is missing", "ann")
    (standing,) = experiment.standings()
    assert (standing.state, standing.answers[0].rejected) == (State.REJECTED, "the border is missing")
    assert experiment.open_ids == (a,)
    for revision in (1, 2, None):  # delivered once more, also with another date, it is sent back all the same
        ((_, reason),) = experiment.receive([Answer(a, mask_of(world, a), "ann", revision)]).refused
        assert "was sent back: the border is missing" in reason
    assert experiment.open_ids == (a,)
    experiment.receive([Answer(a, mask_of(world, a, 1), "ann", 2)])
    assert states(experiment) == {a: State.ANSWERED}


def test_the_same_answer_at_a_later_time_is_unchanged(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    experiment.receive([Answer(a, mask_of(world, a), "ann", 1)])
    experiment.fit()
    receipt = experiment.receive([Answer(a, mask_of(world, a), "ann", 3)])
    assert (len(receipt.taken), len(receipt.unchanged)) == (0, 1)
    experiment.receive([Answer(a, mask_of(world, a, 2), "ann", 2)])  # and what was said between the two is outdated
    assert states(experiment) == {a: State.CONSUMED}


def prelabelled(world):
    """Return an experiment with one open query, its id, and what the model predicts of it."""
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    experiment.tell({a: mask_of(world, a)})
    experiment.fit()
    (b,) = experiment.ask(1)
    return experiment, b, experiment.prelabels()[b]


def test_a_confirmed_prelabel_stays_confirmed_when_it_arrives_again(world):
    experiment, b, prelabel = prelabelled(world)
    assert experiment.receive([Answer(b, prelabel, "ann", 1, confirmed=True)]).taken
    assert experiment.receive([Answer(b, prelabel, "ann", 2)]).unchanged


def test_a_full_disk_does_not_make_an_answer_invalid(world, monkeypatch):
    experiment = campaign(world)
    (a,) = experiment.ask(1)

    def full(*_):
        raise alkit.errors.StoreError("no room")

    monkeypatch.setattr(Store, "keep", full)
    with pytest.raises(alkit.errors.StoreError, match="no room"):
        experiment.receive([Answer(a, mask_of(world, a), "ann", 1)])
    assert experiment.answers() == ()


def test_metrics_on_a_test_set_do_not_replace_those_on_held_out_labels(world):
    experiment = campaign(world, hold_out=0.5, seed=1)
    ids = experiment.ask(8)
    experiment.tell({id: mask_of(world, id) for id in ids})
    held = experiment.fit().metrics
    test = alkit.ArrayPool(world[0][:2], ids=["x", "y"])
    oracle = alkit.MaskOracle(dict(zip(["x", "y"], world[1][:2], strict=True)), ("skin", "lesion"))
    assert experiment.evaluate(test, oracle) != held
    assert experiment.history[-1].metrics == held


def test_a_label_revised_after_it_was_trained_on_is_stale_until_the_next_model(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    experiment.tell({a: mask_of(world, a)})
    first = experiment.fit()
    assert states(experiment) == {a: State.CONSUMED}
    experiment.tell({a: mask_of(world, a, 2)}, revise=True)
    assert states(experiment) == {a: State.STALE}
    assert experiment.fit().round == first.round + 1
    assert states(experiment) == {a: State.CONSUMED}


def test_an_untouched_prelabel_is_refused_unless_it_is_confirmed(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    assert experiment.prelabels() == {}  # there is no model yet
    experiment.tell({a: mask_of(world, a)})
    experiment.fit()
    (b,) = experiment.ask(1)
    prelabel = experiment.prelabels()[b]
    assert prelabel.shape == (16, 16)
    np.testing.assert_array_equal(experiment.prelabels()[b], prelabel)
    with pytest.raises(alkit.errors.LabelError, match="untouched"):
        experiment.tell({b: prelabel})
    ((_, reason),) = experiment.receive([Answer(b, prelabel, "ann", 1)]).refused
    assert "pre-label" in reason
    assert experiment.open_ids == (b,)
    changed = prelabel.copy()
    changed[0, 0] = 1 - changed[0, 0]
    assert experiment.receive([Answer(b, changed, "ann", 2)]).taken
    assert experiment.receive([Answer(b, prelabel, "ann", 3, confirmed=True)]).taken


def test_the_prelabel_of_a_withdrawn_query_is_refused_for_a_later_query(world):
    experiment = campaign(world)
    (a,) = experiment.ask(1)
    experiment.tell({a: mask_of(world, a)})
    experiment.fit()
    experiment.ask(11)
    prelabels = experiment.prelabels()
    experiment.withdraw()
    ids = experiment.ask(11)  # with no pre-label so far
    receipt = experiment.receive([Answer(id, prelabels[id], "ann", 1) for id in ids])
    assert len(receipt.refused) == 11
    assert experiment.open_ids == ids


def test_an_untouched_prelabel_is_invalid_before_and_after_its_confirmation(world):
    found = []
    for order in (1, -1):
        experiment, b, prelabel = prelabelled(world)
        untouched, confirmed = Answer(b, prelabel, "ann", 1), Answer(b, prelabel, "ann", 2, confirmed=True)
        receipts = [experiment.receive([answer]) for answer in (untouched, confirmed)[::order]]
        assert sum(len(receipt.refused) for receipt in receipts) == 1
        found.append(sorted((one.revision, one.kind) for one in experiment.answers() if one.id == b))
    assert found == [[(1, "invalid"), (2, "label")]] * 2


def test_held_out_labels_are_measured_on_and_not_trained_on(world, seen):
    experiment = campaign(world, hold_out=0.5, seed=1)
    ids = experiment.ask(8)
    experiment.tell({id: mask_of(world, id) for id in ids})
    result = experiment.fit()
    assert result.n_held_out + result.n_labels == 8
    assert 0 < result.n_held_out < 8
    assert set(result.metrics) >= {"dice", "iou"}
    held = set(ids) - set(seen[0].ids)
    assert len(held) == result.n_held_out
    assert set(states(experiment).values()) == {State.CONSUMED}
    later = experiment.ask(2)
    experiment.tell({id: mask_of(world, id) for id in later})
    experiment.fit()
    assert held <= (set(ids) | set(later)) - set(seen[1].ids)  # once held out, always


def test_an_error_says_that_every_label_is_held_out(world):
    experiment = campaign(world, hold_out=0.999)
    ids = experiment.ask(4)
    experiment.tell({id: mask_of(world, id) for id in ids})
    trained = set(ids) - set(experiment.fit() and experiment._parts.store.fact("sides")["held_out"])
    experiment.tell(dict.fromkeys(trained, alkit.values.Withdrawal("mistake")), revise=True)
    with pytest.raises(alkit.errors.QueryError, match="every label is held out"):
        experiment.fit(wait_for_answers=False)


def test_models_of_successive_rounds_are_compared_on_the_stop_set(world):
    experiment = campaign(world, stop_set=5)
    oracle = alkit.MaskOracle(dict(zip(experiment.pool.ids, world[1], strict=True)), ("skin", "lesion"))
    results = experiment.run(oracle, start=2, batch=2, rounds=2)
    assert results[0].agreement is None
    assert all(-1 <= result.agreement <= 1 for result in results[1:])
    assert experiment.history == results


@pytest.mark.parametrize(
    "terms", [{"annotators": 0}, {"annotators": True}, {"hold_out": 1.0}, {"stop_set": -1}, {"join": "most"}]
)
def test_invalid_terms_are_refused(world, terms):
    with pytest.raises(alkit.errors.ConfigurationError):
        campaign(world, **terms)


def test_other_terms_are_refused_with_the_difference_and_opening_restores_them(world, tmp_path):
    path = tmp_path / "r.db"
    experiment = campaign(world, path, annotators=2, join="majority", hold_out=0.25, stop_set=3)
    (asked,) = experiment.ask(1)
    experiment.tell({asked: mask_of(world, asked)}, annotator="ann")
    with pytest.raises(alkit.errors.ResumeError, match="annotators"):
        campaign(world, path, annotators=3, join="majority", hold_out=0.25, stop_set=3)
    again = alkit.Experiment.open(path, pool=experiment.pool)
    assert Settings(Store(path)).declared["terms"] == written_form(Terms(2, "majority", 0.25, 3))
    assert again.queries()[0].wanted == 2


def test_a_join_rule_that_cannot_be_recorded_is_passed_to_open(world, tmp_path):
    def first(labels, spec):
        return labels[0]

    pool = campaign(world, tmp_path / "r.db", annotators=2, join=lambda labels, spec: labels[0]).pool
    with pytest.raises(alkit.errors.ConfigurationError, match=r"join \(.*pass join="):
        alkit.Experiment.open(tmp_path / "r.db", pool=pool)
    again = alkit.Experiment.open(tmp_path / "r.db", pool=pool, join=first)
    assert again.queries() == alkit.Experiment.open(tmp_path / "r.db", pool=pool, join=first).queries()
    again.ask(1)
    assert again.queries()[0].wanted == 2


def test_wrong_answers_do_not_end_a_round_that_waits_for_people(world, tmp_path):
    experiment = campaign(world)
    oracle = Clumsy(world)
    (result,) = experiment.run(oracle, start=3, batch=1, rounds=0, poll=0)
    assert result.n_labels == 3
    assert len(oracle.told) == 3
    assert all("another size" in reason for reason in oracle.told)


class Clumsy:
    """Gives each mask in the wrong size first, and can be told so."""

    spec = alkit.LabelSpec(("skin", "lesion"))

    def __init__(self, world):
        self.world, self.ids, self.told, self.polls = world, [], [], 0

    def ask(self, queries):
        self.ids = [query.id for query in queries]

    def poll(self):
        self.polls += 1
        cut = slice(3 if self.polls == 1 else None)
        return [Answer(id, mask_of(self.world, id)[cut], "ann", self.polls) for id in self.ids]

    def refused(self, answer, reason):
        self.told.append(reason)


def test_an_oracle_gets_each_query_and_the_refused_answers(world):
    class Folder:
        spec = alkit.LabelSpec(("skin", "lesion"))
        asked, told = (), ()

        def ask(self, queries):
            self.asked = tuple(query.key for query in queries)

        def poll(self):
            return [Answer(id, np.zeros((2, 2), np.uint8), "ann", 1) for id in ids]

        def refused(self, answer, reason):
            self.told += ((answer.id, reason),)

    experiment, oracle = campaign(world), Folder()
    ids = experiment.ask(2)
    assert set(states(experiment).values()) == {State.PENDING}
    assert [query.id for query in experiment.send(oracle)] == list(ids)
    assert oracle.asked == tuple(f"r00-000{rank}-{id}" for rank, id in enumerate(ids))
    assert set(states(experiment).values()) == {State.ASKED}
    experiment.collect(oracle)
    assert [id for id, reason in oracle.told if "another size" in reason] == list(ids)


def test_answers_are_recorded_while_another_process_holds_the_lock(world, tmp_path):
    experiment = campaign(world, tmp_path / "r.db")
    ids = experiment.ask(2)
    with Store(experiment.path).exclusive():  # as while a model is trained
        context = get_context("fork")
        teller = context.Process(target=_tell, args=(world, tmp_path / "r.db", ids[0]))
        teller.start()
        teller.join(60)
        assert teller.exitcode == 0
    assert experiment.open_ids == ids[1:]


def _tell(world, path, id):
    campaign(world, path, wait=1.0).receive([Answer(id, mask_of(world, id), "ann", 1)])


def test_several_annotators_can_classify_images():
    labels = {"a": 0, "b": 1}
    pool = alkit.ArrayPool(np.zeros((2, 4, 4), np.uint8), ids=list(labels))
    spec = alkit.LabelSpec(("cat", "dog"), per="image")
    learner, strategy = MeanLearner(), alkit.strategy("random")
    experiment = alkit.Experiment(pool, learner, strategy, classes=spec, annotators=3, join="majority")
    ids = experiment.ask(2)
    for name, label in (("ann", 1), ("bob", 0), ("eve", 1)):
        experiment.tell(dict.fromkeys(ids, label), annotator=name)
    with pytest.raises(alkit.errors.ConfigurationError, match="pre-labels are masks"):
        experiment.prelabels()
    assert set(states(experiment).values()) == {State.ANSWERED}


class Once:
    """Gives each answer once, and then fails or is done."""

    spec = alkit.LabelSpec(("skin", "lesion"))

    def __init__(self, world, ids, reason=None):
        self.world, self.ids, self.reason = world, list(ids), reason

    def ask(self, queries):
        pass

    def poll(self):
        while self.ids:
            yield Answer(self.ids[0], mask_of(self.world, self.ids.pop(0)), "ann")
        if self.reason is not None:
            raise self.reason


@pytest.mark.parametrize("reason", [ConnectionError("the server has gone"), KeyboardInterrupt()])
def test_answers_before_an_oracle_fails_or_is_interrupted_are_taken(world, reason):
    experiment = campaign(world)
    ids = experiment.ask(3)
    with pytest.raises(type(reason)):
        experiment.collect(Once(world, ids[:2], reason))
    assert experiment.open_ids == (ids[2],)
    assert {answer.id for answer in experiment.answers()} == set(ids[:2])


FAILURES = [StoreError("the disk is full"), KeyboardInterrupt(), MemoryError(), SystemExit(1), OSError("closed")]


def fail_to_record(experiment, oracle, monkeypatch, reason):
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_answers", Mock(side_effect=reason))
        with pytest.raises(type(reason)):
            experiment.collect(oracle)


@pytest.mark.parametrize("reason", FAILURES)
def test_answers_that_could_not_be_recorded_are_recorded_by_the_next_call(world, monkeypatch, reason):
    experiment = campaign(world)
    ids = experiment.ask(3)
    oracle = Once(world, ids[:2])
    fail_to_record(experiment, oracle, monkeypatch, reason)
    assert experiment.open_ids == ids
    oracle.ids.append(ids[2])
    assert [answer.id for answer in experiment.collect(oracle).taken] == list(ids)
    assert experiment.open_ids == ()
    assert len(experiment.answers()) == 3


@pytest.mark.parametrize("step", ["grow", "remove"])
def test_answers_that_could_not_be_recorded_are_kept_when_the_pool_changes(world, monkeypatch, step):
    images, _ = world
    experiment = campaign((images[:9], None))
    ids = experiment.ask(2)
    oracle = Once(world, ids)
    fail_to_record(experiment, oracle, monkeypatch, StoreError("the disk is full"))
    if step == "grow":
        experiment.grow(alkit.ArrayPool(images))
    else:
        experiment.remove(experiment.candidates[0], "no consent")
    assert [answer.id for answer in experiment.collect(oracle).taken] == list(ids)


def test_answers_of_the_pool_that_come_with_those_of_a_test_set_are_kept_too(world, monkeypatch):
    experiment = campaign(world)
    (known,) = experiment.ask(1)
    experiment.tell({known: mask_of(world, known)})
    (late,) = experiment.ask(1)
    test = alkit.ArrayPool(world[0][:1] + 1, ["test"])
    oracle = Once(world, [late])
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_answers", Mock(side_effect=StoreError("the disk is full")))
        with pytest.raises(StoreError):
            experiment.fit(test=test, oracle=oracle, wait_for_answers=False)
    assert [answer.id for answer in experiment.collect(oracle).taken] == [late]


class Lazy:
    """A label that is read when it is needed, and cannot be."""

    def __init__(self, reason):
        self.reason = reason

    def __array__(self, *arguments, **options):
        raise self.reason


@pytest.mark.parametrize("reason", [OSError("the file is gone"), KeyError("mask"), ZeroDivisionError()])
def test_a_label_that_cannot_be_read_does_not_cost_the_other_answers(world, reason):
    experiment = campaign(world)
    a, b, c = experiment.ask(3)
    answers = [Answer(a, mask_of(world, a)), Answer(b, Lazy(reason)), Answer(c, mask_of(world, c))]
    receipt = experiment.receive(answers)
    assert [answer.id for answer in receipt.taken] == [a, c]
    assert [(answer.id, "is not an array" in why) for answer, why in receipt.refused] == [(b, True)]
