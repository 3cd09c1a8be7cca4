"""Predictions of labelled images by models that were not trained on them, and how well the labels agree with them.

The labels are divided into folds. For each fold, the learner is trained on the others and predicts the images of this
one. Images of one group, and near-duplicates, are in one fold. Images that are held out, or are in the audit set, are
predicted and never trained on. The models are not kept. The figures of each fold are kept in the record as soon as they
are known, so a call that was killed goes on where it stopped, and a second call with the same labels trains nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import alkit
from alkit.arguments.returned import check_returned
from alkit.checks import check_integer
from alkit.configuration.code import contents_of
from alkit.configuration.definitions import definitions_of, untold
from alkit.configuration.forms import written_form
from alkit.configuration.loaded_objects import LoadedCode
from alkit.errors import QueryError
from alkit.evaluation.label_quality import label_quality
from alkit.evaluation.work import Checked
from alkit.experiment.deciding import Deciding, decide
from alkit.experiment.holding_out import group_duplicates, together
from alkit.experiment.labelled import LabelledImages
from alkit.experiment.parts import Parts
from alkit.labels.joining import join_rule
from alkit.pools.pieces import shards_of
from alkit.protocols import Pool, Predictor
from alkit.record.changing import DISPUTES, QUALITIES
from alkit.rng import Stream
from alkit.sharing.share import Counted, share
from alkit.sharing.workers import working
from alkit.values.progress import Progress, quiet

FOLDS = 5
"""Default number of folds."""


def label_qualities(parts: Parts, folds: int = FOLDS) -> dict[str, float]:
    """Return the quality of each label by its image: see :meth:`alkit.Experiment.label_quality`."""
    check_integer("folds", folds, least=2)
    store = parts.store
    with store.step("label_quality()"):
        parts.settings.agreed.check()
        rule = join_rule(parts.terms.join)
        with store.moment():  # answers may arrive meanwhile, and the figures are those of certain labels
            decided = decide(parts, parts.known())
            everything = parts.labels.of(decided.known, {}, parts.settings.spec, rule, decided.joins)
            never = _never_trained(parts, everything.ids)
        units = _units(parts, everything.ids)
        if len(units) < folds:
            raise QueryError(
                "the labels are of too few groups to divide them",
                got=f"{len(units)} groups of {len(everything.ids)} images, folds={folds}",
                hint="fewer folds=, or more labels",
            )
        key = _key(parts, everything, decided, never, units, folds)
        kept = store.fact(QUALITIES)
        if kept is None or kept["key"] != key:
            kept = {"key": key, "folds": 0, "qualities": {}}
        parts_of_labels = divide(units, folds, parts.stream.child("review", folds))
        for number in range(kept["folds"], folds):
            parts.report(Progress("review", number, folds))
            found = _of_fold(parts, everything, parts_of_labels[number], never, number)
            kept = {"key": key, "folds": number + 1, "qualities": {**kept["qualities"], **found}}
            now = kept
            store.revise(QUALITIES, lambda before, now=now: now)  # type: ignore[misc]
        parts.report(Progress("review", folds, folds))
    return dict(sorted(kept["qualities"].items(), key=lambda entry: (entry[1], entry[0])))


def never_reviewed_by_model(parts: Parts, ids: Sequence[str]) -> frozenset[str]:
    """Return the images whose labels a model must not send back: they would come to agree with it, and it with them."""
    return _never_trained(parts, ids)


def _never_trained(parts: Parts, ids: Sequence[str]) -> frozenset[str]:
    """Return the labelled images on whose labels no model may be trained."""
    held_out = parts.settings.held_out(list(ids))
    return frozenset(id for id in ids if held_out(id))


def _units(parts: Parts, ids: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the images in units that stay in one fold: groups and near-duplicates."""
    duplicates, _ = group_duplicates(parts.pool, [], sorted(ids))
    groups = dict(zip(ids, parts.groups_of(ids), strict=True)) if parts.has_groups() else {}
    return together(duplicates, groups, frozenset())


