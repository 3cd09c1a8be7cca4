"""A queue that is topped up while images wait for an answer."""

from contextlib import suppress

import numpy as np
import pytest

import alkit
from alkit.errors import ConfigurationError
from alkit.record.database import Database
from alkit.record.store import Store
from alkit.testing import Brightness
from alkit.values import State


def campaign(store=None, n=12, strategy="random", **others):
    images = np.random.default_rng(0).integers(0, 255, (n, 8, 8), np.uint8)
    return alkit.Experiment(
        alkit.ArrayPool(images), Brightness(), alkit.strategy(strategy), store, classes=("a", "b"), **others
    )


def tell(experiment, *ids, annotator=""):
    experiment.tell({id: np.eye(8, dtype=np.uint8) for id in ids}, annotator=annotator)


def test_a_queue_is_topped_up_and_no_open_image_is_selected_again():
    experiment = campaign()
    first = experiment.top_up(4)
    assert len(first) == 4
    assert experiment.top_up(4) == first
    tell(experiment, first[0], first[2])
    second = experiment.top_up(4)
    assert second[:2] == (first[1], first[3])
    assert len(second) == 4
    assert not set(second[2:]) & set(first)
    tell(experiment, *second)
    experiment.top_up(4)
    assert len({query.id for query in experiment._parts.store.queries()}) == 10
    assert len(experiment.top_up(9)) == 6  # no more are left
    assert experiment.candidates == ()


def test_the_size_of_a_queue_is_recorded_with_its_queries(tmp_path, monkeypatch):
    experiment, ends = campaign(tmp_path / "c.db"), 0
    end = Database._write_journal

    def die(database, connection):
        nonlocal ends
        ends += 1
        if ends == 2:
            raise KeyboardInterrupt
        return end(database, connection)

    add = experiment._parts.store.add_queries

    def begin(*arguments, **more):
        monkeypatch.setattr(Database, "_write_journal", die)
        return add(*arguments, **more)

    experiment._parts.store.add_queries = begin
    with suppress(KeyboardInterrupt):
        experiment.top_up(4)
    monkeypatch.undo()
    store = Store(tmp_path / "c.db")
    assert (len(store.queries()), store.fact("queue")) == (4, 4)


def test_images_that_are_open_count_as_labelled_for_the_strategy():
    seen = []

    def choose(view, n, rng):
        seen.append((view.candidates, view.labelled))
        return view.candidates[:n]

    images = np.zeros((6, 8, 8), np.uint8)
    experiment = alkit.Experiment(alkit.ArrayPool(images), Brightness(), choose, initial=choose, classes=("a", "b"))
    a, b, c = experiment.top_up(3)
    tell(experiment, b)
    experiment.top_up(3)
    candidates, labelled = seen[-1]
    assert set(labelled) == {a, b, c}
    assert not set(candidates) & set(labelled)


def test_late_answers_count_from_the_next_round():
    experiment = campaign()
    a, b, c = experiment.top_up(3)
    tell(experiment, a)
    with pytest.raises(alkit.errors.QueryError, match="2 images of the open query"):
        experiment.fit()
    first = experiment.fit(wait_for_answers=False)
    assert (first.round, first.n_labels, first.ids) == (0, 1, (a, b, c))
    assert experiment.fit(wait_for_answers=False) == first  # nothing is new
    *_, d = experiment.top_up(3)
    tell(experiment, b, d)
    second = experiment.fit(wait_for_answers=False)
    assert (second.round, second.n_labels, second.ids) == (1, 3, (d,))
    tell(experiment, c)
    third = experiment.fit(wait_for_answers=False)
    assert (third.round, third.n_labels, third.ids) == (2, 4, ())
    assert experiment.history[0].ids == (a, b, c)


def test_an_image_that_one_of_two_annotators_has_labelled_is_trained_on_and_stops_nobody():
    experiment = campaign(annotators=2, join="majority")
    a, b = experiment.top_up(2)
    tell(experiment, a, b, annotator="ann")
    assert experiment.waiting_ids == ()
    assert experiment.fit(wait_for_answers=False).n_labels == 2
    assert len(experiment.top_up(2)) == 4  # two new ones for ann, four for the other annotator
    tell(experiment, a, annotator="ben")
    assert {s.query.id: s.state for s in experiment.standings()}[a] == State.STALE
    assert experiment.fit(wait_for_answers=False).n_labels == 2


def test_a_queue_that_cannot_be_topped_up_stays_as_it_was():
    experiment = campaign()
    with pytest.raises(ConfigurationError, match="n must be an integer from 1 to 12"):
        experiment.top_up(10_000)
    assert experiment._parts.store.fact("queue") is None


def test_a_queue_that_was_topped_up_by_a_killed_process_has_no_doubles(tmp_path, monkeypatch):
    expected = campaign()
    a, *_ = expected.top_up(3)
    tell(expected, a)
    ids = expected.top_up(3)
    steps = ("add_queries", "count_ranks", "rounds", "snapshot")
    for number, step in enumerate(steps):
        store = tmp_path / f"{number}.db"
        experiment = campaign(store)
        a, *_ = experiment.top_up(3)
        tell(experiment, a)
        for after in (False, True):  # killed before or after the step
            real = getattr(Store, step)

            def broken(*given, real=real, after=after, **named):
                if after:
                    real(*given, **named)
                raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(Store, step, broken)
                with pytest.raises(KeyboardInterrupt):
                    experiment.top_up(3)
            experiment = campaign(store)
        assert experiment.top_up(3) == ids
        asked = [query.id for query in experiment._parts.store.queries()]
        assert len(asked) == len(set(asked)) == 4
