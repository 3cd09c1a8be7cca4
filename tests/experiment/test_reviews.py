"""Labels that may be wrong are asked again, and what that found is recorded."""

import os
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit import Answer
from alkit.errors import LabelError, QueryError
from alkit.oracles.annotations import AnnotatedImage, Content, Region
from alkit.oracles.formats.answers import answers
from alkit.record.database import Database
from alkit.record.reviews import decided_by_review
from alkit.values import Skip, State, Withdrawal

CLASSES = ("skin", "lesion")
_, MASKS = alkit.synthetic.lesions(12, size=16)


def _experiment(n=12, wrong=(), store=None, by="ann", **more):
    pool = alkit.ArrayPool(200 - 150 * MASKS)
    learner = alkit.testing.Brightness()
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), store, classes=CLASSES, **more)
    asked = experiment.ask(n)
    experiment.tell({id: _wrong(id) if id in wrong else MASKS[int(id)] for id in asked}, annotator=by)
    return experiment


def _wrong(id):
    return 1 - MASKS[int(id)]


def test_wrong_labels_are_asked_first_and_reviews_are_no_part_of_other_states():
    experiment = _experiment(wrong=("0003", "0007"))
    before = [standing.state for standing in experiment.standings()]
    asked = experiment.review(3, random=1, folds=3)
    assert len(asked) == 3
    assert len({"0003", "0007"} & set(asked)) >= 1
    assert experiment.review(3, random=1, folds=3) == asked  # as after a kill: they were not sent yet
    experiment._parts.store.mark_sent(asked)
    assert experiment.review(1, random=0, folds=3)[0] not in asked
    assert [standing.state for standing in experiment.standings()] == before
    assert (experiment.open_ids, experiment.candidates) == ((), ())
    assert {review.outcome for review in experiment.reviews()} == {None}
    assert len(experiment.fit().ids) == 12  # it does not wait, and a review is no query of the round
    with pytest.raises(QueryError, match="cannot review 11 more labels: only 8 can be asked again"):
        experiment.review(12)


def test_an_equal_answer_closes_a_review_and_leaves_a_trace():
    experiment = _experiment()
    (id,) = experiment.review(1, random=1)
    n = len(experiment.answers())
    receipt = experiment.receive([Answer(id, MASKS[int(id)], "ann")])
    assert [answer.id for answer in receipt.taken] == [id]
    assert len(experiment.answers()) == n + 1
    (review,) = experiment.reviews()
    assert (review.outcome, review.by, review.agreement, review.why) == ("kept", "ann", {"ann": 1.0}, "random")
    assert experiment.receive([Answer(id, MASKS[int(id)], "ann")]).unchanged
    assert len(experiment.answers()) == n + 1
    assert id not in experiment.review(11, random=11)  # it was reviewed


def test_a_correction_needs_no_revise_and_counts():
    experiment = _experiment(wrong=("0003",))
    (id,) = experiment.review(1, random=0, folds=3)
    assert id == "0003"
    experiment.tell({id: MASKS[3]}, annotator="ann")
    (review,) = experiment.reviews()
    assert review.outcome == "corrected"
    assert review.agreement["ann"] < 0.5
    assert np.array_equal(experiment.label(experiment.answers()[-1]), MASKS[3])


def test_a_skip_in_a_review_sends_the_label_back_with_the_reason():
    experiment = _experiment()
    (id,) = experiment.review(1, random=1)
    experiment.receive([Answer(id, Skip("blurred"), "ben")])
    (review,) = experiment.reviews()
    assert (review.outcome, review.by, review.reason) == ("rejected", "ben", "blurred")
    (label,) = [answer for answer in experiment.answers() if answer.id == id and answer.kind == "label"]
    assert label.rejected == "ben says that it cannot be labelled: blurred"
    (standing,) = [standing for standing in experiment.standings() if standing.query.id == id]
    assert standing.state is State.SKIPPED
    assert experiment.fit().n_labels == 11


def test_a_skip_in_a_review_sends_the_label_back_also_if_the_process_dies_between_two_changes(tmp_path, monkeypatch):
    class DiedError(BaseException):
        pass

    def dies_after(changes):
        real, left = Database.transaction, [changes]

        def transaction(self, *given):
            if not left[0]:
                raise DiedError
            left[0] -= 1
            return real(self, *given)

        return transaction

    finished = False
    for changes in range(9):
        store = tmp_path / f"{changes}.db"
        experiment = _experiment(store=store)
        (id,) = experiment.review(1, random=1)
        told = [Answer(id, Skip("blurred"), "ben")]
        with monkeypatch.context() as patch, suppress(DiedError):
            patch.setattr(Database, "transaction", dies_after(changes))
            experiment.receive(told)
            finished = True
        given = {"pool": experiment.pool, "learner": alkit.testing.Brightness()}
        again = alkit.Experiment.open(store, **given)
        again.receive(told)
        (review,) = again.reviews()
        assert (review.outcome, [a.rejected is None for a in again.answers() if a.id == id]) == (
            "rejected",
            [False, True],
        )
        assert again.fit().n_labels == 11
        if finished:
            break
    assert finished


