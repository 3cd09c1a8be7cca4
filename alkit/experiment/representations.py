"""Features and clusters of a pool: label-free, and computed once."""

from __future__ import annotations

import io
import json
import logging
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from alkit.arguments.returned import check_returned
from alkit.configuration.forms import opaque_parts, written_form
from alkit.configuration.versions import to_former
from alkit.errors import DataError, StoreError
from alkit.features.clustering import kmeans
from alkit.pools.batches import batches
from alkit.protocols import FeatureExtractor, FittedExtractor, Pool
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.rng import Stream
from alkit.values.clusters import Clusters
from alkit.values.progress import Progress, Report

log = logging.getLogger(__name__)


class Representations:
    """Fitted extractors, features and clusters of one experiment's pool.

    Clusters belong to the experiment: its record keeps them, so every round and every process sees the same clusters.
    Fitted extractors and features are kept in memory, one row of features per image.

    Parameters
    ----------
    pool:
        All images of the experiment.
    stream:
        The experiment's root stream.
    store:
        The record that keeps the clusters.
    """

    def __init__(self, pool: Pool, stream: Stream, store: Store, report: Report) -> None:
        self.pool, self.report = pool, report
        self.ids = tuple(sorted(pool.ids))
        self.known_ids = frozenset(self.ids)
        # Clusters may have been recorded when images were there that are missing now.
        self._all_ids = tuple(Settings(store).recorded_ids or self.ids)
        self._stream, self._store = stream, store
        self._fitted: dict[object, FittedExtractor] = {}
        self._features: dict[object, npt.NDArray[np.float32]] = {}
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
        if key not in self._features:
            fitted, done = self.fitted(extractor), 0
            table = np.empty((len(self.ids), 0), np.float32)
            for ids in batches(self.ids, self.pool):
                rows = fitted.features(self.pool.read(ids))
                _check_rows(fitted, rows, len(ids), table.shape[1] if done else None)
                if done == 0:  # the first rows tell the number of columns
                    table = np.empty((len(self.ids), rows.shape[1]), np.float32)
                table[done : done + len(ids)] = rows
                done += len(ids)
                self.report(Progress("features", done, len(self.ids)))
            finite = np.isfinite(table).all(axis=1)
            if not finite.all():
                raise DataError(f"the features of {self.ids[int(np.argmin(finite))]!r} are not finite")
            table.flags.writeable = False
            self._features[key] = table
        return self._features[key]

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
                with np.load(io.BytesIO(self._store.content(file)), allow_pickle=False) as arrays:
                    recorded = arrays["ids"].tolist() if "ids" in arrays else self._all_ids
                    rows = {id: row for row, id in enumerate(recorded)}
                    if rows.keys() >= self.known_ids:
                        own = [rows[id] for id in self.ids]
                        return Clusters(self.ids, arrays["labels"][own], arrays["distances"][own], int(arrays["k"]))
            except (BadZipFile, EOFError, KeyError, IndexError, TypeError, ValueError) as reason:  # a stranger's file
                raise StoreError(f"the clusters in {file} are not what alkit writes", got=reason) from reason
            log.warning("the clusters are computed again, because images are back that were missing before")
        clusters = self.cluster(self.features(extractor), k)
        if name is not None:
            buffer = io.BytesIO()
            content: dict[str, Any] = {"labels": clusters.labels, "distances": clusters.distances}
            content["k"] = np.int64(clusters.k)
            if self.ids != self._all_ids:
                content["ids"] = np.array(self.ids)
            np.savez(buffer, **content)
            kept = self._store.keep(buffer.getvalue(), ".npz")
            self._store.revise(name, lambda before: kept)
        return clusters


def _check_rows(fitted: FittedExtractor, rows: Any, n: int, columns: int | None) -> None:
    """Check the features of a batch of images: as many rows as images, and as many columns as before."""
    check_returned(fitted, "features", rows, npt.NDArray[Any])
    if rows.ndim != 2 or len(rows) != n or columns not in (None, rows.shape[1]):
        raise DataError(
            f"{type(fitted).__name__}.features must return an array ({n}, {columns or 'd'}), one row for each image",
            got=f"shape {rows.shape}",
        )


def _key(extractor: FeatureExtractor) -> object:
    """Return a key that tells extractors apart: the written form, or the object itself if it has none."""
    form = written_form(extractor)
    return _Same(extractor) if opaque_parts(form) else json.dumps(form, sort_keys=True)


class _Same:
    """An object as a key: equal only to itself, and kept alive."""

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)
