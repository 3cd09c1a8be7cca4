"""Clusters of a pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.errors import DataError
from alkit.values.ids import check_ids
from alkit.values.shown import short_repr


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """The cluster of each image, and its distance to the cluster's centre.

    Parameters
    ----------
    ids:
        Ids of N images, distinct strings.
    labels:
        Number of each image's cluster, ``(N,)``, int64 in [0, k).
    distances:
        L2 distance, not squared, of each image to the centre of its cluster, ``(N,)``, float64.
    k:
        Number of clusters.

    Raises
    ------
    DataError
        Ids are not distinct strings, lengths differ, a label is not in [0, k), or a distance is negative or not
        finite.

    Examples
    --------
    >>> Clusters(("a", "b", "c"), np.array([0, 0, 1]), np.array([0.5, 0.5, 0.0]), k=2).sizes
    array([2, 1])
    """

    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]
    k: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", check_ids(self.ids))
        for name, dtype, end in (("labels", np.int64, self.k), ("distances", np.float64, np.inf)):
            values = np.array(getattr(self, name), dtype=dtype)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
            if values.shape != (len(self.ids),):
                raise DataError(
                    f"{name} must have one value for each id", got=f"shape {values.shape}", expected=(len(self.ids),)
                )
            good = (values >= 0) & (values < end)  # False for NaN
            if not good.all():
                bad = int(np.argmin(good))
                raise DataError(
                    f"{name} of {self.ids[bad]!r} is out of range", got=values[bad], expected=f"0 <= value < {end}"
                )

    __repr__ = short_repr

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Number of images in each cluster, ``(k,)``, int64."""
        return np.bincount(self.labels, minlength=self.k).astype(np.int64)
