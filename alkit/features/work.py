"""Rows of features for the images of a shard, by a fitted extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.arguments.returned import check_returned
from alkit.errors import DataError
from alkit.features.packed import NetworkFile, open_extractor, pack_extractor
from alkit.pools.pieces import Shard, map_shard
from alkit.protocols import FittedExtractor
from alkit.sharing.share import Result
from alkit.sharing.worker import Tick


@dataclass(frozen=True)
class OfExtractor:
    """Features of images."""

    fitted: FittedExtractor | NetworkFile
    sufficed: list[int] = field(default_factory=list)

    def packed(self, folder: Path) -> OfExtractor:
        """Return the work with the weights of the extractor's network in a file."""
        return replace(self, fitted=pack_extractor(self.fitted, folder))

    def __call__(self, shard: Shard, tick: Tick) -> Result:
        """Return ``features``, ``(n, d)``, float32."""
        fitted, width, whole = open_extractor(self.fitted), None, list[npt.NDArray[np.float32]]()

        def features_of(some: Sequence[str]) -> npt.NDArray[Any]:
            return fitted.features(shard.pool.read(some))

        for some, rows in map_shard(features_of, shard, self.sufficed):
            check_returned(fitted, "features", rows, npt.NDArray[Any])
            check_width(fitted, rows, len(some), width)
            rows, width = np.asarray(rows, np.float32), rows.shape[1]
            finite = np.isfinite(rows).all(axis=1)
            if not finite.all():
                raise DataError(f"the features of {some[int(np.argmin(finite))]!r} are not finite")
            whole.append(rows)
            tick(len(some))
        return {"features": np.concatenate(whole)}


def check_width(fitted: object, rows: npt.NDArray[Any], images: int, width: int | None) -> None:
    """Check that an extractor gave one row for each image, as wide as those before."""
    if rows.ndim != 2 or len(rows) != images or not rows.shape[1] or width not in (None, rows.shape[1]):
        raise DataError(
            f"{type(fitted).__name__}.features must return an array ({images}, {width or 'd'}), one row for each image",
            got=f"shape {rows.shape}",
        )
