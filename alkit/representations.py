"""What can be known of a pool without labels: fitted pretexts, features and clusters, each computed once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from alkit.clustering import Clusters, kmeans
from alkit.declare import opaque_parts, written
from alkit.errors import DataError
from alkit.protocols import FeatureExtractor, FittedExtractor, Pool
from alkit.rng import Stream
from alkit.store import Store
from alkit.types import Progress, Report


class Representations:
    """The label-free knowledge of one experiment's pool.

    Clusters belong to the experiment: they are kept in its record, so every round and every process sees the same.
    Fitted pretexts and features are kept in memory, one row an image.

    Parameters
    ----------
    pool:
        All images of the experiment.
    stream:
        The experiment's root stream; what is drawn here depends on the seed alone.
    store:
        The record that keeps the clusters.
    """

    def __init__(self, pool: Pool, stream: Stream, store: Store, report: Report) -> None:
        self.pool, self.report = pool, report
        self.ids = tuple(sorted(pool.ids))
        self._stream, self._store = stream, store
        self._fitted: dict[object, FittedExtractor] = {}
        self._features: dict[object, npt.NDArray[np.float32]] = {}

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the pool."""
        key = _key(extractor)
        if key not in self._fitted:
            self._fitted[key] = extractor.fit(self.pool, self._stream.child("pretext").numpy(), self.report)
        return self._fitted[key]

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row per image of ``ids``, ``(len(ids), d)``, read-only."""
        key = _key(extractor)
        if key not in self._features:
            fitted, rows = self.fitted(extractor), []
            for ids in batches(self.ids, self.pool):
                rows.append(fitted.features(self.pool.read(ids)))
                self.report(Progress("features", sum(map(len, rows)), len(self.ids)))
            table = np.concatenate(rows)
            finite = np.isfinite(table).all(axis=1)
            if not finite.all():
                raise DataError(f"the features of {self.ids[int(np.argmin(finite))]!r} are not finite")
            table.flags.writeable = False
            self._features[key] = table
        return self._features[key]

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the whole pool."""
        name = f"clusters of {k} by {json.dumps(written(extractor), sort_keys=True)}"
        recorded = None if opaque_parts(written(extractor)) else self._store.fact(name)
        if recorded is not None:
            with np.load(io.BytesIO(self._store.content(recorded))) as arrays:
                return Clusters(self.ids, arrays["labels"], arrays["distances"], int(arrays["k"]))
        clusters = kmeans(self.features(extractor), self.ids, k, self._stream.child("clusters", k).numpy())
        if not opaque_parts(written(extractor)):
            buffer = io.BytesIO()
            np.savez(buffer, labels=clusters.labels, distances=clusters.distances, k=np.int64(clusters.k))
            self._store.declare({name: self._store.keep(buffer.getvalue(), ".npz")})
        return clusters


def batches(ids: Sequence[str], pool: Pool) -> Iterator[Sequence[str]]:
    """Cut `ids` into batches of at most 64 images and about a million pixels, whatever the images' size."""
    height, width = pool.read(ids[:1]).shape[-2:] if ids else (1, 1)
    size = max(1, min(64, 2**20 // (height * width)))
    for begin in range(0, len(ids), size):
        yield ids[begin : begin + size]


def _key(extractor: FeatureExtractor) -> object:
    form = written(extractor)
    return id(extractor) if opaque_parts(form) else json.dumps(form, sort_keys=True)