def test_a_review_that_asks_somebody_is_not_closed_by_others():
    experiment = _experiment()
    (id,) = experiment.review(1, random=1, by="ben")
    experiment.receive([Answer(id, MASKS[int(id)], "ann")])
    assert experiment.reviews()[0].outcome is None
    experiment.receive([Answer(id, MASKS[int(id)], "ben")])
    assert experiment.reviews()[0].by == "ben"


def test_disputed_labels_are_asked_and_labels_held_out_are_not_sent_back_by_a_model():
    experiment = _experiment(hold_out=0.25, annotators=2)
    experiment.receive([Answer(id, MASKS[int(id)], "ben") for id in experiment.open_ids])
    experiment.fit()
    held_out = set(experiment._parts.store.fact("sides")["held_out"])
    wrong = sorted(held_out)[0]
    experiment.receive([Answer(wrong, _wrong(wrong), "ben")])
    asked = experiment.review(9, random=0, folds=3)
    assert wrong in asked  # disputed
    assert not (held_out - {wrong}) & set(asked)
    assert {review.id for review in experiment.reviews() if review.why == "disputed"} == {wrong}


def test_a_first_answer_that_is_shown_must_be_confirmed():
    experiment = _experiment()
    (id,) = experiment.review(1, random=1, show_first=True)
    assert np.array_equal(experiment.prelabels()[id], MASKS[int(id)])
    with pytest.raises(LabelError, match="equals its pre-label"):
        experiment.tell({id: MASKS[int(id)]}, annotator="ann")
    experiment.tell({id: MASKS[int(id)]}, annotator="ann", confirmed=True)
    (review,) = experiment.reviews()
    assert (review.outcome, review.shown) == ("kept", True)


def test_a_named_review_can_be_withdrawn_and_the_first_query_stays():
    experiment = _experiment()
    (id,) = experiment.review(1, random=1)
    assert experiment.withdraw() == ()
    assert experiment.withdraw([id]) == (id,)
    assert experiment.reviews() == ()
    assert all(standing.state is State.ANSWERED for standing in experiment.standings())


def _folder(tmp_path, experiment):
    return alkit.FolderOracle(tmp_path, classes=CLASSES, images=experiment.pool, campaign=experiment.campaign, settle=0)


def _save(path, mask, seconds_ago=0.0):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(mask).save(path)
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


def test_files_answer_the_query_in_their_name(tmp_path):
    experiment = _experiment(n=2)
    (id,) = experiment.review(1, random=1)
    oracle = _folder(tmp_path, experiment)
    (query,) = experiment.send(oracle)
    (first,) = [standing.query for standing in experiment.standings() if standing.query.id == id]
    _save(tmp_path / "ann" / f"{first.key}.png", MASKS[int(id)])  # the earlier file, copied again
    experiment.collect(oracle)
    assert experiment.reviews()[0].outcome is None
    about = (tmp_path / query.key / "query.json").read_text()
    assert "review" not in about
    assert '"stands_for": "asked again"' in about
    _save(tmp_path / "ann" / f"{query.key}.png", MASKS[int(id)], seconds_ago=3600)  # with the time of the first one
    experiment.collect(oracle)
    assert experiment.reviews()[0].outcome == "kept"


def test_a_copied_file_that_is_named_by_its_image_answers_no_review(tmp_path):
    experiment = _experiment(n=2)
    (id,) = experiment.review(1, random=1)
    oracle = _folder(tmp_path, experiment)
    experiment.send(oracle)
    file = tmp_path / "ann" / f"{id}.png"
    _save(file, MASKS[int(id)], seconds_ago=-60)  # later than the review
    assert experiment.collect(oracle).unchanged
    assert experiment.reviews()[0].outcome is None
    _save(file, _wrong(id), seconds_ago=-90)
    experiment.collect(oracle)
    assert experiment.reviews()[0].outcome == "corrected"


