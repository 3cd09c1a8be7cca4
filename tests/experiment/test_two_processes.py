"""Two processes with one record open: what one of them changes, the other does not ignore."""

import numpy as np
import pytest
from parts import MeanLearner

import alkit
from alkit.errors import AlkitError, ResumeError

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
    assert len(list((tmp_path / "c.db.files").glob("*.png"))) == 1
    assert other.fit().n_labels == opened().fit().n_labels == 1


def test_labels_of_images_that_another_process_has_added_are_not_left_out_of_the_training(opened):
    one, other = opened(), opened()
    one.tell({"a": MASK}, unasked=True)
    other.grow(alkit.ArrayPool(IMAGES, ids=list(IDS)))
    other.tell({"h": MASK}, unasked=True)
    with pytest.raises(ResumeError, match="pool: other images"):
        one.fit()
    assert other.fit().n_labels == 2


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
