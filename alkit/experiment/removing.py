"""Remove an image from an experiment because somebody withdrew their consent."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from alkit.errors import ConfigurationError, QueryError, StoreError, nearest, one_line
from alkit.evaluation.meanings import METRICS
from alkit.experiment.growing import with_pool
from alkit.experiment.parts import Parts
from alkit.experiment.remaining import feature_folders, training_folders, what_remains
from alkit.experiment.representations import recorded_arrays
from alkit.features.forgetting import forget_features
from alkit.pools.forgetting import forget_pixels
from alkit.protocols import HasSubsets, Pool
from alkit.record.changing import CHANGES, CLUSTERS
from alkit.record.forgetting import facts_without, metrics_without
from alkit.record.removing import REMOVED, file_digest, without
from alkit.record.settings import describe
from alkit.sharing.kept import forget_kept
from alkit.values.queries import Query
from alkit.values.shown import count

LONGEST = 1000
"""Greatest number of characters of a reason."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What the removal of an image changed, and what it could not change.

    Parameters
    ----------
    id:
        Id of the image.
    answers, files:
        Numbers of its answers that were taken out, and of the files that were deleted.
    queries:
        Its queries, which are withdrawn.
    trained:
        Rounds whose models were trained on its labels, or measured by them.
    last_model:
        Whether the model of the last round is one of them.
    remains:
        What alkit does not delete, in sentences.
    """

    id: str
    answers: int
    files: int
    queries: tuple[Query, ...]
    trained: tuple[int, ...]
    last_model: bool
    remains: tuple[str, ...]


def remove(parts: Parts, id: str, reason: str) -> tuple[Parts, Removal]:
    """Remove an image, and return the parts without it: see :meth:`alkit.Experiment.remove`."""
    if not reason.strip():
        raise ConfigurationError("reason must say why the image is removed", got=repr(reason))
    store = parts.store
    with store.step("remove()"):
        removed = store.fact(REMOVED) or {}
        known = {*(store.fact("images") or parts.ids), *parts.ids}
        if id in removed:
            if not removed[id]["purged"]:  # the same call was killed
                _purge(parts, id)
            return _without(parts, id), Removal(id, 0, 0, (), (), False, ())
        if id not in known:
            raise QueryError(f"{id!r} is not an image of the record", hint=nearest(id, known) if known else None)
        if len(known) == 1:
            raise QueryError(f"{id!r} is the only image of the record", hint="delete the record")
        parts.settings.agreed.check()
        store.check_purge()
        snapshot = store.snapshot()
        queries = tuple(entry.query for entry in snapshot.asked if entry.query.id == id)
        told = [answer for answer in snapshot.answers if answer.id == id]
        used = [answer for answer in told if answer.number in snapshot.consumed]
        last = any(answer.number in snapshot.last_consumed for answer in told)
        trained = _rounds(parts, [answer.number for answer in used])
        remains, file = tuple(what_remains(parts, id, last, forget_kept(training_folders(parts)))), ""
        if id in parts.representations.known_ids:
            file = file_digest(parts.pool, id)
            forget_features(parts.pool, id, feature_folders(parts))
            forget_pixels(parts.pool, id)  # last: reading the image again would restore its row
        pool = _pool_without(parts, id)
        clusters = _clusters(parts, id)
        old = [store.fact(name) for name in clusters]
        files: list[str] = []

        def facts(unused: Sequence[str]) -> dict[str, Any]:
            files.extend([*unused, *old])
            return _facts(parts, id, one_line(reason, LONGEST), file, pool, clusters, files, removed)

        store.take_out(id, facts)
        _purge(parts, id)
        parts = _without(parts, id)
    return parts, Removal(id, len(told), len(files), queries, trained, last, remains)


def _pool_without(parts: Parts, id: str) -> Pool:
    pool = parts.pool
    if isinstance(pool, HasSubsets) and id in parts.representations.known_ids:
        pool = pool.subset(tuple(other for other in pool.ids if other != id))
    return pool


def _without(parts: Parts, id: str) -> Parts:
    """Return the parts without an image that was removed: by this call, by one that failed, or by another process."""
    there = id in parts.representations.known_ids
    if there:  # a step that goes on with the former parts, such as rounds() in a loop, must not use the image
        parts = replace(parts, settings=parts.settings.copied())
    parts.settings.agreed.accept_removal()
    return with_pool(parts, _pool_without(parts, id), same_groups=True) if there else parts


def _facts(
    parts: Parts,
    id: str,
    reason: str,
    file: str,
    pool: Pool,
    clusters: dict[str, str],
    files: Sequence[str],
    removed: dict[str, Any],
) -> dict[str, Any]:
    """Return the facts of the record without the image."""
    store, now = parts.store, datetime.now(UTC).isoformat(timespec="seconds")
    images, configuration = store.fact("images"), store.fact("configuration")
    digest = (images or {}).get(id, "")
    left = None if images is None else without(images, [id])
    whole = left is None or left.keys() == set(pool.ids)
    described = {**configuration["pool"], "images": configuration["pool"]["images"] - 1, "content": None}
    entry = {"at": now, "reason": reason, "digest": digest, "file": file, "files": list(files), "purged": False}
    places = {(entry.query.round, entry.query.rank) for entry in store.asked() if entry.query.id == id}
    metrics, others = store.fact(METRICS), facts_without(store.fact, [id], places)
    return {
        **({} if left is None else {"images": left}),
        "configuration": {**configuration, "pool": describe(pool) if whole else described},
        **({} if metrics is None else {METRICS: metrics_without(metrics, [id])}),
        **clusters,
        **others,
        REMOVED: {**removed, id: entry},
        CHANGES: [*others.get(CHANGES, []), {"at": now, "changed": [f"pool: {id!r} removed: {reason}"]}],
    }


def _purge(parts: Parts, id: str) -> None:
    """Delete the files of a removed image and all former values of rows, and record that this is done.

    The names of the files are forgotten before the journal is begun again, which would keep them.
    """
    store = parts.store
    store.delete_files(store.fact(REMOVED)[id]["files"])
    store.revise(REMOVED, lambda before: {**before, id: {**before[id], "files": []}})
    store.purge()
    store.revise(REMOVED, lambda before: {**before, id: {**before[id], "purged": True}})


def _clusters(parts: Parts, id: str) -> dict[str, str]:
    """Return the files of the clusters without the image, by the names of their facts."""
    facts = {}
    ids = sorted(parts.store.fact("images") or parts.ids)
    for name in parts.store.names():
        if name.startswith(CLUSTERS):
            names = ("ids", "labels", "distances", "k", "kept")
            arrays = recorded_arrays(parts.store, name, names)
            own = arrays["ids"].tolist() if "ids" in arrays else ids
            keep = np.array([other != id for other in own], bool)
            try:
                content: dict[str, Any] = {**arrays, "ids": np.array(own)[keep]}
                content |= {part: arrays[part][keep] for part in ("labels", "distances")}
            except (KeyError, IndexError) as reason:  # a stranger's
                raise StoreError(f"the {name} are not what alkit writes", got=reason) from reason
            buffer = io.BytesIO()
            np.savez(buffer, **content)
            facts[name] = parts.store.keep(buffer.getvalue(), ".npz")
    return facts


def _rounds(parts: Parts, numbers: Sequence[int]) -> tuple[int, ...]:
    """Return the rounds whose models used any of some answers."""
    spans = parts.store.used(numbers)
    rounds = [result.round for result in parts.store.rounds()]
    return tuple(number for number in rounds if any(a <= number and (b is None or number <= b) for a, b in spans))


def summary(removal: Removal) -> str:
    """Return what was removed, in a sentence."""
    return (
        f"{removal.id}: removed from the pool, with {count(removal.answers, 'answer')}, "
        f"{count(len(removal.queries), 'query')} and {count(removal.files, 'file')}."
    )