def test_an_export_with_both_queries_of_an_image_answers_the_later_one():
    spec = alkit.LabelSpec(CLASSES)
    first = alkit.Query("a", 0, 0, ((2, 2),))
    review = alkit.Query("a", 1, 3, ((2, 2),), purpose="review")

    def image(key, label):
        mask = np.full((2, 2), True)
        return AnnotatedImage(key, (2, 2), (Region(label, lambda: mask),))

    content = Content((image(f"{review.key}.png", "lesion"), image(f"{first.key}.png", "skin")), ())
    found = list(answers(Path("x.json"), 5, content, [first, review], spec, annotator="ann", empty="unanswered"))
    assert [(answer.id, answer.query, int(answer.label.max())) for answer in found] == [("a", review.key, 1)]


def test_a_label_that_nobody_asked_for_can_be_reviewed():
    pool = alkit.ArrayPool(200 - 150 * MASKS)
    experiment = alkit.Experiment(pool, alkit.testing.Brightness(), alkit.strategy("random"), classes=CLASSES)
    experiment.tell({id: MASKS[int(id)] for id in pool.ids}, unasked=True, source="old project")
    (id,) = experiment.review(1, random=1)
    assert experiment.fit().n_unasked == 12
    experiment.receive([Answer(id, _wrong(id), "ben")])
    assert experiment.reviews()[0].outcome == "corrected"


def test_the_label_of_a_review_counts_alone_and_ends_a_dispute():
    experiment = _experiment(annotators=2, join="majority")
    experiment.receive([Answer(id, MASKS[int(id)], "ben") for id in experiment.open_ids[1:]])
    id = experiment.open_ids[0]
    experiment.receive([Answer(id, _wrong(id), "ben")])
    assert experiment.agreement().disputed == (id,)
    assert experiment.fit().n_labels == 11  # nothing of it is decided
    assert experiment.review(1, random=0, folds=3) == (id,)
    experiment.receive([Answer(id, MASKS[int(id)], "cid")])
    assert experiment.agreement().disputed == ()
    result = experiment.fit()
    assert (result.round, result.n_labels) == (1, 12)
    (review,) = experiment.reviews()
    assert (review.outcome, review.agreement["ann"]) == ("corrected", 1.0)


@pytest.mark.parametrize("who", ["ann", "ben"])
def test_the_next_fit_trains_on_the_label_that_a_review_has_chosen_also_if_it_is_not_new(who):
    experiment = _experiment(annotators=2, join="majority")
    masks = {id: MASKS[int(id)] for id in experiment.pool.ids}
    half = np.where(np.arange(16) < 8, 1 - masks["0003"], masks["0003"])  # they agree on the other half
    experiment.receive([Answer(id, half if id == "0003" else mask, "ben") for id, mask in masks.items()])
    first = experiment.fit()
    assert experiment.review(1, random=0, folds=3) == ("0003",)
    assert experiment.fit() == first
    experiment.receive([Answer("0003", masks["0003"] if who == "ann" else half, who)])
    assert [one.state for one in experiment.standings() if one.query.id == "0003"] == [State.STALE]
    second = experiment.fit()
    assert second.round == first.round + 1
    assert {one.state for one in experiment.standings()} == {State.CONSUMED}
    assert experiment.fit() == second


def test_a_first_label_that_is_read_again_does_not_undo_a_correction_and_a_new_one_does():
    experiment = _experiment()
    (id,) = experiment.review(1, random=1)
    experiment.receive([Answer(id, _wrong(id), "ben")])
    now = time.time_ns()
    experiment.receive([Answer(id, MASKS[int(id)], "ann", revision=now - 10**9)])  # the file was copied

    def decided():
        snapshot = experiment._parts.store.snapshot()
        return decided_by_review(snapshot.asked, snapshot.answers, snapshot.known)

    assert decided()[id].annotator == "ben"
    experiment.receive([Answer(id, 0 * MASKS[int(id)], "ann", revision=now)])
    assert decided() == {}


def test_the_files_of_a_first_label_and_of_its_correction_are_both_known_when_they_are_read_again():
    pool, now = alkit.ArrayPool(200 - 150 * MASKS), time.time_ns()
    experiment = alkit.Experiment(pool, alkit.testing.Brightness(), alkit.strategy("random"), classes=CLASSES)
    experiment.ask(6)
    keys = {query.id: query.key for query in experiment.queries()}
    experiment.receive([Answer(id, MASKS[int(id)], "ann", now - 10**9, query=key) for id, key in keys.items()])
    (id,) = experiment.review(1, random=1)
    (entry,) = experiment._parts.store.snapshot().open_reviews
    files = [
        Answer(id, MASKS[int(id)], "ann", now - 10**9, query=keys[id]),
        Answer(id, _wrong(id), "ann", now, query=entry.query.key),
    ]
    experiment.receive(files)
    receipt = experiment.receive(files)
    assert (receipt.taken, receipt.outdated) == ((), ())
    assert len(receipt.unchanged) == 2
    assert experiment.reviews()[0].outcome == "corrected"


