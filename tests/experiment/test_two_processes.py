"""Two processes with one record open: what one of them changes, the other does not ignore."""

import numpy as np
import pytest
from parts import MeanLearner
from PIL import Image
from records import everything

import alkit
from alkit.errors import AlkitError, QueryError, ResumeError, StoreBusyError
from alkit.evaluation import SurfaceDice
from alkit.experiment import audit as audit_module
from alkit.experiment import exporting, reviewing
from alkit.experiment.parts import Parts
from alkit.record import Store, grouping
from alkit.record.label_files import LabelFiles
from alkit.values import Disputes, People, SelectionRules

IDS = "abcdefgh"
IMAGES = np.random.default_rng(0).integers(256, size=(8, 1, 8, 8), dtype=np.uint8)
MASK = np.eye(8, dtype=np.uint8)


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens the record in what stands for another process, with its first images."""

    def open_it(images=6, learner=None, **more):
        pool = alkit.ArrayPool(IMAGES[:images], ids=list(IDS[:images]))
        strategy = alkit.strategy("random")
        learner = learner or alkit.testing.Brightness()
        return alkit.Experiment(pool, learner, strategy, tmp_path / "c.db", classes=("skin", "lesion"), **more)

    return open_it


USES = {
    "ask": lambda one: one.ask(2),
    "fit": lambda one: one.fit(),
    "tell": lambda one: one.tell({"b": MASK}, unasked=True),
    "receive": lambda one: one.receive([alkit.Answer("b", MASK)], unasked=True),
    "remove": lambda one: one.remove("b", "consent withdrawn"),
    "export": lambda one: one.export_labels("out"),
}


@pytest.mark.parametrize("use", USES)
def test_after_another_process_has_removed_an_image_nothing_is_done_with_the_former_pool(opened, use, tmp_path):
    one, other = opened(), opened()
    other.tell({"c": MASK}, unasked=True)
    other.remove("a", "consent withdrawn")
    with pytest.raises(ResumeError, match="have changed since it was opened: pool: other images"):
        USES[use](one)
    with pytest.raises(ResumeError, match="have changed since it was opened"):
        one.tell({"a": MASK}, unasked=True)
    assert {answer.id for answer in opened().answers()} == {"c"}
    assert len(other._parts.store.contents.names(".png")) == 1
    assert other.fit().n_labels == opened().fit().n_labels == 1


def test_an_image_that_another_process_has_removed_is_no_candidate(opened):
    one = opened(audit=2)
    drawn = one.audit[0]
    opened().remove("abcdef".replace(drawn, "")[0], "consent withdrawn")
    opened().remove(drawn, "consent withdrawn")
    assert one.candidates == opened().candidates
    assert one.apart == opened().apart


def test_a_model_of_another_learner_is_not_read_by_a_process_with_the_former_one(opened):
    one = opened()
    one.tell({"a": MASK}, unasked=True)
    opened(learner=MeanLearner(), change=True).fit()
    with pytest.raises(ResumeError, match="have changed since it was opened: learner"):
        one.predict(one.pool)


def test_labels_of_images_that_another_process_has_added_are_not_left_out_of_the_training(opened):
    one, other = opened(), opened()
    one.tell({"a": MASK}, unasked=True)
    other.grow(alkit.ArrayPool(IMAGES, ids=list(IDS)))
    other.tell({"h": MASK}, unasked=True)
    with pytest.raises(ResumeError, match="pool: other images"):
        one.fit()
    assert other.fit().n_labels == 2


@pytest.mark.parametrize("how", ["tell", "receive"])
def test_answers_to_images_that_another_process_has_added_and_asked_for_are_taken(opened, how):
    one, other = opened(), opened()
    other.grow(alkit.ArrayPool(IMAGES, ids=list(IDS)))
    ids = other.ask(8)
    if how == "tell":
        one.tell(dict.fromkeys(ids, MASK))
    else:
        assert not one.receive([alkit.Answer(id, MASK) for id in ids]).refused
    assert other.open_ids == ()
    assert {answer.kind for answer in other.answers()} == {"label"}


def test_images_that_were_added_since_a_folder_was_listed_are_not_missing(tmp_path):
    def pool():
        return alkit.ImagePool(tmp_path / "images", cache=tmp_path / "cache")

    def opened(pool):
        strategy = alkit.strategy("random")
        return alkit.Experiment(pool, alkit.testing.Brightness(), strategy, tmp_path / "d.db", classes=("a", "b"))

    def add(ids):
        for id, image in zip(ids, np.random.default_rng(0).integers(0, 255, (9, 16, 16), np.uint8), strict=False):
            Image.fromarray(image).save(tmp_path / f"images/{id}.png")

    (tmp_path / "images").mkdir()
    add("abc")
    one, listed = opened(pool()), pool()
    (id,) = one.ask(1)
    one.tell({id: np.eye(16, dtype=np.uint8)})
    add("abcdef")
    one.grow(pool())
    with pytest.raises(ResumeError, match="pool lists the images as they were before some were added"):
        opened(listed)
    assert not Store(tmp_path / "d.db").fact("unusable")
    (tmp_path / "images/f.png").unlink()
    opened(pool())
    assert Store(tmp_path / "d.db").fact("unusable") == {"f": "it is missing"}


def test_a_process_does_not_measure_by_metrics_that_another_one_has_replaced(opened):
    one = opened(metrics=[SurfaceDice(0)])
    opened(metrics=[SurfaceDice(3)])
    one.tell({"a": MASK}, unasked=True)
    with pytest.raises(ResumeError, match=r"the metrics of .* have changed since it was opened"):
        one.fit()
    one = opened()
    one.fit()
    test, oracle = alkit.ArrayPool({"t": IMAGES[7]}), alkit.MaskOracle({"t": MASK}, ("skin", "lesion"))
    opened(metrics=["dice"])
    with pytest.raises(ResumeError, match=r"the metrics of .* have changed since it was opened"):
        one.evaluate(test, oracle)
    assert one.evaluate(test, oracle, metrics=["iou"]).keys() == {"iou"}
    assert opened().evaluate(test, oracle) == opened().history[-1].metrics


def test_a_removed_image_is_not_added_again_by_a_process_that_began_before(opened):
    one, other = opened(), opened()
    other.remove("a", "consent withdrawn")
    with pytest.raises(ResumeError, match="have changed since it was opened"):
        one.grow(alkit.ArrayPool(IMAGES, ids=list(IDS)))
    assert "a" not in opened(8).pool.ids


def test_a_process_with_a_former_learner_trains_nothing(opened):
    one = opened()
    one.tell({"a": MASK}, unasked=True)
    changed = opened(learner=MeanLearner(), change=True)
    with pytest.raises(ResumeError, match="have changed since it was opened: learner"):
        one.fit()
    assert changed.fit().n_labels == 1


def test_a_removal_that_fails_halfway_is_completed_by_the_same_call(opened, monkeypatch):
    one = opened()
    with monkeypatch.context() as patched:
        patched.setattr("alkit.record.store.Store.purge", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            one.remove("a", "consent withdrawn")
    with pytest.raises(AlkitError, match="have changed"):
        one.ask(1)
    one.remove("a", "consent withdrawn")
    assert "a" not in one.candidates
    assert "a" not in one.ask(5)


def between(monkeypatch, owner, name, work):
    """Let another process work just before a function is called for the first time."""
    function = getattr(owner, name)

    def late(*given, **more):
        monkeypatch.setattr(owner, name, function)
        work()
        return function(*given, **more)

    monkeypatch.setattr(owner, name, late)


GROUPS = {id: f"patient {id}" for id in IDS[:6]}


def grouped(tmp_path, groups=GROUPS, **more):
    pool = alkit.ArrayPool(IMAGES[:6], ids=list(IDS[:6]), groups=groups)
    strategy, given = alkit.strategy("random"), {"learner": alkit.testing.Brightness(), **more}
    return alkit.Experiment(pool, strategy=strategy, store=tmp_path / "c.db", classes=("skin", "lesion"), **given)


def test_the_group_of_an_image_that_was_removed_while_the_record_was_opened_does_not_return(tmp_path, monkeypatch):
    other = grouped(tmp_path)
    with monkeypatch.context() as patch:
        between(patch, grouping, "groups_form", lambda: other.remove("a", "consent withdrawn"))
        grouped(tmp_path, {id: f"{name} again" for id, name in GROUPS.items()})
    store = other._parts.store
    assert "a" not in store.fact("groups")
    assert store.fact("groups")["b"][0] == "patient b again"
    assert b"patient a" not in everything(store)


def test_an_opening_does_not_undo_a_change_of_the_groups(opened, tmp_path, monkeypatch):
    grouped(tmp_path)
    between(monkeypatch, grouping, "groups_form", lambda: grouped(tmp_path, {**GROUPS, "b": "patient c"}))
    one = opened()
    assert one._parts.store.fact("groups")["b"][0] == "patient c"


def test_kinds_of_a_removed_image_are_not_recorded_again(tmp_path):
    kinds = {id: f"kind of {id}" for id in IDS[:6]}
    more = {"metrics": ["dice", alkit.evaluation.PerGroup("dice", kinds)]}
    grouped(tmp_path, **more).remove("a", "consent withdrawn")
    again = grouped(tmp_path, {id: GROUPS[id] for id in GROUPS}, **more)
    assert b"kind of a" not in everything(again._parts.store)
    assert b"kind of b" in everything(again._parts.store)


def test_a_removed_image_is_not_drawn_for_the_audit_set(opened, tmp_path, monkeypatch):
    other = opened()
    between(monkeypatch, audit_module, "_is_settled", lambda: other.remove("a", "consent withdrawn"))
    with pytest.raises(ResumeError, match="have changed since it was opened"):
        opened(audit=2)
    assert other.audit == ()
    assert "a" not in opened(audit=2).audit


def test_a_record_that_is_opened_while_an_image_is_removed_does_not_take_it_in_again(opened, tmp_path, monkeypatch):
    other = opened()
    between(monkeypatch, Store, "exclusive", lambda: other.remove("a", "consent withdrawn"))
    one = opened(learner=MeanLearner())  # nothing was asked yet, so the settings may change
    assert "a" not in one.pool.ids
    assert "a" not in Store(tmp_path / "c.db").fact("images")


def test_settings_are_not_replaced_after_the_first_answer(opened, monkeypatch):
    other = opened()
    between(monkeypatch, Store, "together", lambda: other.tell({"b": MASK}, unasked=True))
    with pytest.raises(ResumeError, match="was created with other settings: learner"):
        opened(learner=MeanLearner())
    assert other.fit().n_labels == 1


def test_a_place_of_the_images_that_was_read_before_a_change_is_not_recorded_after_it(tmp_path, monkeypatch):
    for folder in ("images", "moved"):
        (tmp_path / folder).mkdir()
        for id, image in zip(IDS, IMAGES, strict=True):
            Image.fromarray(image[0]).save(tmp_path / folder / f"{id}.png")

    def opened(folder, size, **more):
        pool = alkit.ImagePool(tmp_path / folder, size=size, grayscale=True)
        learner, strategy = alkit.testing.Brightness(), alkit.strategy("random")
        return alkit.Experiment(pool, learner, strategy, tmp_path / "c.db", classes=("skin", "lesion"), **more)

    opened("images", 8).tell({"b": MASK}, unasked=True)
    between(monkeypatch, Store, "revise", lambda: opened("images", 4, change=True))
    with pytest.raises(ResumeError, match="have changed since it was opened"):
        opened("moved", 8)
    again = alkit.Experiment.open(tmp_path / "c.db", learner=alkit.testing.Brightness())
    assert again.pool.read(["a"]).shape[-1] == 4


def test_an_answer_of_an_image_that_is_removed_meanwhile_is_not_sent_back(opened, tmp_path, monkeypatch):
    one, other = opened(people=People({"ann": 1}, days=3)), opened()
    (id,) = one.ask(1)
    one.tell({id: MASK}, annotator="ann")
    between(monkeypatch, Store, "reject", lambda: other.remove(id, "consent withdrawn"))
    with pytest.raises(QueryError, match=f"'{id}' has no answer to send back"):
        one.reject(id, "a rare reason")
    assert b"a rare reason" not in everything(one._parts.store)


def test_nobody_is_asked_about_a_disputed_image_that_is_removed_meanwhile(opened, tmp_path, monkeypatch):
    people = {"annotators": 2, "join": "majority", "people": People({"ann": 1, "ben": 1, "a rare name": 1}, days=3)}
    one, other = opened(**people), opened(**people)
    one.decide_disputes(Disputes("third"))
    (id,) = one.ask(1)
    told = one.queries()[0].assigned
    left = next(name for name in ("ann", "ben", "a rare name") if name not in told)
    one.tell({id: MASK}, annotator=told[0])
    between(monkeypatch, Store, "revise_queries", lambda: other.remove(id, "consent withdrawn"))
    one.tell({id: 1 - MASK}, annotator=told[1])
    store = Store(tmp_path / "c.db")
    (entry,) = store.asked()
    assert (entry.query.assigned, entry.query.wanted, store.fact("asked_more")) == ((), 2, None), left


def test_an_assignment_does_not_undo_that_one_more_person_is_asked(opened, tmp_path, monkeypatch):
    more = {"annotators": 2, "join": "majority"}
    one, other = opened(**more), opened(**more)
    one.decide_disputes(Disputes("third"))
    (id,) = one.ask(1)
    one.tell({id: MASK}, annotator="ann")
    between(monkeypatch, Store, "revise_queries", lambda: other.tell({id: 1 - MASK}, annotator="ben"))
    (query,) = one.assign([id], ["cid"])
    assert (query.assigned, query.wanted) == (("cid",), 3)
    assert one.open_ids == (id,)


@pytest.mark.parametrize("change", ["disputes", "metrics"])
def test_what_a_training_goes_by_does_not_change_while_it_runs(opened, change, monkeypatch):
    one = opened()
    one.tell({"a": MASK, "b": MASK}, unasked=True)
    other = opened(wait=0.1)
    changes = {
        "disputes": lambda: other.decide_disputes(Disputes("ignore")),
        "metrics": lambda: opened(metrics=["iou"], wait=0.1),
    }
    with one._parts.store.exclusive(), pytest.raises(StoreBusyError):
        changes[change]()
    changes[change]()


def test_the_size_can_change_after_an_image_was_removed_that_was_asked_for(tmp_path):
    def opened(images, **more):
        pool, strategy = alkit.ArrayPool(images, ids=list(IDS)), alkit.strategy("random")
        learner = alkit.testing.Brightness()
        return alkit.Experiment(pool, learner, strategy, tmp_path / "c.db", classes=("skin", "lesion"), **more)

    one = opened(IMAGES)
    first, second = one.ask(2)
    one.tell({second: MASK})
    one.remove(first, "consent withdrawn")
    assert opened(IMAGES[..., ::2, ::2], change=True).fit().n_labels == 1


def test_a_choice_that_is_made_while_the_settings_are_replaced_is_kept(opened, tmp_path, monkeypatch):
    opened()
    between(monkeypatch, Store, "together", lambda: opened(keep="all"))
    opened(learner=MeanLearner())
    assert Store(tmp_path / "c.db").fact("keep") == "all"


def test_a_removal_does_not_undo_a_change_of_the_groups(tmp_path, monkeypatch):
    one = grouped(tmp_path)
    grouped(tmp_path, {**GROUPS, "b": "patient c"})
    one.remove("a", "consent withdrawn")
    assert one._parts.store.fact("groups")["b"][0] == "patient c"


def test_the_history_of_changes_does_not_keep_the_group_of_a_removed_image(tmp_path):
    one = grouped(tmp_path)
    one.ask(2)
    other = grouped(tmp_path, {id: f"{name} again" for id, name in GROUPS.items()})
    assert b"recorded patient a, now patient a again" in everything(other._parts.store)
    other.remove("a", "consent withdrawn")
    assert b"patient a" not in everything(other._parts.store)
    (line, _) = (line for entry in other._parts.store.fact("changes") for line in entry["changed"])
    assert line == "groups: other ones of 6 images"


def test_an_answer_is_taken_while_the_disputed_image_of_another_one_is_removed(opened, monkeypatch):
    more = {"annotators": 2, "join": "majority", "wait": 0.2}
    one, other = opened(**more), opened(**more)
    one.decide_disputes(Disputes("third"))
    first, second = one.ask(2)
    one.tell({first: MASK, second: MASK}, annotator="ann")
    one.receive([alkit.Answer(first, np.flipud(MASK), "ben")])
    between(monkeypatch, LabelFiles, "read", lambda: other.remove(first, "consent withdrawn"))
    one.tell({second: 1 - MASK}, annotator="ben")
    assert {query.id: query.wanted for query in other._parts.store.queries()} == {second: 3}


def test_an_image_that_is_removed_while_it_is_sent_is_withdrawn_where_it_was_sent_to(opened, tmp_path, monkeypatch):
    one, other = opened(), opened()
    first, second = one.ask(2)
    asked = alkit.FolderOracle(tmp_path / "out", tmp_path / "in", classes=one.spec, images=one.pool)
    between(monkeypatch, alkit.FolderOracle, "ask", lambda: other.remove(first, "consent withdrawn"))
    assert [query.id for query in one.send(asked)] == [second]
    (withdrawn,) = (tmp_path / "out").rglob("withdrawn.txt")
    assert withdrawn.parent.name.endswith(f"-{first}")


def test_an_export_says_that_an_image_was_removed_meanwhile(opened, tmp_path, monkeypatch):
    one, other = opened(), opened()
    one.tell({"a": MASK, "b": MASK}, unasked=True)
    between(monkeypatch, exporting, "make_folder", lambda: other.remove("a", "consent withdrawn"))
    with pytest.raises(QueryError, match="'a' was removed while labels were exported, and its label is in"):
        one.export_labels(tmp_path / "labels")


def test_an_export_that_cannot_read_the_label_of_a_removed_image_says_so(opened, tmp_path, monkeypatch):
    one, other = opened(wait=0.1), opened(wait=0.1)
    one.tell({"a": MASK, "b": 1 - MASK}, unasked=True)

    def remove():
        with pytest.raises(StoreBusyError, match="another process "):
            other.remove("a", "consent withdrawn")

    between(monkeypatch, LabelFiles, "read", remove)
    with pytest.raises(StoreBusyError, match="another process has just removed an image"):
        one.export_labels(tmp_path / "labels")
    other.remove("a", "consent withdrawn")
    assert len(one._parts.store.contents.names(".png")) == 1


def test_labels_of_a_call_that_fails_do_not_stay_if_their_image_was_removed(opened, tmp_path, monkeypatch):
    one, other = opened(), opened()
    first, second = one.ask(2)
    keep, calls = LabelFiles.keep, []

    def keep_late(self, label):
        if calls:  # the other label, which the removal deletes, is stored already
            other.remove(first, "consent withdrawn")
        calls.append(label)
        return keep(self, label)

    monkeypatch.setattr(LabelFiles, "keep", keep_late)
    with pytest.raises(AlkitError):
        one.receive([alkit.Answer(second, MASK), alkit.Answer(first, 1 - MASK)])
    assert not one._parts.store.contents.names(".png")


def test_readings_of_one_moment_see_one_state(opened):
    one, other = opened(), opened()
    store = one._parts.store
    with store.moment():
        before = store.snapshot()
        other.tell({"a": MASK}, unasked=True)
        assert store.snapshot() is before
        with store.moment():
            assert not store.has_answers()
    assert store.has_answers()


def test_a_round_is_trained_on_the_labels_that_it_says_it_was_trained_on(opened, monkeypatch):
    one, other = opened(), opened()
    one.tell({"a": MASK}, unasked=True)
    between(monkeypatch, Parts, "known", lambda: other.tell({"b": MASK}, unasked=True))
    assert one.fit().n_labels == 1
    assert (one.fit().round, one.fit().round) == (1, 1)
    assert one.history[-1].n_labels == 2


def test_a_label_that_is_sent_back_while_reviews_are_chosen_is_no_error(opened, monkeypatch):
    one, other = opened(), opened()
    ids = one.ask(4)
    one.tell(dict.fromkeys(ids, MASK))
    between(monkeypatch, reviewing, "label_qualities", lambda: other.reject(ids[0], "sloppy"))
    assert set(one.review(4, random=2, folds=2)) == set(ids)


def test_readings_of_one_moment_take_the_record_by_its_name(opened):
    store, summary = opened()._parts.store, alkit.report.campaign_summary
    assert summary(record=store) == summary(store)
    with pytest.raises(TypeError, match="record"):
        summary()


def test_a_change_and_its_date_are_recorded_together(opened, tmp_path, monkeypatch):
    one = opened(rules=SelectionRules(never="a"), people=People({"ann": 1}))
    one.ask(2)
    one.tell({one.open_ids[0]: MASK})
    store, calls = one._parts.store, []
    monkeypatch.setattr(Store, "revise", lambda *given: calls.append(given))
    opened(rules=SelectionRules(never="b"), people=People({"ben": 1}))
    one.decide_disputes(Disputes("ignore"))
    assert calls == []
    assert [line.partition(":")[0] for entry in store.fact("changes") for line in entry["changed"]] == [
        "never",
        "people",
        "disputes.decided",
    ]
