"""Annotators who disagree evenly: nothing is trained on what they disagree about, and the round says so."""

from functools import partial

import numpy as np
import pytest

import alkit
from alkit import Answer
from alkit.cli import main
from alkit.errors import LabelError, QueryError
from alkit.evaluation import metrics
from alkit.labels import to_working
from alkit.record.label_files import LabelFiles, at_one_size
from alkit.values import Frame, State
from tests.support.warnings_of import warnings_of

SIZE = 16


def campaign(path=None, join="majority", classes=("skin", "lesion"), **terms):
    images, _ = alkit.synthetic.lesions(8, size=SIZE)
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), device="cpu")
    strategy = alkit.strategy("random")
    return alkit.Experiment(
        alkit.ArrayPool(images), learner, strategy, path, classes=classes, annotators=2, join=join, **terms
    )


def drawn(top, left, side=4):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def tell(experiment, masks):
    """Tell the masks of each image, the first by ann and the second by bob."""
    for id, own in masks.items():
        experiment.receive([Answer(id, mask, by) for mask, by in zip(own, ("ann", "bob"), strict=True)])


@pytest.mark.parametrize("join", ["majority", "staple"])
def test_pixels_about_which_annotators_disagree_are_ignored_in_training_and_reported(tmp_path, seen, join):
    experiment = campaign(tmp_path / "r.db", join)
    a, b, c = experiment.ask(3)
    tell(experiment, {a: [drawn(0, 0), drawn(8, 8)], b: [drawn(4, 4)] * 2, c: [drawn(0, 0), drawn(0, 0, 8)]})
    result = experiment.fit()
    (given,) = seen
    assert set(given.ids) == {a, b, c}
    assert given.spec == alkit.LabelSpec(("skin", "lesion"), ignore=255)
    np.testing.assert_array_equal(given.labels([a])[0], 255 * (drawn(0, 0) | drawn(8, 8)))
    np.testing.assert_array_equal(given.labels([b])[0], drawn(4, 4))
    np.testing.assert_array_equal(given.labels([c])[0], np.where(drawn(0, 0), 1, 255 * drawn(0, 0, 8)))
    (warning,) = warnings_of(result)
    assert warning.startswith("Annotators disagree evenly about 15.6 % of the pixels of 2 images.")
    assert repr(a) in warning
    assert repr(c) in warning
    assert repr(b) not in warning
    assert warnings_of(experiment.history[0]) == (warning,)
    again = alkit.Experiment.open(tmp_path / "r.db", pool=experiment.pool)
    assert warnings_of(again.history[0]) == (warning,)
    assert experiment.spec.ignore is None  # for annotators
    with pytest.raises(LabelError, match=r"values outside its classes: got \[255\]"):
        experiment.tell({a: 255 * drawn(0, 0)}, annotator="ann", revise=True)


def test_without_a_tie_a_learner_gets_the_classes_as_they_are(seen):
    experiment = campaign()
    a, b = experiment.ask(2)
    tell(experiment, {a: [drawn(0, 0)] * 2, b: [drawn(4, 4)] * 2})
    assert warnings_of(experiment.fit()) == ()
    assert seen[0].spec.ignore is None


def test_an_image_of_which_nothing_is_decided_is_left_out_until_it_is(seen):
    experiment = campaign()
    a, b = experiment.ask(2)
    tell(experiment, {a: [drawn(0, 0), 1 - drawn(0, 0)]})
    experiment.tell({b: alkit.SKIP}, annotator="ann")
    experiment.tell({b: alkit.SKIP}, annotator="bob")
    with pytest.raises(QueryError, match="disagree evenly about every labelled image"):
        experiment.fit()
    (c,) = experiment.ask(1) if not experiment.open_ids else experiment.open_ids
    tell(experiment, {c: [drawn(4, 4)] * 2})
    result = experiment.fit()
    assert result.n_labels == 1
    assert seen[-1].ids == (c,)
    (warning,) = warnings_of(result)
    assert warning == f"Annotators disagree evenly about 1 image, which is left out of the training: {a!r}."
    assert experiment.fit().round == result.round  # nothing new
    experiment.tell({a: drawn(0, 0)}, annotator="bob", revise=True)
    result = experiment.fit()
    assert result.n_labels == 2
    assert warnings_of(result) == ()


