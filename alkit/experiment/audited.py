"""Measure a model on labels of the record: on the audit set, or on those held out, with intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from alkit.evaluation.measure import Seen, measure
from alkit.evaluation.per_image import PerImage
from alkit.experiment.labelled import LabelledImages
from alkit.experiment.parts import Parts
from alkit.pools.groups import groups_of
from alkit.protocols import Pool, Predictor
from alkit.record.audit import recorded_audit
from alkit.record.snapshot import Snapshot
from alkit.values.audit import AuditFigures
from alkit.values.interval import Interval


def measure_labels(
    parts: Parts, predictor: Predictor, everything: LabelledImages, ids: Sequence[str], seen: Seen
) -> tuple[dict[str, float], PerImage]:
    """Return the metrics of a model on labelled images of the pool, and its figures on each of them."""
    each = PerImage(parts.metrics, everything.spec)
    with parts.settings.threads():
        truth = everything.labels(ids)
        given = parts.metrics, everything.originals, parts.learner, parts.workers
        found = measure(predictor, parts.pool, ids, truth, everything.spec, parts.report, seen, *given, each)
    return found, each


def label_digests(everything: LabelledImages, ids: Sequence[str]) -> dict[str, str]:
    """Return by id a digest of each label, at the working size, by which models are measured."""
    labels = zip(ids, everything.labels(ids), strict=True)
    return {id: hashlib.sha256(np.ascontiguousarray(label).tobytes()).hexdigest()[:16] for id, label in labels}


def intervals_of(
    parts: Parts, figures: Mapping[str, float], each: PerImage, number: int, pool: Pool | None = None
) -> dict[str, Interval]:
    """Return the intervals of the figures of a round, seeded by the experiment's stream.

    Parameters
    ----------
    pool:
        The pool that the images are in. Default: that of the experiment.
    """
    stream = parts.stream.child("round", number, "intervals")
    groups = parts.groups_of(each.ids) if pool is None else groups_of(pool, each.ids)
    return each.intervals(figures, groups, lambda name: stream.child(name).numpy())


def measure_audit(
    parts: Parts,
    predictor: Predictor,
    everything: LabelledImages,
    ids: Sequence[str],
    number: int,
    snapshot: Snapshot,
    *,
    tested: bool,
) -> tuple[AuditFigures | None, dict[str, float], Seen]:
    """Return the figures of a round's model on the labelled images of the audit set, and its metrics on them.

    Parameters
    ----------
    snapshot:
        The record when the labels were read: answers that came during the training are no part of the round.
    tested:
        Whether the metrics of the round are those of a test set.
    """
    seen = Seen()
    counted = [id for id in ids if not _all_ignored(everything, id)]
    if not counted:
        return None, {}, seen
    metrics, each = measure_labels(parts, predictor, everything, counted, seen)
    figures = intervals_of(parts, metrics, each, number)
    audit = recorded_audit(parts.store)
    usable = parts.representations.known_ids
    labelled = {id for id, known in snapshot.known.items() if known.labels and id in usable}
    left_out = labelled.difference(everything.known)  # as the record's choice about disputes says
    disputed = [id for id in audit.ids if everything.undecided.get(id) == 1 or id in left_out]
    waiting, done = {entry.query.id for entry in snapshot.open}, {*counted, *disputed}
    skipped = [
        id
        for id in audit.ids
        if id not in done and (id not in usable or id in ids or (id in snapshot.known and id not in waiting))
    ]
    groups = parts.groups_of(each.ids)
    digests = label_digests(everything, counted)
    return (
        AuditFigures(
            figures,
            drawn=len(audit.ids),
            of=audit.of,
            ids=tuple(each.ids),
            groups=() if groups == each.ids else tuple(groups),
            values={name: tuple(own.round(6).tolist()) for name, own in each.values(metrics).items()},
            skipped=len(skipped),
            disputed=len(disputed),
            main=not tested,
            labels=tuple(digests[id] for id in each.ids),
        ),
        metrics,
        seen,
    )


def _all_ignored(everything: LabelledImages, id: str) -> bool:
    ignore = everything.spec.ignore
    return ignore is not None and bool(np.all(everything.known[id] == ignore))
