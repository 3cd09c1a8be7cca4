"""Features and clusters of a pool: label-free, and computed once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import cache_folder
from alkit._logs import logger
from alkit._reading.arrays import read_arrays
from alkit.arguments.returned import check_returned
from alkit.configuration.addresses import address_of
from alkit.configuration.definitions import own_definitions, untold
from alkit.configuration.forms import opaque_parts, without_state, written_form
from alkit.configuration.loaded_objects import LoadedCode
from alkit.configuration.versions import to_former
from alkit.errors import ConfigurationError, DataError, StoreError
from alkit.features.clustering import kmeans
from alkit.features.embeddings import FittedEmbeddings
from alkit.features.gathered import Gathered, Rows
from alkit.features.row_index import image_digests
from alkit.features.stored import ReadOnlyCacheError, StoredRows
from alkit.features.work import OfExtractor, check_width
from alkit.pools.checks import image_shape
from alkit.pools.pieces import shards_of
from alkit.protocols import FeatureExtractor, FittedExtractor, HasDigests, HasFingerprint, KnowsRows, Pool
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.rng import Stream
from alkit.sharing.share import Counted, share
from alkit.sharing.workers import Workers
from alkit.values.clusters import Clusters
from alkit.values.progress import Report, quiet

log = logger(__name__)


def recorded_arrays(store: Store, name: str, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return some arrays of recorded clusters, those that there are.

    Parameters
    ----------
    name:
        Name of the fact with the file of the clusters.
    names:
        Names of the arrays.

    Raises
    ------
    StoreError
        The file is missing or damaged, or is not one of clusters.
    """
    file = store.fact(name)
    try:
        return read_arrays(io.BytesIO(store.content(file)), names)
    except ValueError as reason:  # a stranger's file
        raise StoreError(f"the clusters in {file} are not what alkit writes", got=reason) from reason


