"""Models of earlier rounds stay in the record if the user wants that, and can be used like the last one."""

import json
from functools import partial

import numpy as np
import pytest
from commandline import alkit as run
from sklearn.ensemble import RandomForestClassifier

import alkit
from alkit.errors import ConfigurationError, QueryError
from alkit.record import Store
from alkit.record.check import check
from alkit.record.repairing import repair
from alkit.record.testsets import OTHER_HELD_OUT, OTHER_TRUTH
from alkit.report.best import best_round
from alkit.values import AuditFigures, Interval

IMAGES, MASKS = alkit.synthetic.lesions(12, size=16)
POOL = alkit.ArrayPool(IMAGES)
LEARNER = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 2)), epochs=(1, 1))
TRUTH = dict(zip(POOL.ids, MASKS, strict=True))


def campaign(path, keep=None):
    return alkit.Experiment(POOL, LEARNER, alkit.strategy("random"), path, classes=("skin", "lesion"), keep=keep)


def play(experiment, n=2):
    experiment.tell({id: TRUTH[id] for id in experiment.ask(n)})
    experiment.fit()


def measured(path, figures):
    """Set the Dice of each round; a round without a figure has none."""
    store = Store(path)
    for round, dice in enumerate(figures):
        if dice is not None:
            store.measure_round(round, {"dice": dice}, {})
    return store


@pytest.mark.parametrize(("name", "best"), [("mine", 1), ("mine_over_groups", 1), ("mine_worst_group", 1), ("dice", 0)])
def test_the_best_model_is_found_by_the_direction_of_an_own_metric(name, best):
    rounds = [alkit.RoundResult(number, (), 9, {name: value}) for number, value in enumerate([0.5, 0.2, 0.4])]
    assert best_round(rounds, {"mine": True, "mine by group": True}) == best


@pytest.mark.parametrize("warning", [OTHER_TRUTH, OTHER_HELD_OUT])
def test_the_best_model_is_found_by_the_present_labels_if_that_of_the_first_such_round_is_not_kept(tmp_path, warning):
    experiment = campaign(tmp_path / "r.db", "best")
    for round, dice in enumerate([0.9, 0.5, 0.7, 0.6]):
        play(experiment)
        Store(tmp_path / "r.db").measure_round(round, {"dice": dice}, {}, warnings=[warning] if round == 1 else [])
    assert Store(tmp_path / "r.db").models().keys() == {0, 2, 3}
    assert alkit.trained.trained_model(tmp_path / "r.db", round="best").origin.history[-1].round == 2


@pytest.mark.parametrize(
    ("keep", "dice", "kept"),
    [
        (None, [0.1, 0.3, 0.2], {3}),
        ("last", [0.1, 0.3, 0.2], {3}),
        ("best", [0.1, 0.3, 0.2], {1, 3}),
        ("best", [0.3, 0.3, 0.3], {0, 3}),
        ("best", [None, None, None], {3}),
        ("all", [0.1, 0.3, 0.2], {0, 1, 2, 3}),
    ],
)
def test_the_record_keeps_the_models_that_the_user_wants(tmp_path, keep, dice, kept):
    experiment = campaign(tmp_path / "r.db", keep)
    for round in range(4):
        play(experiment)
        measured(tmp_path / "r.db", [*dice, None][: round + 1])
    store = Store(tmp_path / "r.db")
    assert store.models().keys() == kept
    assert len(list(store.files.glob("*.model"))) == len(kept)
    assert check(tmp_path / "r.db").damage == ()


def test_an_earlier_model_is_used_like_the_last_one(tmp_path):
    experiment = campaign(tmp_path / "r.db", "all")
    predicted = []
    for _ in range(2):
        play(experiment)
        (batch,) = experiment.predict(alkit.ArrayPool(IMAGES[:3]))
        predicted.append(batch.probabilities)
    measured(tmp_path / "r.db", [0.9, 0.4])
    assert not np.array_equal(*predicted)
    for given, round in ((0, 0), (1, 1), (None, 1), ("best", 0)):
        model = alkit.trained_model(tmp_path / "r.db", round=given)
        assert np.array_equal(model.predictor.probabilities(POOL.read(POOL.ids[:3])), predicted[round])
        assert [result.round for result in model.origin.history] == list(range(round + 1))
        assert len(model.origin.used) == 2 * (round + 1)
    with pytest.raises(QueryError, match=r"has no model of round 2: got models of rounds 0, 1. Try: keep='all'"):
        alkit.trained_model(tmp_path / "r.db", round=2)


