"""Measure a model of an experiment on a test set."""

from __future__ import annotations

import time

from alkit.checks import check_number
from alkit.errors import DataError, QueryError
from alkit.evaluation.chosen import Metrics, check_metrics
from alkit.evaluation.measure import Seen, measure
from alkit.evaluation.truth import TestLabels
from alkit.experiment.model import LastModel
from alkit.experiment.parts import Parts
from alkit.pools.checks import check_pool
from alkit.protocols import Oracle, Pool, Predictor
from alkit.record.answers import spec_of
from alkit.record.test_sets import measures_on


def evaluate(
    parts: Parts,
    model: LastModel,
    test_labels: TestLabels,
    test: Pool,
    oracle: Oracle,
    metrics: Metrics | None,
    poll: float,
) -> dict[str, float]:
    """Measure the last round's model and record the metrics with the round: see :meth:`alkit.Experiment.evaluate`."""
    chosen = check_metrics(metrics)
    check_test(parts, test)
    spec_of(oracle)
    check_number("poll", poll, 0)
    with parts.store.exclusive():
        rounds = parts.store.rounds()
        if not rounds:
            raise QueryError("the record has no model to evaluate yet", hint="tell() some labels and fit()")
        begun = time.perf_counter()
        figures = measure_on(parts, model.predictor(), test_labels, test, oracle, poll, metrics=chosen)
        if chosen is None and not rounds[-1].n_held_out and measures_on(parts.settings, parts.store, test):
            seconds = {**rounds[-1].seconds, "evaluate": time.perf_counter() - begun}
            parts.store.measure_round(rounds[-1].round, figures, seconds)
        return figures


def measure_on(
    parts: Parts,
    predictor: Predictor,
    test_labels: TestLabels,
    test: Pool,
    oracle: Oracle,
    poll: float,
    seen: Seen | None = None,
    metrics: Metrics | None = None,
) -> dict[str, float]:
    """Return the metrics of a model on a test set, whose labels the oracle gives once.

    Without `metrics`, they are those of the experiment.

    Raises
    ------
    ConfigurationError
        A metric does not fit the labels, or fails.
    """
    parts.settings.declare_classes(spec_of(oracle))
    spec = parts.settings.spec
    truth = test_labels.of(test, oracle, spec, poll)
    with parts.settings.threads():
        ids, chosen = list(test.ids), metrics or parts.metrics
        return measure(predictor, test, ids, truth, spec, parts.report, seen, chosen)


def check_test(parts: Parts, test: Pool) -> None:
    """Raise a :class:`DataError` unless `test` is a pool that shares no image with the experiment's."""
    check_pool(test, "test")
    if shared := set(test.ids) & set(parts.ids):
        raise DataError(
            f"test shares {len(shared)} images with the pool",
            got=sorted(shared)[:3],
            hint="pool.split(test=..., seed=...) makes two that share none",
        )
