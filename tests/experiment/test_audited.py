"""Figures on the audit set: what they are measured on, their intervals, and what they say in words."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import alkit
from alkit.errors import ConfigurationError
from alkit.evaluation.per_image import PerImage
from alkit.record.audit import recorded_audit
from alkit.report.audit import audit_gain, audit_in_words, audited_history, changes, comparable_history
from alkit.values import AuditFigures, Interval
from tests.experiment.test_audit import CLASSES, N, campaign, labels, masks, pool

BRIGHTNESS = {"learner": alkit.testing.Brightness(), "strategy": alkit.strategy("random")}


def audit_ids(experiment):
    return recorded_audit(experiment._parts.store).ids


def test_rounds_are_measured_on_the_audit_set_as_far_as_it_is_labelled(tmp_path):
    experiment = campaign(tmp_path / "a.db", audit=8, hold_out=0.2, **BRIGHTNESS)
    for n, measured in [(10, 4), (10, 8), (10, 8)]:
        labels(experiment, n)
        result = experiment.fit()
        assert result.measured_on == "audit set"
        assert (result.audit.measured, result.audit.drawn, result.audit.of) == (measured, 8, N)
        assert set(result.audit.ids) <= set(audit_ids(experiment))
        assert result.metrics == {name: found.value for name, found in result.audit.figures.items()}
        assert result.metrics["dice"] == pytest.approx(np.mean(result.audit.values["dice"]), abs=1e-5)
    assert alkit.Experiment.open(tmp_path / "a.db", pool=pool(), **BRIGHTNESS).history[-1] == result
    assert "audit set" in result._repr_html_()


def test_figures_on_the_audit_set_stand_beside_those_of_a_test_set():
    test = alkit.ArrayPool(np.random.default_rng(9).integers(256, size=(4, 8, 8), dtype=np.uint8), ids=list("abcd"))
    known = {**masks(pool().ids), **{id: np.eye(8, dtype=np.uint8) for id in test.ids}}
    experiment = campaign(audit=8, **BRIGHTNESS)
    labels(experiment, 10)
    result = experiment.fit(test=test, oracle=alkit.MaskOracle(known, CLASSES))
    assert (result.measured_on, result.n_tested, result.audit.main) == ("test set", 4, False)
    assert result.interval("dice").n == 4
    assert result.metrics["dice"] != result.audit.figures["dice"].value


def test_skipped_disputed_and_missing_images_are_counted():
    experiment = campaign(audit=8, annotators=2, join="majority", **BRIGHTNESS)
    ids = experiment.ask(20)
    skipped, disputed, one, *more = [id for id in ids if id in audit_ids(experiment)]
    known = masks(ids)
    for name in ("ann", "bob"):
        told = {id: known[id] for id in ids}
        told[skipped] = alkit.SKIP
        told[disputed] = np.full((8, 8), name == "ann", np.uint8)
        if name == "bob":
            experiment.tell({id: told[id] for id in ids}, annotator=name)
        else:
            experiment.tell(told, annotator=name)
    found = experiment.fit().audit
    assert (found.measured, found.skipped, found.disputed, found.missing) == (6, 1, 1, 0)
    words = " ".join(found.sentences("dice"))
    assert "6 of 8 images of the audit set are measured" in words
    assert "1 was skipped" in words
    assert "1 was left out, because annotators disagree" in words
    assert one in found.ids
    assert more


def test_an_audit_image_that_is_labelled_while_a_model_is_trained_waits_for_the_next_round(tmp_path, monkeypatch):
    experiment = campaign(tmp_path / "a.db", audit=8, **BRIGHTNESS)
    ids = experiment.ask(20)
    late = next(id for id in ids if id in audit_ids(experiment))
    experiment.tell({id: mask for id, mask in masks(ids).items() if id != late})
    fit = alkit.testing.Brightness.fit

    def meanwhile(self, *given):
        alkit.Experiment.open(tmp_path / "a.db", pool=pool(), **BRIGHTNESS).tell(masks([late]))
        return fit(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(alkit.testing.Brightness, "fit", meanwhile)
        found = experiment.fit(wait_for_answers=False).audit
    assert (found.measured, found.skipped, found.disputed, found.missing) == (7, 0, 0, 1)
    assert experiment.fit().audit.measured == 8


def test_disputed_images_that_are_left_out_were_not_skipped_and_removed_ones_were_not_drawn():
    experiment = campaign(audit=8, annotators=2, **BRIGHTNESS)
    ids = experiment.ask(20)
    disputed, gone, *_ = [id for id in ids if id in audit_ids(experiment)]
    known = masks(ids)
    for name in ("ann", "bob"):
        changed = {disputed: np.full((8, 8), name == "ann", np.uint8)}
        experiment.tell({**{id: known[id] for id in ids}, **changed}, annotator=name)
    experiment.decide_disputes(alkit.values.Disputes("leave-out"))
    experiment.remove(gone, "consent withdrawn")
    found = experiment.fit().audit
    assert (found.drawn, found.measured, found.skipped, found.disputed, found.missing) == (7, 6, 0, 1, 0)


def test_exported_labels_say_which_were_never_trained_on(tmp_path):
    experiment = campaign(audit=8, **BRIGHTNESS)
    labels(experiment, 10)
    experiment.fit()
    folder = experiment.export_labels(tmp_path / "out")
    told = json.loads((folder / "manifest.json").read_text())
    assert {row["id"] for row in told["labels"] if row["held_out"]} <= set(audit_ids(experiment))
    assert (told["counts"]["held_out"], told["counts"]["audit"]) == (4, 4)
    assert "4 images are held out or belong to the audit set (4 of them)" in (folder / "DATACARD.md").read_text()


def test_words_for_an_audit_that_is_not_complete():
    found = AuditFigures({"dice": Interval(0.8, 0.7, 0.87, 12, 12)}, 40, 98, tuple("abcdefghijkl"))
    words = " ".join(found.sentences("dice"))
    assert "0.800 [0.700, 0.870], 12 images" in words
    assert "12 of 40" in words
    assert "28 are not answered yet" in words


def test_intervals_count_groups_once_and_the_rest_of_a_group_is_not_trained_on():
    groups = {f"i{row:02}": f"p{row // 2}" for row in range(N)}
    experiment = campaign(images=pool(groups), audit=10, **BRIGHTNESS)
    for _ in range(2):
        labels(experiment, 12)
        result = experiment.fit()
    found = result.audit.figures["dice"]
    assert found.n == result.audit.measured > found.clusters - 1
    assert found.clusters == len({groups[id] for id in result.audit.ids})


def test_class_figures_have_intervals_of_the_jackknife():
    spec = alkit.LabelSpec(("cat", "dog"), per="image")
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=40)
    wrong = rng.random(40) < 0.2
    predicted = np.where(wrong, 1 - truth, truth)
    from alkit.evaluation.accumulators import Batch
    from alkit.evaluation.chosen import Measurement

    chances = np.stack([1 - predicted, predicted], axis=1).astype(np.float32)
    batch = Batch([str(row) for row in range(40)], predicted, chances, truth)
    each, whole = PerImage(None, spec), Measurement(None, spec)
    each.add(batch)
    whole.add(batch)
    found = each.intervals(whole.figures(), None, lambda name: np.random.default_rng(0))
    direct = alkit.statistics.interval_of((predicted == truth).astype(float))
    assert found["accuracy"].low == pytest.approx(direct.low, abs=1e-9)
    for name in ("balanced_accuracy", "f1", "recall/cat"):
        assert 0 <= found[name].low < found[name].value < found[name].high <= 1
        assert found[name].high - found[name].low < 0.5


def test_metrics_at_the_original_size_and_over_groups_have_values_of_their_own():
    from alkit.evaluation.accumulators import Batch
    from alkit.evaluation.chosen import Measurement

    spec, rng = alkit.LabelSpec(CLASSES), np.random.default_rng(0)
    over_groups = alkit.evaluation.PerGroup("dice", {str(row): "p" for row in range(6)})
    metrics = ("dice", "dice_original", over_groups)
    each, whole = PerImage(metrics, spec), Measurement(metrics, spec)
    for row in range(6):
        truth, predicted, other = rng.integers(2, size=(3, 1, 8, 8)).astype(np.uint8)
        chances = np.stack([1 - predicted, predicted], axis=1).astype(np.float32)
        for part in (each, whole):
            part.add(Batch([str(row)], predicted, chances, truth))
            part.add_original(Batch([str(row)], other, chances, truth))
    found = each.intervals(whole.figures(), None, lambda name: np.random.default_rng(0))
    assert {"dice", "dice_original"} <= found.keys()
    assert found["dice"].value != found["dice_original"].value


def test_figures_of_few_held_out_images_are_shown_with_their_interval_or_not_at_all():
    experiment = campaign(hold_out=0.3, **BRIGHTNESS)
    labels(experiment, 10)
    result = experiment.fit()
    assert (result.measured_on, result.n_held_out) == ("hold-out", 3)
    assert result.figure_text("dice").startswith(f"{result.metrics['dice']:.3f} [")
    old = alkit.RoundResult(0, (), 9, {"dice": 0.7}, n_held_out=3)
    assert old.figure_text("dice") is None
    assert "0.7" not in old._repr_html_()
    assert alkit.RoundResult(0, (), 9, {"dice": 0.7}, n_held_out=20).figure_text("dice") == "0.700"


def test_written_figures_are_read_as_they_were_and_an_image_can_be_taken_out():
    from alkit.values.audit import is_written_audit, without_image

    found = AuditFigures({"dice": Interval(0.5, 0.4, 0.6, 2, 2)}, 3, 8, ("a", "b"), values={"dice": (0.5, math.nan)})
    form = found.written()
    assert is_written_audit(form)
    with pytest.raises(ConfigurationError, match="form must be what AuditFigures"):
        AuditFigures.from_written({"drawn": 3})
    again = AuditFigures.from_written(form)
    assert (again.figures, again.ids, again.values["dice"][0]) == (found.figures, found.ids, 0.5)
    left = without_image(form, "a")
    assert (left["ids"], left["values"], left["figures"]) == (["b"], {"dice": [None]}, form["figures"])
    assert left["drawn"] == 2
    assert is_written_audit(left)
    assert not is_written_audit({**form, "ids": ["a"]})
    named = replace(found, labels=("0f", "1f"))
    assert AuditFigures.from_written(named.written()).labels == named.labels
    left = without_image(named.written(), "a")
    assert left["labels"] == ["1f"]
    assert is_written_audit(left)
    assert not is_written_audit({**named.written(), "labels": ["1f"]})
    assert named.measured_alike(replace(named, ids=("b", "c"), labels=("1f", "2f"))) == {"b"}
    assert named.measured_alike(replace(named, labels=("2f", "1f"))) == {"b"}
    assert named.measured_alike(found) == {"a", "b"}  # those of an earlier version


def test_corrected_labels_of_the_audit_set_are_not_a_change_of_the_model():
    experiment = campaign(audit=8, **BRIGHTNESS)
    known = masks(experiment.pool.ids)
    wrong = audit_ids(experiment)[:3]
    ids = experiment.ask(20)
    experiment.tell({id: 1 - known[id] if id in wrong else known[id] for id in ids})
    first = experiment.fit()
    experiment.tell({id: known[id] for id in wrong}, revise=True)
    second = experiment.fit()
    gain = audit_gain(first.audit, second.audit, "dice")
    assert gain.n == 5
    assert abs(gain.value) < 0.01 < abs(second.metrics["dice"] - first.metrics["dice"])
    assert changes(experiment.history, "dice") == [None, gain.value]
    seen = comparable_history(experiment.history, tested=False)
    assert seen[1].metrics["dice"] - seen[0].metrics["dice"] == pytest.approx(gain.value)
    text = " ".join(audit_in_words(recorded_audit(experiment._parts.store), experiment.history, "dice"))
    assert "on the 5 images of the audit set that were measured both times by the same label" in text


def test_figures_that_are_no_means_over_images_have_no_earlier_values_if_labels_were_corrected():
    figures = {name: Interval(0.5, 0.4, 0.6, 2, 2) for name in ("dice", "auroc")}
    first = AuditFigures(figures, 2, 8, ("a", "b"), values={"dice": (0.4, 0.6)}, labels=("0f", "1f"))
    rounds = [alkit.RoundResult(0, (), 9, audit=first)]
    for number, label in enumerate(("2f", "2f", "3f"), 1):
        rounds.append(alkit.RoundResult(number, (), 9, audit=replace(first, labels=(label, "1f"))))
    seen = [dict(result.metrics) for result in audited_history(rounds)]
    assert seen == [{"dice": 0.5}, {"dice": 0.5}, {"dice": 0.5}, {"dice": 0.5, "auroc": 0.5}]