def divide(units: Sequence[Sequence[str]], folds: int, stream: Stream) -> list[tuple[str, ...]]:
    """Return folds of nearly equal numbers of images, drawn by the stream; each unit is in one of them.

    >>> [sorted(fold) for fold in divide([("a", "b"), ("c",), ("d",)], 2, Stream(0))]
    [['a', 'b'], ['c', 'd']]
    """
    drawn = sorted(units, key=lambda unit: float(stream.child("unit", unit[0]).numpy().random()))
    found: list[list[str]] = [[] for _ in range(folds)]
    for unit in sorted(drawn, key=len, reverse=True):  # large groups first; those of one size as they were drawn
        min(found, key=len).extend(unit)
    return [tuple(fold) for fold in found]


def _key(
    parts: Parts,
    everything: LabelledImages,
    decided: Deciding,
    never: Collection[str],
    units: Sequence[Sequence[str]],
    folds: int,
) -> str:
    """Return a digest of all that the figures depend on: labels, pixels, groups, the learner, its code and the choices.

    If the code cannot be told, the figures are those of this experiment in this process, and of the code in it now.
    """
    pixels = parts.store.fact("images") or {}
    made_by = [written_form(parts.learner), written_form(parts.terms.join)]
    code = (
        [parts.token, _number_of(LoadedCode(parts.learner, parts.terms.join))]
        if untold(*made_by)
        else [alkit.__version__, definitions_of(made_by)]
    )
    subject = [
        {id: [answer.label for answer in decided.known[id].labels] for id in everything.ids},
        {id: pixels.get(id) for id in everything.ids},
        parts.settings.shape,
        getattr(parts.pool, "scale", None),
        made_by,
        code,
        written_form(everything.spec),
        sorted(never),
        sorted(sorted(unit) for unit in units),
        sorted(decided.joins),
        parts.store.fact(DISPUTES),
        parts.stream.seed,
        folds,
        *filter(None, [contents_of(made_by)]),  # of files that a learner may read
    ]
    return hashlib.sha256(json.dumps(subject, sort_keys=True, default=str).encode()).hexdigest()


_codes: list[LoadedCode] = []  # in the order in which they were first seen, kept so that no other gets their number


def _number_of(code: LoadedCode) -> int:
    """Return a number that tells the code of this process apart from other code of it."""
    if code not in _codes:
        _codes.append(code)
    return _codes.index(code)


def _of_fold(
    parts: Parts, everything: LabelledImages, fold: Sequence[str], never: Collection[str], number: int
) -> dict[str, float]:
    """Train on the other folds, and return the qualities of the labels of this one."""
    labelled = everything.without({*fold, *never})
    least = parts.settings.fewest_labels
    if len(labelled.ids) < least:
        raise QueryError(
            "too few labels are left to train on without those of a fold",
            got=f"{len(labelled.ids)}, and the network needs {least}",
            hint="more labels",
        )
    rng = parts.stream.child("review", "fold", number, "fit").numpy()
    with parts.settings.threads(), working(parts.workers):
        predictor = parts.learner.fit(labelled, rng, None, quiet)
    check_returned(parts.learner, "fit", predictor, Predictor)
    return _qualities(parts, predictor, everything, fold, parts.pool)


def _qualities(
    parts: Parts, predictor: Predictor, everything: LabelledImages, ids: Sequence[str], pool: Pool
) -> dict[str, float]:
    work, shards = Checked(predictor, parts.learner, parts.settings.spec), shards_of(pool, sorted(ids))
    found: dict[str, float] = {}
    results = share(work, shards, Counted(quiet, "predict", len(ids)), workers=parts.workers, stream=True)
    for shard in shards:
        with parts.settings.threads():
            result: Mapping[str, Any] = next(results)
        for id, probabilities in zip(shard.ids, result["whole"], strict=True):
            quality = label_quality(everything.known[id], probabilities, everything.spec)
            if quality is not None:
                found[id] = quality
    return found
