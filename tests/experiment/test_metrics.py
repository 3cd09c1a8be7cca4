"""The metrics of an experiment are recorded by name, and given again if a record cannot name them."""

import numpy as np
import pytest

import alkit
from alkit.errors import ConfigurationError
from alkit.evaluation import PerGroup, SurfaceDice
from alkit.testing import Brightness

SCHEDULE = {"start": 3, "batch": 2, "rounds": 1}


def errors(predicted, truth):
    """Return the number of wrong pixels."""
    return int((predicted != truth).sum())


def test_named_metrics_are_measured_in_all_rounds_and_after_reopening(world, tmp_path):
    store = tmp_path / "e.db"
    experiment = world.experiment(store, learner=Brightness(), metrics=["hd95", "dice"])
    results = experiment.run(world.oracle, test=world.test, **SCHEDULE)
    assert [list(result.metrics) for result in results] == [["hd95", "dice"]] * 2
    opened = alkit.Experiment.open(store, pool=world.pool, learner=Brightness())
    assert opened.history == results
    assert list(opened.evaluate(world.test, world.oracle)) == ["hd95", "dice"]
    more = opened.run(world.oracle, test=world.test, **{**SCHEDULE, "rounds": 2})
    assert list(more[2].metrics) == ["hd95", "dice"]
    again = world.experiment(store, learner=Brightness(), metrics=["iou"])
    more = again.run(world.oracle, test=world.test, **{**SCHEDULE, "rounds": 3})
    assert [next(iter(result.metrics)) for result in more] == ["hd95"] * 3 + ["iou"]


def test_parts_are_built_from_the_record(world, tmp_path):
    store = tmp_path / "e.db"
    groups = {id: str(row % 2) for row, id in enumerate(world.test.ids)}
    metrics = {"overlap": "dice", "smooth": SurfaceDice(2), "kinds": PerGroup(SurfaceDice(2), groups)}
    experiment = world.experiment(store, learner=Brightness(), metrics=metrics)
    (first,) = experiment.run(world.oracle, test=world.test, start=3, batch=1, rounds=0)
    assert list(first.metrics) == ["overlap", "smooth", "kinds_over_groups", "kinds_worst_group", "kinds@0", "kinds@1"]
    opened = alkit.Experiment.open(store, pool=world.pool, learner=Brightness())
    assert opened.evaluate(world.test, world.oracle) == first.metrics


def test_a_function_must_be_given_again(world, tmp_path):
    store = tmp_path / "e.db"
    experiment = world.experiment(store, learner=Brightness(), metrics=["dice", errors])
    (first,) = experiment.run(world.oracle, test=world.test, start=3, batch=1, rounds=0)
    parts = {"pool": world.pool, "learner": Brightness()}
    with pytest.raises(ConfigurationError, match=r"does not contain enough to build metrics .*Try: pass metrics="):
        alkit.Experiment.open(store, **parts)
    opened = alkit.Experiment.open(store, **parts, metrics=["dice", errors])
    assert opened.evaluate(world.test, world.oracle) == first.metrics
    assert first.metrics["errors"] > 1


def test_a_metric_that_does_not_fit_is_refused_before_anybody_labels(world):
    experiment = world.experiment(learner=Brightness(), metrics=["auroc"])
    with pytest.raises(ConfigurationError, match="the metric 'auroc' does not exist for labels that are masks"):
        experiment.run(world.oracle, test=world.test, **SCHEDULE)
    assert not experiment.queries()
    with pytest.raises(ConfigurationError, match="'auroc' does not exist"):
        world.experiment(learner=Brightness(), metrics=["auroc"], classes=("skin", "lesion")).ask(2)


def test_other_metrics_are_returned_and_not_recorded(world):
    experiment = world.experiment(learner=Brightness())
    (first,) = experiment.run(world.oracle, test=world.test, start=3, batch=1, rounds=0)
    found = experiment.evaluate(world.test, world.oracle, metrics=["ece", errors])
    assert list(found) == ["ece", "errors"]
    assert experiment.history[0].metrics == first.metrics
    with pytest.raises(ConfigurationError, match=r"metrics\[0\] must be one of"):
        experiment.evaluate(world.test, world.oracle, metrics=["sharpness"])


def test_labels_that_are_held_out_are_measured_by_them_too(world):
    experiment = world.experiment(learner=Brightness(), metrics=["surface_dice"], hold_out=0.5)
    result = experiment.run(world.oracle, start=6, batch=1, rounds=0)[0]
    assert result.n_held_out == 3
    assert 0 <= result.metrics["surface_dice"] <= 1
    assert np.isfinite(list(result.metrics.values())).all()
