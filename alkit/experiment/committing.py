"""Train and measure the model of a round, and commit the round to the record."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alkit.arguments.returned import check_returned
from alkit.errors import ConfigurationError, QueryError
from alkit.evaluation.fitness import Losses, lengths, warnings_about
from alkit.evaluation.measure import Seen
from alkit.evaluation.per_image import PerImage
from alkit.evaluation.stability import Stability, stability
from alkit.evaluation.truth import TestLabels
from alkit.experiment import measuring
from alkit.experiment.audit import set_apart
from alkit.experiment.audited import intervals_of, label_digests, measure_audit, measure_labels
from alkit.experiment.deciding import decide
from alkit.experiment.holding_out import beside_held_out, hold_out
from alkit.experiment.keeping import models_to_keep
from alkit.experiment.model import LastModel
from alkit.experiment.own_code import note_edits
from alkit.experiment.parts import Parts, next_round
from alkit.labels.joining import join_rule
from alkit.pools.splitting import draw_groups
from alkit.pools.unusable import FEW, unusable_text
from alkit.protocols import Oracle, Pool, Predictor
from alkit.record.answers import spec_of
from alkit.record.changing import DISPUTES, replacements
from alkit.record.facts import HELD_OUT_LABELS
from alkit.record.held import on_one_connection
from alkit.record.reviews import decided_by_review
from alkit.record.snapshot import Snapshot
from alkit.record.states import Answered
from alkit.record.testsets import OTHER_HELD_OUT, TRUTH, check_declared
from alkit.sharing.workers import working
from alkit.values.interval import Interval
from alkit.values.progress import Progress
from alkit.values.rounds import FEW_IMAGES, RoundResult


@on_one_connection
def fit(
    parts: Parts,
    model: LastModel,
    test_labels: TestLabels,
    test: Pool | None,
    oracle: Oracle | None,
    *,
    wait_for_answers: bool = True,
) -> RoundResult:
    """Train on all labels so far and commit the round, unless there are no new labels: see :meth:`Experiment.fit`."""
    store = parts.store
    tested = None if test is None or oracle is None else (test, oracle)
    if (test is None) != (oracle is None):
        raise ConfigurationError(
            "test and oracle must be given together", got=f"no {'test' if test is None else 'oracle'}"
        )
    warnings: list[str] = []
    if tested is not None:
        spec_of(tested[1])
        test_labels.read_again(tested[1])
        warnings = measuring.check_test(parts, tested[0], apart=True)
    with store.step("fit()"):
        parts.settings.agreed.check()
        if wait_for_answers and (missing := len(parts.open_queries())):
            raise QueryError(
                "1 image of the open query lacks an answer"
                if missing == 1
                else f"{missing} images of the open query lack an answer",
                hint="tell() their answers, or withdraw() them",
            )
        done, last = store.rounds(), store.last_model()
        if last is not None:
            snapshot = store.snapshot()
            if last[1] == _stamp(parts, snapshot) and not _are_back(parts, snapshot):
                if tested is not None:
                    check_declared(parts.settings, store, tested[0])
                    measuring.measure_last(parts, model, test_labels, *tested)
                return store.rounds()[-1]
        facts = {} if tested is None else check_declared(parts.settings, store, tested[0])
        number = next_round(done)
        result = commit_round(parts, model, test_labels, number, {}, tested, warnings=warnings, facts=facts)
    parts.report(Progress("round", result.round + 1, result.round + 1, result.metrics, result))
    return result


@on_one_connection
def commit_round(
    parts: Parts,
    model: LastModel,
    test_labels: TestLabels,
    number: int,
    seconds: Mapping[str, float],
    test: tuple[Pool, Oracle] | None = None,
    poll: float = 1.0,
    warnings: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> RoundResult:
    """Train on all labels so far, measure the model and record the round, with some more `warnings` and `facts`.

    The model is measured on the test set if there is one, else on the audit set as far as it is labelled, else on the
    labels held out. With a test set, the figures on the audit set stand beside. The caller holds the record's lock.

    Raises
    ------
    QueryError
        There is no label, or all labels are held out.
    """
    parts.settings.agreed.check()
    measuring.check_metrics_stay(parts)
    parts.store.contents.check_owned()  # before the training
    note_edits(parts)
    rule = join_rule(parts.terms.join)
    with parts.store.moment():  # answers may arrive meanwhile, and the round must say which ones it was trained on
        snapshot = parts.store.snapshot()
        answered, known = snapshot.known, parts.known()
        usable = parts.representations.known_ids
        pseudo = {id: file for id, file in parts.store.pseudo_labels(number).items() if id in usable}
        decided = decide(parts, known)
        pseudo = {id: file for id, file in pseudo.items() if id not in known}
        everything = parts.labels.of(decided.known, pseudo, parts.settings.spec, rule, decided.joins)
    pseudo_ids = set(everything.pseudo_ids)
    notes = [*warnings, *decided.notes]
    audited, apart = set_apart(parts, everything.ids, notes)
    audited = [id for id in audited if id not in pseudo_ids]
    held = hold_out(parts, [id for id in everything.ids if id not in pseudo_ids | apart], notes)
    labelled = everything.without({*held, *apart, *beside_held_out(parts, everything.pseudo_ids)})
    if not set(labelled.ids) - set(labelled.pseudo_ids):
        if not held:
            raise QueryError(
                "every label belongs to the audit set, so there is none to train on",
                got=f"{len(apart)} labels",
                hint="more labels",
            )
        raise QueryError(
            "every label is held out, so there is none to train on",
            got=f"{len(held)} labels, hold_out={parts.terms.hold_out:g}",
            hint="more labels, or a smaller hold_out=",
        )
    tested_by = ""
    if test is not None:  # before the training, whose result would be lost if a label were missing
        spec = parts.settings.spec
        with parts.store.no_connection():
            tested_by = measuring.digest_of(test_labels.of(*test, spec, poll), test[0].ids)
        notes += measuring.other_truth(parts.store, tested_by)
    begun = time.perf_counter()
    previous = None if number == 0 else model.predictor()
    rng = parts.stream.child("round", number, "fit").numpy()
    losses = Losses(parts.report)
    with parts.settings.threads(), working(parts.workers):
        predictor = parts.learner.fit(labelled, rng, None if number == 0 else model.to_train(), losses)
    check_returned(parts.learner, "fit", predictor, Predictor)
    seconds = {**seconds, "fit": time.perf_counter() - begun}
    metrics: Mapping[str, float] = {}
    seen = Seen()
    begun = time.perf_counter()
    given = parts, predictor, everything, audited, number, snapshot
    audit, on_audit, seen_audit = measure_audit(*given, tested=test is not None)
    intervals: Mapping[str, Interval] = {}
    by_labels: dict[str, str] = {}
    if test is not None:
        few = PerImage(parts.metrics, parts.settings.spec) if len(test[0].ids) < FEW_IMAGES else None
        metrics = measuring.measure_on(parts, predictor, test_labels, *test, poll, seen, each=few)
        intervals = {} if few is None else intervals_of(parts, metrics, few, number, test[0])
    elif audit is not None:
        metrics, seen = on_audit, seen_audit
    elif held:
        metrics, each = measure_labels(parts, predictor, everything, held, seen)
        intervals = intervals_of(parts, metrics, each, number)
        by_labels = label_digests(everything, held)
        before = parts.store.fact(HELD_OUT_LABELS) or {}
        if any(before.get(id, digest) != digest for id, digest in by_labels.items()):
            notes.append(OTHER_HELD_OUT)
    if metrics:
        seconds["evaluate"] = time.perf_counter() - begun
    found = seen.warnings(everything.spec, lengths(parts.learner, 2))
    with parts.settings.threads():
        unfit = warnings_about(predictor, labelled, parts.pool, losses, parts.learner, found)
    n_pseudo = len(labelled.pseudo_ids)
    stable = _stability(parts, predictor, previous)
    result = RoundResult(
        number,
        ids=tuple(query.id for query in parts.store.queries() if query.round == number),
        n_labels=len(labelled.ids) - n_pseudo,
        metrics=metrics,
        seconds=seconds,
        n_pseudo=n_pseudo,
        n_held_out=len(held),
        agreement=stable.agreement,
        warnings=(*everything.warnings(), *notes, *found, *unfit, *_unusable(parts, answered)),
        audit=audit,
        intervals=intervals,
        n_tested=0 if test is None else len(test[0].ids),
        n_unasked=len(snapshot.unasked & (set(labelled.ids) - set(labelled.pseudo_ids))),
        stability=stable.figures,
    )
    consumed = {answer.number for own in known.values() for answer in own.labels}
    dumped = predictor.dumps()
    check_returned(predictor, "dumps", dumped, bytes)
    keep = models_to_keep(parts.store, [*parts.store.rounds(), result])
    settled = {**(facts or {}), **({TRUTH: tested_by} if tested_by else {}), HELD_OUT_LABELS: by_labels or None}
    parts.store.commit_round(result, dumped, _stamp(parts, snapshot), consumed, keep, replacements(settled))
    model.replace(predictor)
    return result


def _are_back(parts: Parts, snapshot: Snapshot) -> bool:
    """Return whether images that could not be used when the last model was trained can be used now."""
    used = snapshot.last_consumed
    return bool(used) and any(answer.number not in used for own in parts.known().values() for answer in own.labels)


def _stamp(parts: Parts, snapshot: Snapshot) -> str:
    """Return a digest of a set of labels, and of what decides which of them count; skips do not count."""
    known, disputes = snapshot.known, parts.store.fact(DISPUTES)
    files: dict[str, object] = {id: [answer.label for answer in own.labels] for id, own in known.items() if own.labels}
    reviewed = {
        id: answer.label
        for id, answer in decided_by_review(snapshot.asked, snapshot.answers, known).items()
        if len(known[id].labels) > 1
    }
    if disputes is not None or reviewed:
        files = {"labels": files, "disputes": disputes, **({"reviewed": reviewed} if reviewed else {})}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _unusable(parts: Parts, answered: Mapping[str, Answered]) -> Iterator[str]:
    """Yield sentences about images that cannot be used, and about their labels."""
    if not (unusable := parts.settings.unusable):
        return
    yield f"{unusable_text(unusable)}."
    if labelled := [id for id, known in answered.items() if known.labels and id in unusable]:
        yield (
            f"The labels of {len(labelled)} of these images are recorded and not trained on: "
            f"{', '.join(map(repr, labelled[:FEW]))}{' ...' if len(labelled) > FEW else ''}."
        )


def _stability(parts: Parts, predictor: Predictor, previous: Predictor | None) -> Stability:
    """Return how sure a model is on the stop set, and how far it agrees with the previous one, if there is a set."""
    if not (n := min(parts.terms.stop_set, len(parts.ids))):
        return Stability(None)
    everything = parts.settings.recorded_ids or parts.ids  # images that are missing now do not change the others
    stream, groups = parts.stream.child("stop-set"), parts.groups_of(everything)
    if n < len(everything) and 1 < len(set(groups)) < len(groups):
        drawn = draw_groups(everything, groups, n, stream)
    else:
        drawn = [everything[row] for row in stream.numpy().choice(len(everything), n, replace=False)]
    with parts.settings.threads():
        ids = [id for id in sorted(drawn) if id in parts.representations.known_ids]
        how = parts.learner, parts.workers
        return stability(predictor, previous, parts.pool, ids, parts.settings.spec, *how) if ids else Stability(None)
