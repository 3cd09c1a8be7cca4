"""Measure a model of an experiment on a test set."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from alkit._logs import logger
from alkit.checks import check_number
from alkit.errors import DataError, QueryError, ResumeError
from alkit.evaluation.chosen import Metrics, check_metrics, wants_original
from alkit.evaluation.meanings import METRICS
from alkit.evaluation.measure import Seen, measure
from alkit.evaluation.per_image import PerImage
from alkit.evaluation.truth import TestLabels
from alkit.experiment.audited import intervals_of
from alkit.experiment.holding_out import near_duplicates
from alkit.experiment.model import LastModel
from alkit.experiment.parts import Parts
from alkit.pools.checks import check_pool, reads_otherwise
from alkit.pools.digests import digest
from alkit.pools.groups import Grouping, check_apart, groups_of
from alkit.pools.identical import check_contents
from alkit.protocols import ChecksLabels, Oracle, Pool, Predictor
from alkit.record.answers import spec_of
from alkit.record.changing import replacements
from alkit.record.forgetting import metrics_without
from alkit.record.grouping import is_grouped, recorded_grouping
from alkit.record.removing import REMOVED
from alkit.record.store import Store
from alkit.record.testsets import OTHER_TRUTH, TRUTH, measures_on
from alkit.rng import Stream
from alkit.values.audit import written_interval
from alkit.values.label_spec import Label
from alkit.values.rounds import FEW_IMAGES

log = logger(__name__)

MOST_TESTED, MOST_COMPARED = 500, 4000
"""Most images of a test set, and of a pool, that are compared with each other; of more images, some are drawn."""


def digest_of(truth: Label, ids: Sequence[str]) -> str:
    """Return a digest of the labels of a test set, which are given in the order of its ids."""
    found = hashlib.sha256(f"{truth.dtype.str} {truth.shape}".encode())
    for row in np.argsort(np.array(ids), kind="stable"):
        found.update(np.ascontiguousarray(truth[row]).tobytes())
    return found.hexdigest()[:32]


def other_truth(store: Store, truth: str) -> list[str]:
    """Return a sentence if the rounds before were measured by other labels of the test set."""
    if store.fact(TRUTH) in (None, truth):
        return []
    return [OTHER_TRUTH]


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
    test_labels.read_again(oracle)
    with parts.store.step("evaluate()"):
        return _evaluate(parts, model, test_labels, test, oracle, chosen, poll)


def _evaluate(
    parts: Parts,
    model: LastModel,
    test_labels: TestLabels,
    test: Pool,
    oracle: Oracle,
    chosen: Metrics | None,
    poll: float,
) -> dict[str, float]:
    with parts.store.exclusive():
        parts.settings.agreed.check()
        if chosen is None:
            check_metrics_stay(parts)
        rounds = parts.store.rounds()
        if not rounds:
            raise QueryError("the record has no model to evaluate yet", hint="tell() some labels and fit()")
        begun = time.perf_counter()
        few = PerImage(parts.metrics, parts.settings.spec) if chosen is None and len(test.ids) < FEW_IMAGES else None
        figures = measure_on(parts, model.predictor(), test_labels, test, oracle, poll, metrics=chosen, each=few)
        last = rounds[-1]
        elsewhere = (last.n_held_out and not last.n_tested) or (last.audit is not None and last.audit.main)
        tested = None if chosen is not None or elsewhere else measures_on(parts.settings, parts.store, test)
        if tested is not None:
            seconds = {**last.seconds, "evaluate": time.perf_counter() - begun}
            truth = digest_of(test_labels.of(test, oracle, parts.settings.spec, poll), test.ids)
            warnings = [*last.warnings]
            for sentence in other_truth(parts.store, truth):
                log.warning("%s", sentence)
                before = any(result.metrics for result in rounds[:-1])
                warnings += [sentence] if before and sentence not in warnings else []
            found = {} if few is None else intervals_of(parts, figures, few, last.round, test)
            intervals = {name: written_interval(own) for name, own in found.items()}
            further: dict[str, Mapping[str, Any]] = {"intervals": intervals, "tested": {"images": len(test.ids)}}
            facts = replacements({**tested, TRUTH: truth})
            parts.store.measure_round(last.round, figures, seconds, further, warnings, facts)
        return figures


def measure_last(parts: Parts, model: LastModel, test_labels: TestLabels, test: Pool, oracle: Oracle) -> None:
    """Measure the last round on its test set if it was not measured, or if its oracle knows other labels by now."""
    if (last := parts.store.rounds()[-1]).metrics:
        if (on := last.measured_on) in ("hold-out", "audit set"):
            log.warning(
                "round %d stays measured on %s, because there are no new labels; evaluate(test, oracle) returns the "
                "figures of its model on the test set",
                last.round,
                "labels held out" if on == "hold-out" else "the audit set",
            )
        if not (last.n_tested and isinstance(oracle, ChecksLabels)):
            return
        parts.settings.declare_classes(spec_of(oracle))
        truth = digest_of(test_labels.of(test, oracle, parts.settings.spec, 1.0), test.ids)
        if parts.store.fact(TRUTH) in (None, truth):
            return
    _evaluate(parts, model, test_labels, test, oracle, None, 1.0)


def check_metrics_stay(parts: Parts) -> None:
    """Check that the record still has the metrics that this process measures by.

    Raises
    ------
    ResumeError
        Another process has changed them. Figures by these ones would stand under names that mean others.
    """
    own = metrics_without(parts.settings.agreed.metrics, parts.store.fact(REMOVED) or {})
    if parts.store.fact(METRICS) != own:
        raise ResumeError(
            f"the metrics of {parts.store.path} have changed since it was opened",
            hint="open it again, or repeat the command",
        )


def measure_on(
    parts: Parts,
    predictor: Predictor,
    test_labels: TestLabels,
    test: Pool,
    oracle: Oracle,
    poll: float,
    seen: Seen | None = None,
    metrics: Metrics | None = None,
    each: PerImage | None = None,
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
        original = test_labels.originals(test, oracle, spec, poll) if wants_original(chosen) else None
        how = parts.learner, parts.workers
        return measure(predictor, test, ids, truth, spec, parts.report, seen, chosen, original, *how, each)


def check_test(parts: Parts, test: Pool, *, apart: bool = False) -> list[str]:
    """Check that `test` shares neither an image nor a group with the pool of an experiment.

    Return sentences about near-duplicates, about groups that are not known, and about images that are read in another
    way than those of the pool. They are logged once.

    Parameters
    ----------
    apart:
        Whether another oracle labels the test set. Then its images may have the ids of others, but not their content.

    Raises
    ------
    DataError
        `test` is not a pool, or it shares an image or a group with the pool.
    """
    check_pool(test, "test")
    if apart:
        check_contents(parts.pool, test)
    elif shared := set(test.ids) & set(parts.ids):
        raise DataError(
            f"test shares {len(shared)} images with the pool",
            got=sorted(shared)[:3],
            hint="pool.split(test=..., seed=...) makes two that share none",
        )
    ids, grouped = list(test.ids), parts.has_groups()
    recorded = Grouping({}, {}) if apart else recorded_grouping(parts.store) or Grouping({}, {})
    own = {recorded.groups.get(id, group): id for id, group in zip(ids, groups_of(test, ids), strict=True)}
    in_pool = dict(zip(parts.groups_of(parts.ids), parts.ids, strict=True))
    if apart:  # an image without a group is its own, and its id may mean another image in the pool
        own = own if is_grouped(test) else {group: id for group, id in own.items() if group != id}
        known = recorded_grouping(parts.store) is not None
        in_pool = in_pool if known else {group: id for group, id in in_pool.items() if group != id}
    check_apart(in_pool, own)
    key = "\n".join([digest(test), *sorted(ids)])
    if key not in parts.compared:
        other = reads_otherwise(parts.pool, test, "the test set")
        parts.compared[key] = [*_without_groups(ids, own, grouped), *_alike(parts, test), *other]
        for sentence in parts.compared[key]:
            log.warning("%s", sentence)
    return parts.compared[key]


def _without_groups(ids: Sequence[str], own: Mapping[str, str], grouped: bool) -> Iterator[str]:
    if grouped and not own.keys() - set(ids):
        yield "The pool has groups and the test set has none, so it may share patients with the pool."


def _alike(parts: Parts, test: Pool) -> Iterator[str]:
    """Yield a sentence about images of the test set that have a near-duplicate in the pool."""
    stream = parts.stream.child("near-duplicates")
    ids, others = _some(test.ids, MOST_TESTED, stream), _some(parts.ids, MOST_COMPARED, stream)
    if found := near_duplicates(test, ids, parts.pool, others):
        compared = "" if len(ids) == len(test.ids) and len(others) == len(parts.ids) else f" of {len(ids)} compared"
        hint = "" if parts.has_groups() else " Try: groups=, which keeps images of one patient on one side."
        yield (
            f"{len(found)} images of the test set{compared} are nearly identical to images of the pool, such as "
            f"{found[0][0]!r} to {found[0][1]!r}, so the metrics may be too good.{hint}"
        )


def _some(ids: Sequence[str], most: int, stream: Stream) -> list[str]:
    """Return all ids in order, or a number of them that are drawn."""
    if len(ids) <= most:
        return sorted(ids)
    listed = sorted(ids)
    return [listed[row] for row in sorted(stream.numpy().choice(len(listed), most, replace=False))]
