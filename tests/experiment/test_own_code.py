"""A record that is continued with edited code names what was edited, and when."""

from __future__ import annotations

import importlib
import logging
import sys
import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import alkit
from alkit.configuration import start
from alkit.errors import ResumeError
from alkit.record import Store

CODE = """
import alkit

def order(ids):
    return sorted(ids)

def choose(view, n, rng):
    return order(view.candidates)[:n]

def unused():
    return 1
"""


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """Return a function that writes the module of a strategy, and continues the campaign as a new process would."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    pool = alkit.ArrayPool(np.zeros((12, 8, 8), np.uint8))

    def run(code):
        (tmp_path / "my_edited_strategy.py").write_text(code)
        sys.modules.pop("my_edited_strategy", None)
        importlib.invalidate_caches()
        choose = importlib.import_module("my_edited_strategy").choose
        store = Store(tmp_path / "r.db")
        learner = alkit.testing.Brightness()
        experiment = alkit.Experiment(pool, learner, choose, store=store, initial=choose, classes=("a", "b"))
        ids = experiment.ask(2)
        experiment.tell({id: np.eye(8, dtype=np.uint8) for id in ids})
        experiment.fit()
        changes = [line for entry in store.fact("changes") or () for line in entry["changed"]]
        store.close()
        return changes

    yield run
    sys.modules.pop("my_edited_strategy", None)


def test_an_edited_helper_of_the_strategy_is_named_once_with_the_round(campaign, caplog):
    assert campaign(CODE) == []
    assert campaign(CODE + "# a remark\n") == []
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        edited = campaign(CODE.replace("sorted(ids)", "sorted(ids)[::-1]"))
    line = "strategy: the code of my_edited_strategy:order was edited after round 1"
    assert edited == [line]
    assert f"{line}; the record names it" in caplog.text
    assert campaign(CODE.replace("sorted(ids)", "sorted(ids)[::-1]")) == edited


def test_code_that_nothing_refers_to_may_change(campaign):
    campaign(CODE)
    assert campaign(CODE.replace("return 1", "return 2")) == []


class Mine:
    """A strategy that is no dataclass, with a parameter and a counter."""

    starts_cold = True

    def __init__(self, last):
        self.last, self.calls = last, 0

    def select(self, view, n, rng):
        self.calls += 1
        return alkit.Selection(view.candidates[-n:] if self.last else view.candidates[:n])


class Times:
    """A metric with a parameter."""

    __name__ = "times"

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, predicted, truth):
        return self.factor * float((predicted == truth).mean())


def test_parameters_that_are_changed_while_the_experiment_is_open_are_named(tmp_path, caplog):
    estimator, strategy = LogisticRegression(C=1.0), Mine(last=False)
    pool = alkit.ArrayPool(np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8))
    classes = alkit.LabelSpec(("a", "b"), per="image")
    store = Store(tmp_path / "r.db")
    metric = Times(1.0)
    given = {"classes": classes, "metrics": [metric]}
    experiment = alkit.Experiment(pool, alkit.EstimatorLearner(estimator), strategy, store, **given)

    def go_on():
        experiment.tell({id: int(id) % 2 for id in experiment.ask(2)})
        experiment.fit()
        return [line for entry in store.fact("changes") or () for line in entry["changed"]]

    assert (go_on(), go_on()) == ([], [])
    estimator.set_params(C=0.5)
    named = ["learner.estimator.C: recorded 1.0, now 0.5, after round 1"]
    assert (go_on(), go_on()) == (named, named)
    assert f"{named[0]}; the record names it" in caplog.text
    estimator.set_params(C=1.0)
    strategy.last = True
    more = ["strategy.last: recorded False, now True", "learner.estimator.C: as recorded again"]
    assert go_on() == (named := [*named, *(f"{line}, after round 3" for line in more)])
    metric.factor = 2.0
    assert go_on() == [*named, "metrics.0.factor: recorded 1.0, now 2.0, after round 4"]
    with pytest.raises(ResumeError, match=r"strategy\.last: recorded False, now True"):
        alkit.Experiment(pool, alkit.EstimatorLearner(estimator), strategy, store, classes=classes)