def test_it_may_change_at_any_time_and_what_is_deleted_does_not_come_back(tmp_path):
    path = tmp_path / "r.db"
    play(campaign(path))
    play(campaign(path))
    play(campaign(path, "all"))
    assert Store(path).models().keys() == {1, 2}
    play(campaign(path))  # as recorded
    assert Store(path).models().keys() == {1, 2, 3}
    measured(path, [0.9, 0.1, 0.3, 0.2])
    play(campaign(path, "best"))
    assert Store(path).models().keys() == {2, 4}  # the best one that is still there
    play(campaign(path, "last"))
    assert Store(path).models().keys() == {5}
    with pytest.raises(ConfigurationError, match="keep"):
        campaign(path, "first")


def test_a_kept_model_is_repaired_with_its_record_and_named_if_it_is_lost(tmp_path):
    path = tmp_path / "r.db"
    experiment = campaign(path, "all")
    for _ in range(3):
        play(experiment)
    models = Store(path).models()
    (Store(path).files / models[1]).unlink()
    repaired = repair(path, tmp_path / "new.db")
    assert repaired.lost == ("the model of round 1: its file is missing or damaged",)
    assert Store(tmp_path / "new.db").models() == {0: models[0], 2: models[2]}


def test_a_lower_metric_can_be_the_better_one():
    rounds = [alkit.RoundResult(k, (), 1, {"hd95": value, "dice": 0.1 * k}) for k, value in enumerate([5, 3, 4])]
    assert best_round(rounds) == 1
    assert best_round(rounds, {"hd95": False}) == 0
    assert best_round([]) is None


def test_rounds_on_the_audit_set_are_compared_by_images_that_both_were_measured_on():
    def measured(number, **dice):
        figure = Interval(sum(dice.values()) / len(dice), None, None, len(dice), len(dice))
        audit = AuditFigures({"dice": figure}, 3, 9, tuple(dice), values={"dice": tuple(dice.values())})
        return alkit.RoundResult(number, (), number, {"dice": figure.value}, audit=audit)

    easy, better = measured(0, a=0.9), measured(1, a=0.95, b=0.5, c=0.6)
    assert best_round([easy, better]) == 1
    worse = measured(2, a=0.9, b=0.6, c=0.5)
    assert best_round([easy, better, worse]) == 1
    assert best_round([alkit.RoundResult(0, (), 9, {"dice": 0.99}, n_held_out=2), better, worse]) == 1


def test_figures_of_the_audit_set_without_gains_are_compared_on_the_same_images():
    def measured(number, value, ids, labels=()):
        return alkit.RoundResult(number, (), number, {"ece": value}, audit=AuditFigures({}, 3, 9, ids, labels=labels))

    one, two, three = measured(0, 0.1, ("a",)), measured(1, 0.3, ("a", "b")), measured(2, 0.4, ("a", "b"))
    assert best_round([one]) == 0
    assert best_round([one, two, three]) == 1
    assert best_round([measured(0, 0.2, ("a",), ("x",)), measured(1, 0.3, ("a",), ("y",))]) == 1


def test_the_best_model_is_kept_if_one_class_of_the_audit_set_is_known(tmp_path):
    learner = alkit.EstimatorLearner(RandomForestClassifier(2))
    classes = alkit.LabelSpec(("a", "b"), per="image")
    given = {"classes": classes, "keep": "best", "audit": 3}
    experiment = alkit.Experiment(POOL, learner, alkit.strategy("random"), tmp_path / "r.db", **given)
    for number in range(3):
        experiment.tell({id: int(id) % 2 for id in experiment.ask(3)})
        assert experiment.fit().audit.measured == number + 1
    assert len(Store(tmp_path / "r.db").models()) in (1, 2)


def test_the_command_line_exports_the_model_of_a_round(tmp_path, capsys):
    path = tmp_path / "r.db"
    experiment = campaign(path)
    play(experiment)
    assert run("change", path, "--keep", "all") == 0
    assert "keep: all, before last" in capsys.readouterr().out
    play(experiment)
    measured(path, [0.9, 0.4])
    assert run("export", path, "--out", tmp_path / "model", "--round", "best") == 0
    assert [entry["round"] for entry in json.loads((tmp_path / "model" / "card.json").read_text())["rounds"]] == [0]
    assert run("export", path, "--out", tmp_path / "x", "--round", "first") == 1
    assert "--round must be the number of a round, or best: got 'first'" in capsys.readouterr().err
    assert run("export", path, "--out", tmp_path / "x", "--round", "7") == 1
    assert "--keep all" in capsys.readouterr().err