def test_a_mask_that_is_wholly_ignored_or_undecided_is_left_out(seen):
    experiment = campaign(classes=alkit.LabelSpec(("skin", "lesion"), ignore=255))
    a, b = experiment.ask(2)
    half = np.full((SIZE, SIZE), 255, np.uint8)
    half[: SIZE // 2] = 0
    tell(experiment, {a: [half, np.where(half == 255, half, 1)], b: [drawn(4, 4)] * 2})
    assert experiment.fit().n_labels == 1
    assert seen[0].ids == (b,)


def test_held_out_pixels_about_which_annotators_disagree_are_not_measured(seen, monkeypatch):
    experiment = campaign(hold_out=0.5)
    ids = experiment.ask(8)
    tell(experiment, {id: [drawn(0, 0), drawn(8, 8)] for id in ids})
    measured, dice = [], metrics.dice

    def watched(predicted, truth, spec):
        measured.append((truth, spec))
        return dice(predicted, truth, spec)

    monkeypatch.setattr(metrics, "dice", watched)
    result = experiment.fit()
    assert result.n_held_out
    assert all(spec.ignore == 255 for _, spec in measured)
    assert all((truth == 255).mean() == 0.125 for truth, _ in measured)


def test_a_class_of_an_image_about_which_annotators_disagree_is_left_out():
    digits = alkit.ArrayPool(np.random.default_rng(0).integers(255, size=(6, 8, 8), dtype=np.uint8))
    from sklearn.linear_model import LogisticRegression

    experiment = alkit.Experiment(
        digits,
        alkit.EstimatorLearner(LogisticRegression()),
        alkit.strategy("random"),
        classes=alkit.LabelSpec(("cat", "dog"), per="image"),
        annotators=2,
        join="majority",
    )
    a, b, c = experiment.ask(3)
    for name, labels in (("ann", {a: 0, b: 1, c: 0}), ("bob", {a: 0, b: 1, c: 1})):
        experiment.tell(labels, annotator=name)
    result = experiment.fit()
    assert result.n_labels == 2
    (warning,) = warnings_of(result)
    assert warning == f"Annotators disagree evenly about 1 image, which is left out of the training: {c!r}."
    assert {one.query.id: one.state for one in experiment.standings()}[c] == State.CONSUMED


def test_the_agreement_of_annotators_is_measured_for_every_join_and_disputes_are_listed():
    for join in ("one", "majority"):
        experiment = campaign(join=join)
        a, b, c = experiment.ask(3)
        tell(experiment, {a: [drawn(0, 0), drawn(8, 8)], b: [drawn(4, 4)] * 2, c: [drawn(0, 0), drawn(0, 0, 8)]})
        found = experiment.agreement()
        assert {image.id: image.agreement for image in found.images} == {a: 0, b: 1, c: 2 * 16 / (16 + 64)}
        assert found.disputed == (a, c)
        assert found.pairs[0].annotators == ("ann", "bob")
        assert found.mean == pytest.approx((0 + 1 + 0.4) / 3)
        assert experiment.agreement(below=0.3).disputed == (a,)
        experiment.reject(a, "which lesion?", "bob")
        assert experiment.agreement().disputed == (c,)
        experiment.receive([Answer(a, drawn(0, 0), "bob")])
        assert experiment.agreement().disputed == (c,)
        assert experiment.agreement().mean == pytest.approx((1 + 1 + 0.4) / 3)


def test_masks_of_two_sizes_and_imported_labels():
    experiment = campaign()
    a, b = experiment.ask(2)
    large = drawn(0, 0).repeat(2, axis=0).repeat(2, axis=1)
    with pytest.raises(alkit.errors.ConfigurationError, match="below must be a number in"):
        experiment.agreement(below=0)
    tell(experiment, {a: [drawn(0, 0), drawn(0, 0)], b: [drawn(4, 4)] * 2})
    assert experiment.agreement().mean == 1
    (other, *_) = experiment.candidates
    experiment.tell({other: drawn(0, 0)}, unasked=True, annotator="old")
    assert {image.id for image in experiment.agreement().images} == {a, b}
    assert np.array_equal(at_one_size([drawn(0, 0), large], experiment.spec, (SIZE, SIZE))[1], drawn(0, 0))


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_masks_are_brought_to_one_size_as_images_are(fit):
    spec, whole, working = alkit.LabelSpec(("skin", "lesion")), np.zeros((8, 24), np.uint8), (16, 16)
    whole[:, 8:12] = 1
    small = to_working(whole, Frame((8, 24), working, fit), spec)
    one, other, third = at_one_size([whole, small, whole], spec, working, fit)
    assert one.shape == other.shape == third.shape
    np.testing.assert_array_equal(one, third)
    if fit != "squash":
        np.testing.assert_array_equal(one, other)


def test_new_masks_that_may_be_mistakes_are_named_until_a_model_is_trained_on_them(tmp_path, capfd):
    experiment = campaign(tmp_path / "r.db", "one")
    a, b, c = experiment.ask(3)
    tell(experiment, {a: [drawn(0, 0), drawn(0, 0)], b: [drawn(4, 4), 1 - drawn(4, 4)], c: [0 * drawn(0, 0)] * 2})
    doubts = [(doubt.id, doubt.annotator, doubt.reason.partition(":")[0]) for doubt in experiment.doubts()]
    assert sorted(doubts) == sorted(
        [
            (b, "ann", "the mask looks inverted"),
            (b, "bob", "the mask looks inverted"),
            (c, "ann", "the mask is empty"),
            (c, "bob", "the mask is empty"),
        ]
    )
    with pytest.raises(SystemExit):
        main(["status", str(tmp_path / "r.db")])
    said = " ".join(capfd.readouterr().out.split())
    assert f"{b} bob the mask looks inverted" in said
    experiment.fit()
    assert experiment.doubts() == ()


def test_only_images_with_labels_of_several_annotators_are_read_to_compare_these(monkeypatch):
    experiment, fetched = campaign(), []
    a, b = experiment.ask(2)
    experiment.receive([Answer(a, drawn(0, 0), "ann"), Answer(a, drawn(8, 8), "bob"), Answer(b, drawn(4, 4), "ann")])
    monkeypatch.setattr(LabelFiles, "fetch", lambda self, files: fetched.extend(files))
    assert experiment.agreement().disputed == (a,)
    assert len(fetched) == 2


@pytest.mark.parametrize("fit", [True, False])
def test_the_prelabel_of_a_model_that_has_not_learnt_its_labels_says_nothing(tmp_path, monkeypatch, fit):
    experiment = campaign(tmp_path / "r.db", "one")
    (a,) = experiment.ask(1)
    tell(experiment, {a: [drawn(0, 0)] * 2})
    experiment.fit()
    (b,) = experiment.ask(1)
    parts = experiment._parts
    parts.store.set_prelabels({b: parts.files.keep(drawn(0, 0))})
    experiment.tell({b: drawn(4, 4)}, annotator="ann")
    monkeypatch.setattr("alkit.report.annotators.about_model", lambda warnings: () if fit else ("The model ...",))
    assert any("that of the model" in doubt.reason for doubt in experiment.doubts()) == fit
