"""The audit set: how it is drawn and asked, and that nothing is ever trained on it."""

from dataclasses import replace

import numpy as np
import pytest

import alkit
from alkit.errors import ConfigurationError, QueryError
from alkit.experiment import assembling
from alkit.experiment.audit import SHARE, audit_queries, settle_audit
from alkit.record import Store
from alkit.record.audit import recorded_audit
from alkit.report.audit import audit_in_words
from alkit.rng import Stream
from tests.support.parts import CLASSES

N = 40


class Remembers:
    """A learner that keeps the ids of all images it was ever trained on."""

    def __init__(self):
        self.seen, self.inner = set(), alkit.testing.Brightness()

    def fit(self, labelled, rng, previous=None, report=None):
        self.seen |= set(labelled.ids)
        return self.inner.fit(labelled, rng, previous)

    def loads(self, dumped):
        return self.inner.loads(dumped)


class Watches:
    """A strategy that takes the first candidates, and keeps what it was shown."""

    starts_cold = True

    def __init__(self):
        self.candidates, self.labelled = set(), set()

    def select(self, view, n, rng):
        self.candidates |= set(view.candidates)
        self.labelled |= set(view.labelled)
        return alkit.values.Selection(view.candidates[:n])


def masks(ids):
    return {id: np.full((8, 8), int(id[1:]) % 2, np.uint8) for id in ids}


def pool(groups=None, pixels=None):
    given = np.random.default_rng(3).integers(256, size=(N, 8, 8), dtype=np.uint8) if pixels is None else pixels
    return alkit.ArrayPool(given, ids=[f"i{row:02}" for row in range(len(given))], groups=groups)


def campaign(store=None, learner=None, strategy=None, images=None, **given):
    parts = images or pool(), learner or Remembers(), strategy or Watches()
    return alkit.Experiment(*parts, store, classes=CLASSES, **given)


def audit_of(experiment):
    return recorded_audit(experiment._parts.store)


def labels(experiment, n):
    ids = experiment.ask(n)
    experiment.tell(masks(ids))
    return ids


def test_audit_set_is_drawn_by_the_seed_alone_and_stays(tmp_path):
    first = audit_of(campaign(tmp_path / "a.db", audit=8))
    assert (len(set(first.ids)), first.of) == (8, N)
    assert audit_of(campaign(strategy=alkit.strategy("random"), audit=8)).ids == first.ids
    assert audit_of(campaign(audit=8, seed=1)).ids != first.ids
    assert audit_of(campaign(tmp_path / "a.db")).ids == first.ids  # audit=None: that of the record


def test_other_settings_before_the_first_query_keep_the_choices_of_the_record(tmp_path):
    people, rules = alkit.values.People({"ann": 2}, days=3), alkit.SelectionRules(never="i03")
    chosen = {"people": people, "rules": rules, "metrics": ["iou"], "keep": "all"}
    drawn = audit_of(campaign(tmp_path / "a.db", audit=8, **chosen)).ids
    campaign(tmp_path / "a.db").decide_disputes(alkit.values.Disputes("third"))
    names = ("people", "rules", "metrics", "directions", "keep", "disputes")

    def facts():
        record = Store(tmp_path / "a.db")
        return [record.fact(name) for name in names]

    before = facts()
    again = campaign(tmp_path / "a.db", strategy=alkit.strategy("random"))
    assert (audit_of(again).ids, facts()) == (drawn, before)
    assert None not in before
    fewer = pool().subset([id for id in pool().ids if id not in drawn[:2]])
    other = audit_of(campaign(tmp_path / "a.db", images=fewer))  # drawn again, of the images that there are
    assert len(other.ids) == 8
    assert set(other.ids) <= set(fewer.ids)


def test_draws_are_uniform_over_seeds():
    counts, experiment = np.zeros(N), campaign()
    for seed in range(60):
        settle_audit(replace(experiment._parts, stream=Stream(seed)), 10)
        counts[[int(id[1:]) for id in audit_of(experiment).ids]] += 1
    assert ((counts - 15) ** 2 / 15).sum() < 70  # chi-squared with at most 39 degrees of freedom, below its 0.1 % tail