def test_classes_are_reviewed_with_the_first_answer_in_words():
    from sklearn.linear_model import LogisticRegression

    pixels = np.stack([np.full((8, 8), 40 if n % 2 else 210, np.uint8) for n in range(6)])
    spec = alkit.LabelSpec(("light", "dark"), per="image")
    learner, random = alkit.EstimatorLearner(LogisticRegression()), alkit.strategy("random")
    experiment = alkit.Experiment(alkit.ArrayPool(pixels), learner, random, classes=spec)
    experiment.tell({id: int(id) % 2 for id in experiment.ask(6)}, annotator="ann")
    (id,) = experiment.review(1, random=1, show_first=True)
    (entry,) = experiment._parts.store.snapshot().open_reviews
    first = spec.classes[int(id) % 2]
    assert entry.query.stands_for == f"asked again: drawn at random, to check labels; the first answer was {first!r}"
    experiment.receive([Answer(id, 1 - int(id) % 2, "ben", query=entry.query.key)])
    (review,) = experiment.reviews()
    assert (review.outcome, review.agreement) == ("corrected", {"ann": 0.0})


def test_what_replaces_an_answer_to_a_review_is_the_answer_to_it():
    def reviewed(first):
        experiment = _experiment(annotators=2, join="majority")
        experiment.receive([Answer(id, _wrong(id), "ben") for id in experiment.open_ids])
        (id,) = experiment.review(1, random=1, by="cid")
        experiment.tell({id: first(id)}, annotator="cid")
        return experiment, id

    def found(experiment, id):
        snapshot = experiment._parts.store.snapshot()
        decided = decided_by_review(snapshot.asked, snapshot.answers, snapshot.known)
        (review,) = experiment.reviews()
        is_open = [entry.query.id for entry in snapshot.open_reviews] == [id]
        return review.outcome, {id: answer.annotator for id, answer in decided.items()}, is_open

    def near(id):
        mask = MASKS[int(id)].copy()
        mask[0, :2] = 1
        return mask

    experiment, id = reviewed(near)
    assert found(experiment, id) == ("corrected", {id: "cid"}, False)  # with ben it does not agree
    experiment.tell({id: MASKS[int(id)]}, annotator="cid", revise=True)
    assert found(experiment, id) == ("corrected", {id: "cid"}, False)
    assert experiment.reviews()[0].agreement["ann"] == 1.0
    experiment.tell({id: Skip("hair")}, annotator="cid", revise=True)
    assert found(experiment, id) == ("rejected", {}, False)
    reasons = {answer.annotator: answer.rejected for answer in experiment.answers() if answer.id == id}
    assert reasons == dict.fromkeys(("ann", "ben"), "cid says that it cannot be labelled: hair") | {"cid": None}
    experiment.tell({id: near(id)}, annotator="cid", revise=True)
    assert found(experiment, id) == ("corrected", {id: "cid"}, False)
    experiment.tell({id: Withdrawal("by mistake")}, annotator="cid", revise=True)
    assert found(experiment, id) == (None, {}, True)
    experiment.tell({id: near(id)}, annotator="cid")
    assert found(experiment, id) == ("corrected", {id: "cid"}, False)

    experiment, id = reviewed(near)
    (key,) = [standing.query.key for standing in experiment.standings() if standing.query.id == id]
    (place,) = [answer.query for answer in experiment.answers() if answer.query]
    older = [Answer(id, 0 * near(id), "cid", revision=0)]
    experiment.receive(older)
    experiment.receive([Answer(id, 0 * near(id), "ann", revision=0)])
    assert found(experiment, id) == ("corrected", {id: "cid"}, False)  # they came late and change nothing
    experiment.receive([Answer(id, 0 * near(id), "ben", revision=8)])
    assert found(experiment, id)[1] == {}
    experiment.reject(id, "sloppy", "ben")
    assert found(experiment, id)[1] == {id: "cid"}
    experiment.receive([Answer(id, MASKS[int(id)], "cid", revision=9, query=key)])
    assert found(experiment, id)[1] == {}  # somebody labels the first query again
    assert [answer.query for answer in experiment.answers() if answer.annotator == "cid"] == [place, None, None]
