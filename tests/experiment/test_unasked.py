"""Labels that nobody asked for: taken, marked, trained on, and kept apart from chosen ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from parts import CLASSES

import alkit
from alkit.errors import ConfigurationError, ConflictError, DataError, LabelError, QueryError
from alkit.values import Answer, Withdrawal


@dataclass(frozen=True)
class Recorder:
    """Remembers what it saw as labelled."""

    seen: list
    starts_cold: bool = True

    def select(self, view, n, rng):
        self.seen.append(view.labelled)
        return alkit.Selection(view.candidates[:n])


def told(world, ids):
    return {id: world.masks[id] for id in ids}


def imported(world, n=4, store=None, **more):
    experiment = world.experiment(store, classes=CLASSES, **more)
    ids = experiment.pool.ids[:n]
    experiment.tell(told(world, ids), unasked=True, source="last year")
    return experiment, ids


def test_they_are_recorded_with_their_source_and_are_no_answers_to_queries(world):
    experiment, ids = imported(world)
    assert [(answer.id, answer.source, answer.kind) for answer in experiment.answers()] == [
        (id, "last year", "label") for id in ids
    ]
    assert experiment.standings() == () == experiment.open_ids
    assert set(experiment.candidates) == set(experiment.pool.ids) - set(ids)
    asked = experiment.ask(2)
    experiment.tell(told(world, asked))
    assert {answer.id: answer.source for answer in experiment.answers()} == {
        **dict.fromkeys(ids, "last year"),
        **dict.fromkeys(asked, ""),
    }
    assert {standing.query.id for standing in experiment.standings()} == set(asked)


def test_telling_the_same_again_changes_nothing(world):
    experiment, ids = imported(world)
    before = experiment.answers()
    experiment.tell(told(world, ids), unasked=True, source="the same, by another way")
    receipt = experiment.receive([Answer(id, world.masks[id]) for id in ids], unasked=True)
    assert experiment.answers() == before
    assert [answer.id for answer in receipt.unchanged] == list(ids)


def test_they_are_trained_on_from_round_0_and_counted_apart(world):
    experiment, _ = imported(world)
    experiment.tell(told(world, experiment.ask(3)))
    result = experiment.fit()
    assert (result.n_labels, result.n_unasked, len(result.ids)) == (7, 4, 3)
    experiment.tell(told(world, experiment.ask(2)))
    assert [(r.n_labels, r.n_unasked) for r in (*experiment.history[:1], experiment.fit())] == [(7, 4), (9, 4)]
    reopened = world.experiment(experiment.path)
    assert [r.n_unasked for r in reopened.history] == [4, 4]
    assert reopened.history == experiment.history


def test_a_model_can_be_trained_on_them_alone(world):
    experiment, _ = imported(world)
    assert experiment.learnable
    result = experiment.fit()
    assert (result.round, result.ids, result.n_labels, result.n_unasked) == (0, (), 4, 4)
    assert experiment.fit() == result  # nothing new
    experiment.tell(told(world, experiment.pool.ids[4:6]), unasked=True)
    assert experiment.fit().n_unasked == 6


def test_the_strategy_of_round_0_sees_their_images_as_labelled(world):
    seen = []
    experiment, ids = imported(world, strategy=Recorder(seen))
    experiment.ask(2)
    assert seen == [tuple(sorted(ids))]


def test_a_cold_start_that_covers_the_pool_begins_beside_them(world):
    # Each image is identical to one other image: one of each pair is labelled, so the others are drawn last.
    pixels = np.repeat(np.random.default_rng(0).integers(256, size=(4, 8, 8), dtype=np.uint8), 2, axis=0)
    pool = alkit.ArrayPool(pixels)
    masks = {id: np.zeros((8, 8), np.uint8) for id in pool.ids}
    strategy = alkit.strategy("k-centre", features=alkit.testing.RowMeans())
    experiment = replace(world, pool=pool, masks=masks).experiment(None, strategy, classes=CLASSES)
    experiment.tell(told(replace(world, masks=masks), pool.ids[0:4:2]), unasked=True)  # of the first two pairs
    assert {int(id) // 2 for id in experiment.ask(2)} == {2, 3}


def test_rounds_ask_for_start_more_labels_and_give_the_same_after_a_stop(world, tmp_path):
    schedule = {"test": world.test, "start": 4, "batch": 3}
    whole, _ = imported(world, store=tmp_path / "a.db")
    expected = whole.run(world.oracle, rounds=2, **schedule)
    assert [(r.n_labels, r.n_unasked, len(r.ids)) for r in expected] == [(8, 4, 4), (11, 4, 3), (14, 4, 3)]
    imported(world, store=tmp_path / "b.db")
    world.experiment(tmp_path / "b.db").run(world.oracle, rounds=1, **schedule)
    again = world.experiment(tmp_path / "b.db").run(world.oracle, rounds=2, **schedule)
    shown = [[(r.ids, r.n_labels, r.n_unasked, dict(r.metrics)) for r in found] for found in (expected, again)]
    assert shown[0] == shown[1]


def test_rounds_that_need_more_images_than_are_left_are_refused(world):
    experiment, _ = imported(world, n=len(world.pool.ids) - 3)
    with pytest.raises(ConfigurationError, match=r"rounds need 4 labels, but the pool has \d+ images, and \d+ of them"):
        experiment.run(world.oracle, start=4, batch=1, rounds=0)


def test_a_label_for_an_open_query_is_its_answer(world):
    experiment = world.experiment(classes=CLASSES)
    first, second = experiment.ask(2)
    experiment.tell(told(world, [first]), unasked=True, source="found on a disk")
    assert experiment.open_ids == (second,)
    experiment.tell(told(world, [second]))
    result = experiment.fit()
    assert (result.n_labels, result.n_unasked) == (2, 0)  # the strategy chose both
    assert [answer.source for answer in experiment.answers()] == ["found on a disk", ""]


def test_a_label_that_differs_from_an_answer_is_refused_unless_it_is_meant(world):
    experiment = world.experiment(classes=CLASSES)
    (asked,) = experiment.ask(1)
    experiment.tell(told(world, [asked]), annotator="ann")
    other = 1 - world.masks[asked]
    for by in ("ann", "bob"):
        with pytest.raises(ConflictError, match="was asked for and has an answer of 'ann' already"):
            experiment.tell({asked: other}, annotator=by, unasked=True)
    experiment.tell(told(world, [asked]), annotator="ann", unasked=True)  # the same label
    assert len(experiment.answers()) == 1
    experiment.tell({asked: other}, annotator="bob", unasked=True, revise=True)
    assert [answer.annotator for answer in experiment.answers()] == ["ann", "bob"]


def test_a_correction_needs_revise_and_is_not_asked_for_either(world):
    experiment, ids = imported(world)
    other = {ids[0]: 1 - world.masks[ids[0]]}
    with pytest.raises(ConflictError, match="has an answer already"):
        experiment.tell(other, unasked=True)
    experiment.tell(other, unasked=True, revise=True)
    assert experiment.fit().n_unasked == 4
    with pytest.raises(QueryError, match="was never asked"):
        experiment.tell(other)


def test_sent_back_or_taken_back_their_images_can_be_selected_again(world):
    experiment, ids = imported(world)
    experiment.reject(ids[0], "the border is missing")
    experiment.tell({ids[1]: Withdrawal("another patient")}, unasked=True, revise=True)
    assert set(ids[:2]) < set(experiment.candidates)
    with pytest.raises(LabelError, match="was sent back: the border is missing"):
        experiment.tell(told(world, ids[:1]), unasked=True)
    everything = experiment.ask(len(experiment.candidates))
    experiment.tell({id: 1 - world.masks[id] for id in everything}, revise=True)
    result = experiment.fit()
    assert (result.n_labels, result.n_unasked) == (len(world.pool.ids), 2)
    assert {standing.query.id for standing in experiment.standings()} == set(everything)


def test_a_late_label_for_an_image_whose_query_was_withdrawn_stays_apart(world):
    experiment = world.experiment(classes=CLASSES)
    (asked,) = experiment.ask(1)
    experiment.withdraw()
    experiment.tell(told(world, [asked]), unasked=True)
    assert [standing.state for standing in experiment.standings()] == ["cancelled"]
    assert experiment.fit().n_unasked == 1


def test_they_can_be_held_out_like_others(world):
    experiment, _ = imported(world, n=10, hold_out=0.2)
    result = experiment.fit()
    assert (result.n_labels, result.n_held_out, result.n_unasked) == (8, 2, 8)


def test_wrong_ones_are_refused_with_a_reason_and_the_others_are_taken(world):
    experiment = world.experiment(classes=CLASSES)
    a, b, c = experiment.pool.ids[:3]
    answers = [Answer("strange", world.masks[a]), Answer(a, world.masks[a][:2]), Answer(b, alkit.SKIP)]
    receipt = experiment.receive([*answers, Answer(c, world.masks[c])], unasked=True)
    assert [answer.id for answer in receipt.taken] == [c]
    assert [reason.partition(": got")[0] for _, reason in receipt.refused] == [
        "'strange' is not an image of the pool. Try: labels of its images.",
        f"the mask of {a!r} has another size than its image",
        f"a skip answers a query, and nobody asked for {b!r}. Try: a label.",
    ]
    assert [answer.id for answer in experiment.answers()] == [c]  # nothing is recorded of the others
    with pytest.raises(DataError, match="is not an image of the pool"):
        experiment.tell({a: world.masks[a], "strange": world.masks[a]}, unasked=True)
    assert len(experiment.answers()) == 1


@pytest.mark.parametrize("source", ["two\nlines", "x" * 201])
def test_a_source_is_one_line_and_belongs_to_labels_that_nobody_asked_for(world, source):
    experiment = world.experiment(classes=CLASSES)
    label = told(world, experiment.pool.ids[:1])
    with pytest.raises(ConfigurationError, match="source must be text in one line"):
        experiment.tell(label, unasked=True, source=source)
    with pytest.raises(ConfigurationError, match="source can be given only with unasked=True"):
        experiment.tell(label, source="a")
    with pytest.raises(ConfigurationError, match="source can be given only with unasked=True"):
        experiment.receive([], source="a")
