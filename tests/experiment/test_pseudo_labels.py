"""Pseudo-labels: asked for by a selection, made by the model, recorded, used in that round alone, never anybody's."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from parts import MeanLearner

import alkit
from alkit.labels.masks import decode_mask
from alkit.record import Store
from alkit.values.predictions import most_probable_labels


@dataclass(frozen=True)
class Trusting:
    """Takes the first candidates, and trusts the model about the `trusted` last ones from round 1 on."""

    trusted: int = 3

    def select(self, view, n, rng):
        ids, last = view.candidates[:n], view.candidates[n:][-self.trusted :]
        return alkit.Selection(ids, pseudo_labels=last if view.round else ())


@dataclass(frozen=True)
class Watching(MeanLearner):
    """A learner that keeps what it is given, and whose model tells images apart."""

    seen: list = field(default_factory=list, compare=False, metadata={"runtime": True})

    def fit(self, labelled, rng, previous=None, report=None):
        self.seen.append((labelled.ids, labelled.pseudo_ids, labelled.labels(labelled.ids)))
        return Thresholds(float(np.mean([labelled.images([id]).mean() for id in labelled.ids])))

    def loads(self, dumped):
        return Thresholds(float(dumped))


@dataclass(frozen=True)
class Thresholds:
    """Calls a pixel lesion where it is darker than a level: another mask for every image."""

    level: float

    def probabilities(self, images):
        lesion = 1 / (1 + np.exp(20 * (images[:, 0] - self.level)))
        return np.stack([1 - lesion, lesion], axis=1).astype(np.float32)

    def dumps(self):
        return repr(self.level).encode()


def run(world, store, rounds=2, learner=None, strategy=None):
    learner = learner or Watching()
    experiment = world.experiment(store, strategy or Trusting(), learner=learner)
    return experiment, learner, experiment.run(world.oracle, test=world.test, start=5, batch=4, rounds=rounds)


def test_a_round_learns_from_its_own_pseudo_labels_and_counts_them_apart(world, tmp_path):
    experiment, learner, history = run(world, tmp_path / "r.db")
    assert [(r.n_labels, r.n_pseudo) for r in history] == [(5, 0), (9, 3), (13, 3)]
    assert experiment.history == history
    ids = tuple(sorted(world.pool.ids))
    for number, (seen, pseudo, _) in enumerate(learner.seen):
        assert len(seen) == [5, 12, 16][number]
        assert tuple(seen[-len(pseudo) :] if pseudo else ()) == tuple(pseudo) == (ids[-3:] if number else ())
        assert not set(pseudo) & set(seen[: len(seen) - len(pseudo)])


def test_a_pseudo_label_is_the_last_rounds_prediction_of_that_very_image(world, tmp_path):
    _, learner, _ = run(world, tmp_path / "r.db")
    first = learner.loads(repr(float(np.mean([world.pool.read([id]).mean() for id in learner.seen[0][0]]))).encode())
    seen, pseudo, labels = learner.seen[1]
    masks = {id: most_probable_labels(first.probabilities(world.pool.read([id])))[0] for id in pseudo}
    assert len({mask.tobytes() for mask in masks.values()}) == 3  # so that a mix-up would show
    for id, label in zip(seen, labels, strict=True):
        np.testing.assert_array_equal(label, masks[id] if id in masks else world.masks[id])


def test_pseudo_labels_are_recorded_and_are_no_answers(world, tmp_path):
    experiment, learner, _ = run(world, tmp_path / "r.db")
    store = Store(experiment.path)
    assert store.pseudo_labels(0) == {}
    for number in (1, 2):
        _, pseudo, labels = learner.seen[number]
        recorded = store.pseudo_labels(number)
        assert tuple(recorded) == tuple(pseudo)
        for id, label in zip(pseudo, labels[-3:], strict=True):
            np.testing.assert_array_equal(decode_mask(store.content(recorded[id])), label)
    assert not set(store.answers()) & set(tuple(sorted(world.pool.ids))[-3:])
    assert set(tuple(sorted(world.pool.ids))[-3:]) <= set(experiment.candidates)


def test_a_record_that_is_opened_between_asking_and_learning_has_the_pseudo_labels(world, tmp_path):
    whole, learner, _ = run(world, tmp_path / "whole.db", rounds=1)
    begun, _, _ = run(world, tmp_path / "begun.db", rounds=0)
    begun.ask(4)
    again = world.experiment(tmp_path / "begun.db", Trusting(), learner=Watching())
    again.tell({id: world.masks[id] for id in again.open_ids})
    assert again.fit().n_pseudo == 3
    for ours, theirs in zip(again.learner.seen[-1], learner.seen[-1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert whole.history[1].ids == again.history[1].ids


def test_fitting_again_without_new_labels_changes_nothing(world, tmp_path):
    experiment, learner, history = run(world, tmp_path / "r.db")
    assert experiment.fit() == history[-1]
    assert len(learner.seen) == 3


def test_an_answer_takes_precedence_over_a_pseudo_label(world, tmp_path):
    """An image that was withdrawn becomes a candidate; its mask may still come after it got a pseudo-label."""
    experiment, learner, _ = run(world, tmp_path / "r.db", rounds=0, strategy=Trusting(trusted=99))
    withdrawn = experiment.ask(4)
    experiment.withdraw()
    ids = experiment.ask(2)
    pseudo = set(Store(experiment.path).pseudo_labels(1))
    assert pseudo & set(withdrawn)
    assert not pseudo & set(ids)
    late = (pseudo & set(withdrawn)).pop()
    experiment.tell({late: world.masks[late], **{id: world.masks[id] for id in ids}})
    result = experiment.fit()
    assert (result.n_labels, result.n_pseudo) == (8, len(pseudo) - 1)
    seen, used, labels = learner.seen[-1]
    assert late not in used
    np.testing.assert_array_equal(labels[list(seen).index(late)], world.masks[late])


def test_a_query_that_is_withdrawn_takes_its_pseudo_labels_with_it(world, tmp_path):
    experiment, _, history = run(world, tmp_path / "r.db", rounds=1)
    experiment.ask(4)
    assert Store(experiment.path).pseudo_labels(2)
    experiment.withdraw()
    assert not Store(experiment.path).pseudo_labels(2)
    assert Store(experiment.path).pseudo_labels(1)  # of a finished round they are history
    id = history[0].ids[0]
    experiment.tell({id: 1 - world.masks[id]}, revise=True)
    assert experiment.fit().n_pseudo == 0


def test_pseudo_labels_are_chosen_among_the_candidates_that_are_not_asked(world, tmp_path):
    with pytest.raises(alkit.errors.SelectionError, match="selected twice"):
        alkit.Selection(["a", "b"], pseudo_labels=["b"])

    class Stranger:
        def select(self, view, n, rng):
            return alkit.Selection(view.candidates[:n], pseudo_labels=["nobody"])

    with pytest.raises(alkit.errors.SelectionError, match="nobody"):
        world.experiment(tmp_path / "r.db", Stranger()).ask(3)


def test_pseudo_labels_before_there_is_a_model_are_a_cold_start_error(world, tmp_path):
    class Early:
        def select(self, view, n, rng):
            return alkit.Selection(view.candidates[:n], pseudo_labels=view.candidates[-1:])

    experiment = world.experiment(tmp_path / "r.db", Early())
    with pytest.raises(alkit.errors.ColdStartError, match=r"random.*maxherding"):
        experiment.ask(3)
    assert not experiment.open_ids