def test_audit_images_are_mixed_into_the_batches_and_complete_early():
    experiment = campaign(audit=10)
    drawn, places = set(audit_of(experiment).ids), []
    for n in (5, 8, 1, 6, 6):
        ids = labels(experiment, n)
        places.append([id in drawn for id in ids])
        experiment.fit()
        assert sum(places[-1]) <= max(1, n // 2)
    asked = [flag for batch in places for flag in batch]
    assert sum(asked) == 10 or sum(asked) == int(SHARE * len(asked))
    assert any(batch != sorted(batch) and batch != sorted(batch, reverse=True) for batch in places)
    assert {s.query.id for s in experiment.standings() if s.query.purpose == "audit"} <= drawn


def test_a_batch_of_one_image_each_still_completes_the_audit():
    experiment = campaign(audit=4)
    drawn = set(audit_of(experiment).ids)
    asked = []
    for _ in range(11):
        asked += labels(experiment, 1)
        experiment.fit()
    assert drawn <= set(asked)
    assert asked[0] not in drawn  # there is something to train on


def test_nothing_is_trained_on_the_audit_set_and_no_strategy_sees_it():
    learner, strategy = Remembers(), Watches()
    experiment = campaign(learner=learner, strategy=strategy, audit=12)
    drawn = set(audit_of(experiment).ids)
    for _ in range(4):
        labels(experiment, 8)
        experiment.fit()
    assert not drawn & (learner.seen | strategy.candidates | strategy.labelled)
    assert experiment.history[-1].n_labels == 32 - 12


def test_images_of_the_group_of_an_audit_image_are_neither_asked_nor_trained_on():
    groups = {f"i{row:02}": f"p{row // 4}" for row in range(N)}
    learner, strategy = Remembers(), Watches()
    experiment = campaign(learner=learner, strategy=strategy, images=pool(groups), audit=3)
    barred = {groups[id] for id in audit_of(experiment).ids}
    mates = [id for id in groups if groups[id] in barred]
    experiment.tell(masks(mates[:2]), unasked=True)
    labels(experiment, 6)
    result = experiment.fit()
    assert not barred & {groups[id] for id in learner.seen | strategy.candidates | strategy.labelled}
    assert len(experiment.candidates) == N - len(mates) - result.n_labels
    left_out = [id for id in mates[:2] if id not in audit_of(experiment).ids]
    assert not left_out or any("audit set" in warning for warning in result.warnings)


def test_near_duplicates_of_the_audit_set_are_neither_asked_nor_trained_on():
    pixels = np.random.default_rng(3).integers(256, size=(N, 8, 8), dtype=np.uint8)
    pixels[N // 2 :] = np.clip(pixels[: N // 2].astype(int) + 1, 0, 255)
    strategy = Watches()
    experiment = campaign(strategy=strategy, images=pool(pixels=pixels), audit=4)
    labels(experiment, 6)
    numbers = {int(id[1:]) % (N // 2) for id in audit_of(experiment).ids}
    assert not numbers & {int(id[1:]) % (N // 2) for id in strategy.candidates}


@pytest.mark.parametrize("change", [0, 1], ids=["identical", "nearly"])
def test_images_that_are_added_and_nearly_identical_to_the_audit_set_are_neither_asked_nor_trained_on(change):
    pixels = np.random.default_rng(3).integers(255, size=(N, 8, 8), dtype=np.uint8)
    learner, strategy = Remembers(), Watches()
    experiment = campaign(learner=learner, strategy=strategy, images=pool(pixels=pixels[: N // 2]), audit=4)
    labels(experiment, 6)
    experiment.fit()
    numbers = [int(id[1:]) for id in audit_of(experiment).ids]
    pixels[N // 2 : N // 2 + 4] = pixels[numbers] + change
    copies = {f"i{row:02}" for row in range(N // 2, N // 2 + 4)}
    experiment.grow(pool(pixels=pixels))
    experiment.tell(masks([min(copies)]), unasked=True)
    labels(experiment, 6)
    assert any("audit set" in warning for warning in experiment.fit().warnings)
    assert not copies & (strategy.candidates | learner.seen)
    assert len(experiment.candidates) == N - 8 - experiment.history[-1].n_labels


def test_an_image_that_is_back_is_compared_with_the_audit_set(tmp_path):
    pixels = np.random.default_rng(3).integers(255, size=(N, 8, 8), dtype=np.uint8)
    pixels[N // 2 :] = pixels[: N // 2] + 1
    first = campaign(tmp_path / "r.db", images=pool(pixels=pixels), audit=4)
    twin = f"i{(int(audit_of(first).ids[0][1:]) + N // 2) % N:02}"
    first.tell(masks([next(id for id in first.candidates if id not in audit_of(first).ids)]), unasked=True)
    without = pool(pixels=pixels).subset([id for id in pool().ids if id != twin])
    labels(campaign(tmp_path / "r.db", images=without), 2)
    assert twin not in audit_of(first).near
    strategy = Watches()
    labels(campaign(tmp_path / "r.db", images=pool(pixels=pixels), strategy=strategy), 4)
    assert twin not in strategy.candidates


def test_pseudo_labels_of_audit_images_are_not_trained_on():
    class Pseudo(Watches):
        def select(self, view, n, rng):
            more = () if view.round == 0 else view.candidates[n:]
            return alkit.values.Selection(view.candidates[:n], pseudo_labels=more)

    learner = Remembers()
    experiment = campaign(learner=learner, strategy=Pseudo(), initial=Watches(), audit=10)
    for _ in range(2):
        labels(experiment, 5)
        experiment.fit()
    assert not learner.seen & set(audit_of(experiment).ids)
    assert experiment.history[-1].n_pseudo == N - 10 - 6


def test_annotators_cannot_tell_the_audit_set_from_the_chosen_images():
    class Listens:
        spec = alkit.LabelSpec(CLASSES)
        queries = ()

        def ask(self, queries):
            self.queries = queries

        def poll(self):
            return []

    experiment, oracle = campaign(audit=10), Listens()
    ids = experiment.ask(10)
    experiment.send(oracle)
    assert [query.id for query in oracle.queries] == list(ids)
    assert {(query.score, query.stands_for, query.purpose) for query in oracle.queries} == {(None, "", "train")}
    assert {query.purpose for query in experiment.queries()} == {"train", "audit"}


def test_images_that_another_process_trains_on_meanwhile_are_not_drawn(tmp_path, monkeypatch):
    learner = Remembers()
    first, second = campaign(tmp_path / "a.db", learner=learner), campaign(tmp_path / "a.db")
    labels(first, 20)
    exclusive = Store.exclusive

    def late(store):
        if store is second._parts.store and not first.history:
            first.fit()  # the other process holds the lock before this one gets it
        return exclusive(store)

    monkeypatch.setattr(Store, "exclusive", late)
    settle_audit(second._parts, 8)
    assert len(audit_of(first).ids) == 8
    assert not learner.seen & set(audit_of(first).ids)


def test_opening_a_record_without_a_number_keeps_what_another_process_draws_meanwhile(tmp_path, monkeypatch):
    first, keep = campaign(tmp_path / "a.db"), assembling.change_keep

    def late(*given):
        if not audit_of(first).ids:
            settle_audit(first._parts, 8)
        return keep(*given)

    monkeypatch.setattr(assembling, "change_keep", late)
    assert len(audit_of(campaign(tmp_path / "a.db")).ids) == 8


def test_labels_that_a_model_sent_back_are_not_drawn():
    experiment = campaign()
    experiment.tell(masks(experiment.ask(30)))
    sent = set(experiment.review(22, random=0, folds=2))
    assert {review.why for review in experiment.reviews()} == {"model"}
    settle_audit(experiment._parts, 9)
    assert not sent & set(audit_of(experiment).ids)


def test_audit_may_grow_but_not_shrink_after_the_first_answer(tmp_path):
    store = tmp_path / "a.db"
    assert len(audit_of(campaign(store, audit=4)).ids) == 4
    assert len(audit_of(campaign(store, audit=6)).ids) == 6  # before any query, it is drawn again
    experiment = campaign(store)
    labels(experiment, 5)
    experiment.fit()
    with pytest.raises(ConfigurationError, match="audit must be at least 6"):
        campaign(store, audit=5)
    before = audit_of(experiment).ids
    grown = campaign(store, audit=9)
    assert audit_of(grown).ids[:6] == before
    trained = {s.query.id for s in grown.standings() if s.query.purpose == "train"}
    assert not trained & set(audit_of(grown).ids)
    assert [len(draw["ids"]) for draw in grown._parts.store.fact("audit")["draws"]] == [6, 3]
    told = [" ".join(audit_in_words(audit_of(one), one.history, "dice")) for one in (experiment, grown)]
    assert all("3 of the 9 images of the audit set were added later, drawn from those" in text for text in told)


def test_an_audit_set_that_grew_before_the_first_model_is_one_random_sample(tmp_path):
    experiment = campaign(tmp_path / "a.db", audit=4)
    labels(experiment, 5)
    grown = audit_of(campaign(tmp_path / "a.db", audit=7))
    assert (len(grown.ids), grown.later) == (7, 0)
    assert "added later" not in " ".join(audit_in_words(grown, (), "dice"))


@pytest.mark.parametrize(
    ("given", "words"), [(-1, "audit must be an integer"), (21, "audit must be at most 20"), (True, "audit")]
)
def test_wrong_sizes_are_errors(given, words):
    with pytest.raises(ConfigurationError, match=words):
        campaign(audit=given)


def test_only_audit_labels_are_an_error_that_says_so():
    experiment = campaign(audit=8)
    experiment.tell(masks(audit_of(experiment).ids[:2]), unasked=True)
    assert not experiment.learnable
    with pytest.raises(QueryError, match="belongs to the audit set"):
        experiment.fit()


def test_an_audit_image_that_was_withdrawn_is_asked_again():
    experiment = campaign(audit=6)
    ids = experiment.ask(10)
    (first, *_) = [id for id in ids if id in audit_of(experiment).ids]
    experiment.withdraw()
    assert first in audit_queries(experiment._parts, 10, len(experiment.candidates))
    assert first in experiment.ask(10)


def test_the_last_images_of_a_pool_are_asked_even_if_only_the_audit_set_is_left():
    experiment = campaign(audit=20)
    for n in (20, 10, 10):
        labels(experiment, n)
        experiment.fit()
    assert experiment.candidates == ()
    assert experiment.history[-1].n_labels == 20


def test_a_run_with_an_audit_set_keeps_its_schedule():
    oracle = alkit.MaskOracle(masks(pool().ids), CLASSES)
    experiment = campaign(strategy=alkit.strategy("random"), learner=alkit.testing.Brightness(), audit=8)
    results = experiment.run(oracle, start=10, batch=5, rounds=3)
    assert [len(result.ids) for result in results] == [10, 5, 5, 5]
    assert [result.n_labels for result in results] == [6, 9, 12, 17]


@pytest.mark.parametrize("join", ["one", "majority"])
def test_disputed_images_that_are_left_out_are_told_as_disputed_and_not_as_skipped(join):
    experiment = campaign(audit=6, annotators=2, join=join)
    experiment.decide_disputes(alkit.values.Disputes("leave-out"))
    ids = experiment.ask(15)
    drawn = [id for id in ids if id in audit_of(experiment).ids]
    experiment.tell(masks(ids), annotator="ann")
    experiment.tell({**masks(ids), drawn[0]: 1 - masks(ids)[drawn[0]]}, annotator="ben")
    found = experiment.fit().audit
    assert (found.measured, found.disputed, found.skipped) == (5, 1, 0)
