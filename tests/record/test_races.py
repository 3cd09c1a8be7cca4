"""Answers that arrive while another process changes the settings of a record without answers."""

from functools import partial

import numpy as np
import pytest
from parts import CLASSES, MeanLearner

import alkit
from alkit import Answer
from alkit.errors import AlkitError, QueryError, ResumeError, StoreBusyError
from alkit.record import Store

OTHER = MeanLearner(noise=0.5)


class Stopped(Exception):
    pass


class Stopping:
    """An oracle at which the run is stopped."""

    spec = alkit.LabelSpec(("skin", "lesion"))

    def ask(self, queries):
        pass

    def poll(self):
        raise Stopped


def asked(world, store):
    """Return a run that has asked for images and was stopped."""
    experiment = world.experiment(store, classes=CLASSES)
    with pytest.raises(Stopped):
        experiment.run(Stopping(), start=3, batch=2, rounds=1)
    return experiment


def meanwhile(monkeypatch, name, action):
    """Do something once, before a method of stores is called."""
    method, todo = getattr(Store, name), [action]

    def called(self, *arguments, **named):
        while todo:
            todo.pop()()
        return method(self, *arguments, **named)

    monkeypatch.setattr(Store, name, called)


def test_an_answer_that_arrives_while_a_run_is_begun_again_is_kept(world, tmp_path, monkeypatch):
    experiment = asked(world, tmp_path / "e.db")
    id = experiment.open_ids[0]
    answer = Answer(id, world.masks[id], "ann")
    meanwhile(monkeypatch, "together", partial(experiment.receive, [answer]))
    with pytest.raises(ResumeError, match="was created with other settings: learner"):
        world.experiment(tmp_path / "e.db", learner=OTHER, classes=CLASSES)
    assert [told.id for told in experiment.answers()] == [id]
    assert world.experiment(tmp_path / "e.db", classes=CLASSES).open_ids == experiment.open_ids


def test_queries_stay_as_they_are_if_settings_stay_because_an_answer_has_just_arrived(world, tmp_path, monkeypatch):
    experiment = world.experiment(tmp_path / "e.db", classes=CLASSES)
    first, second = experiment.ask(2)
    meanwhile(monkeypatch, "together", partial(experiment.tell, {first: world.masks[first]}))
    with pytest.raises(ResumeError, match="was created with other settings: strategy"):
        world.experiment(tmp_path / "e.db", classes=CLASSES, strategy=lambda view, n, rng: [], annotators=2)
    assert experiment.open_ids == (second,)
    assert [query.wanted for query in experiment._parts.store.queries()] == [1, 1]


@pytest.mark.parametrize("call", ["tell", "receive"])
def test_an_answer_to_a_query_that_has_just_been_deleted_is_refused(world, tmp_path, monkeypatch, call):
    experiment = asked(world, tmp_path / "e.db")
    id = experiment.open_ids[0]
    meanwhile(monkeypatch, "add_answers", partial(world.experiment, tmp_path / "e.db", learner=OTHER, classes=CLASSES))
    if call == "tell":
        with pytest.raises(QueryError, match="was never asked"):
            experiment.tell({id: world.masks[id]})
    else:
        ((_, reason),) = experiment.receive([Answer(id, world.masks[id], "ann")]).refused
        assert "was never asked" in reason


@pytest.mark.parametrize("call", ["tell", "receive"])
def test_a_label_is_not_recorded_under_classes_that_were_changed_meanwhile(world, tmp_path, monkeypatch, call):
    experiment = world.experiment(tmp_path / "e.db", classes=CLASSES)
    (id,) = experiment.ask(1)
    change = partial(world.experiment, tmp_path / "e.db", classes=("lesion", "skin"))
    mask = np.zeros((16, 16), np.uint8)
    meanwhile(monkeypatch, "add_answers", change)
    with pytest.raises(StoreBusyError, match="has just changed the classes"):
        experiment.tell({id: mask}) if call == "tell" else experiment.receive([Answer(id, mask, "ann")])
    assert experiment.answers() == ()
    experiment.tell({id: mask})
    with pytest.raises(AlkitError, match="was created with other settings: classes"):
        world.experiment(tmp_path / "e.db", classes=CLASSES)


def test_classes_stay_if_an_answer_has_just_arrived(world, tmp_path, monkeypatch):
    experiment = world.experiment(tmp_path / "e.db", classes=CLASSES)
    (id,) = experiment.ask(1)
    meanwhile(monkeypatch, "revise_unanswered", partial(experiment.tell, {id: world.masks[id]}))
    with pytest.raises(AlkitError, match="was created with other settings: classes"):
        world.experiment(tmp_path / "e.db", classes=("lesion", "skin"))
    assert experiment.spec.classes == CLASSES