class Representations:
    """Fitted extractors, features and clusters of one experiment's pool.

    Clusters belong to the experiment: its record keeps them, so every round and every process sees the same clusters.
    Features are kept on disk for all experiments (:mod:`alkit.features.stored`), if the fitted extractor has a
    fingerprint and the pool has digests. Otherwise they are kept for this process.

    Parameters
    ----------
    pool:
        All images of the experiment.
    stream:
        The experiment's root stream.
    store:
        The record that keeps the clusters.
    workers:
        Who computes the features.
    """

    def __init__(self, pool: Pool, stream: Stream, store: Store, report: Report, workers: Workers = None) -> None:
        self.pool, self.report, self._workers = pool, report, workers
        self.ids = tuple(sorted(pool.ids))
        self.known_ids = frozenset(self.ids)
        # Clusters may have been recorded when images were there that are missing now.
        self._all_ids = tuple(Settings(store).recorded_ids or self.ids)
        self._stream, self._store = stream, store
        self._fitted: dict[object, FittedExtractor] = {}
        self._features: dict[object, npt.NDArray[np.float32]] = {}
        self._tables: dict[object, tuple[StoredRows, object]] = {}  # by extractor, with what was erased in them
        self._clusters: dict[object, Clusters] = {}

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the pool."""
        key = _key(extractor)
        if key not in self._fitted:
            fitted = extractor.fit(self.pool, self._stream.child("pretext").numpy(), self.report)
            check_returned(extractor, "fit", fitted, FittedExtractor)
            self._fitted[key] = fitted
        return self._fitted[key]

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row per image of ``ids``, ``(len(ids), d)``, read-only."""
        key = _key(extractor)
        table, erased = self._tables.get(key, (None, None))
        if key not in self._features or (table is not None and table.erased() != erased):
            self._features[key] = self._rows(extractor, self.fitted(extractor))
        found, fitted = self._features[key], self._fitted.get(key)
        if isinstance(fitted, FittedEmbeddings) and np.may_share_memory(found, fitted.table):
            fitted.check_unchanged()
        return found

    def _rows(self, extractor: FeatureExtractor, fitted: FittedExtractor) -> Rows:
        """Return the rows of all images: from a table on disk, if the extractor and the pool can be identified."""
        if isinstance(fitted, KnowsRows):
            return _known_rows(fitted, self.ids)
        computing = _Computing(self.pool, fitted, len(self.ids), self.report, self._workers)
        form, made = written_form(extractor), {"is": address_of(type(fitted))}
        named = not opaque_parts(form) and not untold(form, made)
        if named and isinstance(fitted, HasFingerprint) and isinstance(self.pool, HasDigests):
            folder = cache_folder(getattr(extractor, "cache", None)) / "features"
            code = own_definitions(form, made)
            table = StoredRows(folder, to_former(form), _fingerprint(fitted), type(extractor).__name__, code)
            digests = self.pool.digests()
            scale = getattr(self.pool, "scale", None)
            images = image_digests(image_shape(self.pool), scale, [digests[id] for id in self.ids])
            try:
                self._tables[_key(extractor)] = table, table.erased()
                return table.rows(self.ids, images, computing.rows, partial(computing.rows, silent=True))
            except ReadOnlyCacheError as reason:
                log.warning("the features are computed for this process only, because they cannot be kept (%s)", reason)
        gathered = Gathered()
        for rows in computing.rows(self.ids):
            gathered.append(rows)
        return gathered.array()

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the whole pool."""
        key = (_key(extractor), k)
        if key not in self._clusters:
            self._clusters[key] = self._recorded_clusters(extractor, k)
        return self._clusters[key]

    def cluster(self, features: npt.NDArray[np.float32], k: int) -> Clusters:
        """Return the K-means clusters of some features of the whole pool, which are neither kept nor recorded."""
        return kmeans(features, self.ids, k, self._stream.child("clusters", k).numpy())

    def _recorded_clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        form = written_form(extractor)
        name = None if opaque_parts(form) else f"clusters of {k} by {json.dumps(to_former(form), sort_keys=True)}"
        if name is not None and (file := self._store.fact(name)) is not None:
            try:
                arrays = recorded_arrays(self._store, name, ("ids", "labels", "distances", "k", "kept"))
                recorded = arrays["ids"].tolist() if "ids" in arrays else self._all_ids
                rows = {id: row for row, id in enumerate(recorded)}
                if not 1 <= (found := int(arrays["k"])) <= k:  # fewer, if images have equal features
                    raise ValueError(f"{found} clusters in place of {k}")
                if rows.keys() >= self.known_ids:
                    own = [rows[id] for id in self.ids]
                    return Clusters(self.ids, arrays["labels"][own], arrays["distances"][own], found)
                if "kept" in arrays:  # images were added, and the clusters shall stay
                    return self._joined_by(extractor, rows, arrays, found, name)
            except (KeyError, IndexError, TypeError, ValueError, OverflowError) as reason:  # a stranger's file
                raise StoreError(f"the clusters in {file} are not what alkit writes", got=reason) from reason
            log.warning("the clusters are computed again, because images are back that were missing before")
        clusters = self.cluster(self.features(extractor), k)
        if name is not None:
            self._record(name, clusters, kept=False)
        return clusters

    def _record(self, name: str, clusters: Clusters, *, kept: bool) -> None:
        """Record clusters; `kept` says that they stay as they are when images are added."""
        buffer = io.BytesIO()
        content: dict[str, Any] = {"labels": clusters.labels, "distances": clusters.distances}
        content["k"] = np.int64(clusters.k)
        if kept or self.ids != self._all_ids:
            content["ids"] = np.array(self.ids)
        if kept:
            content["kept"] = np.array(1)
        np.savez(buffer, **content)
        file = self._store.keep(buffer.getvalue(), ".npz")
        self._store.revise(name, lambda before: file)

    def _joined_by(
        self, extractor: FeatureExtractor, rows: Mapping[str, int], arrays: Mapping[str, Any], k: int, name: str
    ) -> Clusters:
        """Return recorded clusters after each new image has joined the one with the nearest centre, and record them.

        The centre of a cluster is the mean of the features of those of its images that are there.
        """
        features = np.asarray(self.features(extractor), np.float64)
        labels = np.array([arrays["labels"][rows[id]] if id in rows else -1 for id in self.ids], np.int64)
        if ((labels < -1) | (labels >= k)).any():
            raise ValueError("a cluster that does not exist")
        there = [cluster for cluster in range(k) if (labels == cluster).any()]
        if not there:
            raise ValueError("clusters of other images")
        centres = np.stack([features[labels == cluster].mean(axis=0) for cluster in there])
        new = np.flatnonzero(labels < 0)
        distances = np.zeros(len(labels))
        distances[labels >= 0] = [arrays["distances"][rows[id]] for id in self.ids if id in rows]
        for row in new:
            apart = np.linalg.norm(centres - features[row], axis=1)
            labels[row], distances[row] = there[int(apart.argmin())], apart.min()
        kind = np.asarray(arrays["labels"]).dtype, np.asarray(arrays["distances"]).dtype
        clusters = Clusters(self.ids, labels.astype(kind[0]), distances.astype(kind[1]), k)
        self._record(name, clusters, kept=True)
        return clusters


class _Computing:
    """Computes rows of features in shards, and checks them."""

    def __init__(self, pool: Pool, fitted: FittedExtractor, images: int, report: Report, workers: Workers) -> None:
        self._pool, self._fitted, self._images, self._report = pool, fitted, images, report
        self._workers = workers
        self._width: int | None = None

    def rows(self, ids: Sequence[str], silent: bool = False) -> Iterator[Rows]:
        """Yield the rows of these images; in the report, those that are left out count as done."""
        counted = Counted(quiet if silent else self._report, "features", self._images, self._images - len(ids))
        shards = shards_of(self._pool, ids)
        found = share(OfExtractor(self._fitted), shards, counted, workers=self._workers, stream=True)
        for shard, result in zip(shards, found, strict=True):
            rows = result["features"]
            check_width(self._fitted, rows, shard.size, self._width)
            self._width = rows.shape[1]
            yield rows


def _known_rows(fitted: KnowsRows, ids: Sequence[str]) -> Rows:
    """Return the rows that a fitted extractor knows by id, after a check."""
    rows = fitted.rows(ids)
    check_returned(fitted, "rows", rows, npt.NDArray[Any])
    if rows.ndim != 2 or len(rows) != len(ids) or not rows.shape[1] or rows.dtype != np.float32:
        raise DataError(
            f"{type(fitted).__name__}.rows must return an array ({len(ids)}, d) of float32, one row for each image",
            got=f"shape {rows.shape} of {rows.dtype}",
        )
    at_once = max(1, 2**20 // rows.shape[1])
    for begin in range(0, len(rows), at_once):
        finite = np.isfinite(rows[begin : begin + at_once]).all(axis=1)
        if not finite.all():
            raise DataError(f"the features of {ids[begin + int(np.argmin(finite))]!r} are not finite")
    own = rows.view()
    own.flags.writeable = False
    return own


def _fingerprint(fitted: HasFingerprint) -> str:
    mark = fitted.fingerprint()
    if not isinstance(mark, str) or len(mark) < 16:
        raise ConfigurationError(
            f"{type(fitted).__name__}.fingerprint must return a text of at least 16 characters", got=repr(mark)
        )
    return mark


def _key(extractor: FeatureExtractor) -> object:
    """Return a key that tells extractors, their parameters and their code apart; by the object if it has no form."""
    form = written_form(extractor)
    own = _Same(extractor) if opaque_parts(form) else None
    return own, json.dumps(without_state(form), sort_keys=True), LoadedCode(extractor)


class _Same:
    """An object as a key: equal only to itself, and kept alive."""

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)
