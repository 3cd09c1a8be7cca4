"""Add images to the pool of an experiment that has begun."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alkit._logs import logger
from alkit.errors import ConfigurationError, DataError, QueryError
from alkit.experiment.labelled import Labels
from alkit.experiment.parts import Parts
from alkit.experiment.representations import Representations, recorded_arrays
from alkit.features.of_learner import OfLearner
from alkit.pools.base import whole_pool
from alkit.pools.batches import map_batches
from alkit.pools.checks import check_pool
from alkit.pools.groups import check_groups_apart, groups_of
from alkit.pools.identical import check_contents
from alkit.pools.unusable import repaired_in
from alkit.protocols import HasDigests, Pool
from alkit.record.audit import AUDIT, uncompared
from alkit.record.changing import CHANGES, CLUSTERS
from alkit.record.grouping import check_new_groups, settle_groups
from alkit.record.left_out import REPAIRED
from alkit.record.removing import REMOVED, without_removed
from alkit.record.settings import UNUSABLE, describe
from alkit.statistics.drift import Drift, drift
from alkit.strategies.functions import extractors_in
from alkit.values.shown import count

log = logger(__name__)

Clusters = Literal["keep", "update"]
"""What becomes of the clusters: ``keep`` them, and let each new image join the nearest; or ``update`` them all."""

GROWN = "grown"
"""Name of the fact that lists the additions of images, with their dates."""

SIDE = 16
"""Height and width of the thumbnails whose pixels are compared if the strategy has no features."""

FEW = 5
"""Most images that a message names."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What an addition of images changed.

    Parameters
    ----------
    ids:
        Ids of the new images.
    identical:
        By id of a new image the id of an image of the pool with the same content.
    drift:
        How different the new images are from the others: the squared maximum mean discrepancy of their features, and
        the p-value of a permutation test. None if either are fewer than two.
    features:
        What was compared: the name of the strategy's feature extractor, or ``thumbnails``.
    """

    ids: tuple[str, ...]
    identical: Mapping[str, str]
    drift: Drift | None
    features: str


def grow(parts: Parts, pool: Pool, clusters: Clusters) -> tuple[Parts, Growth]:
    """Record that the images of `pool` belong to the experiment, and return its parts with them.

    See :meth:`alkit.Experiment.grow`. Images that were removed are left out, also under another name.
    """
    check_pool(pool)
    if not isinstance(clusters, str) or clusters not in ("keep", "update"):
        raise ConfigurationError("clusters must be 'keep' or 'update'", got=repr(clusters))
    store, settings = parts.store, parts.settings
    with store.step("grow()"):
        if settings.schedule is not None:
            raise QueryError(
                f"the rounds of {store.path} have a schedule, so its pool cannot change",
                hint="another record: a run measures a strategy on one pool",
            )
        settings.agreed.check()
        given = len(pool.ids)
        pool = without_removed(pool, parts.store.fact(REMOVED) or {}, parts.store.fact("images") or ())
        if left_out := given - len(pool.ids):
            log.warning("%s left out, because they were removed", count(left_out, "image"))
        before = store.fact("images")
        if before is None or not isinstance(pool, HasDigests):
            raise ConfigurationError(
                "only a pool with digests can grow, because its images are recognised by them", got=type(pool).__name__
            )
        there = {id: digest[:16] for id, digest in pool.digests().items()}
        _check_former(before, there)
        new = sorted(there.keys() - before.keys())
        if not new:
            return parts, Growth((), {}, None, "")
        left = set(repaired_in(settings.unusable, repaired_images(parts), new))
        check_new_groups(store, pool, new)
        own = {digest: id for id, digest in sorted(before.items(), reverse=True)}
        identical = {id: own[there[id]] for id in new if there[id] in own}
        found, name = _drift(parts, pool, new)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"at": now, "images": len(new), "clusters": clusters, "features": name}
        entry |= {"drift": None if found is None else asdict(found), "identical": len(identical)}
        change = f"pool: {count(len(new), 'image')} added, clusters {'kept' if clusters == 'keep' else 'updated'}"
        configuration = {**store.fact("configuration"), "pool": describe(pool)}
        facts = {
            "images": there,
            "configuration": configuration,
            GROWN: [*(store.fact(GROWN) or []), entry],
            UNUSABLE: {id: text for id, text in settings.unusable.items() if text != REPAIRED or id in left},
            CHANGES: [*(store.fact(CHANGES) or []), {"at": now, "changed": [change]}],
            **_clusters(parts, sorted(before), clusters),
        }
        if (audit := store.fact(AUDIT)) is not None:
            facts[AUDIT] = uncompared(audit)  # the new images may be nearly identical to some of it
        gone = {name for name in store.names() if name.startswith(CLUSTERS) and name not in facts}
        store.replace(facts, lambda name: name not in gone)
        parts = replace(parts, settings=settings.copied())
        parts.settings.agreed.change(configuration["pool"])
        parts = with_pool(parts, pool)
    return parts, Growth(tuple(new), identical, found, name)


def repaired_images(parts: Parts) -> tuple[str, ...]:
    """Return the images that were unusable at the start and can be used now: see :attr:`alkit.Experiment.repaired`."""
    waiting = {id for id, reason in parts.settings.unusable.items() if reason == REPAIRED}
    if not waiting:
        return ()
    known, removed = {*(parts.store.fact("images") or ())}, parts.store.fact(REMOVED) or {}
    whole = whole_pool(parts.pool)
    return tuple(id for id in whole.ids if id not in known and id not in removed and repaired_in(waiting, [id], ()))


def grow_by_repaired(parts: Parts, test: Pool | None) -> tuple[Parts, Growth]:
    """Take in the images that were repaired: see :meth:`alkit.Experiment.take_repaired`."""
    ids = repaired_images(parts)
    if not ids:
        return parts, Growth((), {}, None, "")
    pool = whole_pool(parts.pool).subset((*parts.pool.ids, *ids))
    if test is not None:
        check_contents(pool, test)
        check_groups_apart(pool, test)
    return grow(parts, pool, "keep")


def with_pool(parts: Parts, pool: Pool, *, same_groups: bool = False) -> Parts:
    """Return the parts of an experiment with another pool, whose images are those of the record.

    Parameters
    ----------
    same_groups:
        Whether the pool has the groups that the experiment had. Another process may have changed those of the record.
    """
    pool = settle_groups(parts.store, pool, only_new=same_groups)
    representations = Representations(pool, parts.stream, parts.store, parts.report, parts.workers)
    ids = frozenset(pool.ids) | parts.settings.unusable.keys()
    answers = parts.answers.of_pool(parts.settings, ids)
    labels = Labels(parts.files, representations)
    return replace(parts, pool=pool, representations=representations, answers=answers, labels=labels, compared={})


def _check_former(before: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise a :class:`DataError` unless all images of the record are there with their content."""
    wrong = {id: "missing" if id not in there else "changed" for id in before if there.get(id) != before[id]}
    if wrong:
        listed = ", ".join(f"{id!r} is {what}" for id, what in list(wrong.items())[:FEW])
        more = f", and {len(wrong) - FEW} more" if len(wrong) > FEW else ""
        raise DataError(
            "pool must hold all images of the record besides the new ones",
            got=listed + more,
            hint="restore them, or alkit remove",
        )


def _clusters(parts: Parts, ids: Sequence[str], clusters: Clusters) -> dict[str, str]:
    """Return the facts of the clusters to keep; their files name the images that they belong to."""
    if clusters == "update":
        return {}
    facts = {}
    for name in parts.store.names():
        if name.startswith(CLUSTERS):
            arrays = recorded_arrays(parts.store, name, ("ids", "labels", "distances", "k"))
            buffer = io.BytesIO()
            content: dict[str, Any] = {"ids": np.array(ids), **arrays, "kept": np.array(1)}
            np.savez(buffer, **content)
            facts[name] = parts.store.keep(buffer.getvalue(), ".npz")
    return facts


def _drift(parts: Parts, pool: Pool, new: Sequence[str]) -> tuple[Drift | None, str]:
    """Return how different the new images are from the others, and what was compared."""
    found = [one for one in extractors_in(parts.strategy) if not isinstance(one, OfLearner)]
    rng = parts.stream.child("drift", len(pool.ids)).numpy()
    if found:
        grown = Representations(pool, parts.stream, parts.store, parts.report, parts.workers)
        rows, name = grown.features(found[0]), type(found[0]).__name__
    else:
        rows, name = _thumbnails(pool), "thumbnails"
    ids, added = sorted(pool.ids), set(new)
    is_new = np.array([id in added for id in ids])
    of = groups_of(pool, ids)
    both = (
        [group for group, one in zip(of, is_new, strict=True) if not one],
        [of[row] for row in np.flatnonzero(is_new)],
    )
    return drift(rows[~is_new], rows[is_new], rng, both), name


def _thumbnails(pool: Pool) -> npt.NDArray[np.float32]:
    """Return the pixels of all images, by sorted id, as averages over a grid of at most 16 x 16 cells."""

    def shrink(ids: Sequence[str]) -> npt.NDArray[np.float32]:
        images = np.asarray(pool.read(ids), np.float32)
        rows, columns = (np.linspace(0, side, min(SIDE, side) + 1).astype(int)[:-1] for side in images.shape[-2:])
        sums = np.add.reduceat(np.add.reduceat(images, rows, axis=2), columns, axis=3)
        cells = np.add.reduceat(np.add.reduceat(np.ones_like(images[:1, :1]), rows, axis=2), columns, axis=3)
        return np.asarray(sums / cells, np.float32).reshape(len(images), -1)

    return np.concatenate([rows for _, rows in map_batches(shrink, sorted(pool.ids), pool)])
