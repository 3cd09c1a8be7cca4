"""Clusters of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alkit.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Which cluster each image is in, and how far it is from that cluster's centre.

    Parameters
    ----------
    ids:
        N different ids.
    labels:
        ``(N,)``, int64 in [0, k): the cluster of each id.
    distances:
        ``(N,)``, float64: the L2 distance, not squared, of each id to the centre of its own cluster.
    k:
        The number of clusters.

    Raises
    ------
    DataError
        Repeated ids, other lengths, a label outside [0, k), or a distance that is negative or not finite.

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
                    f"{name} and ids do not go together",
                    got=f"shape {values.shape}",
                    expected=f"({len(self.ids)},)",
                )
            good = (values >= 0) & (values < end)  # no NaN is good
            if not good.all():
                bad = int(np.argmin(good))
                raise DataError(
                    f"{self.ids[bad]!r} is out of range in {name}",
                    got=values[bad],
                    expected=f"0 <= value < {end}",
                )

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many images each cluster holds, ``(k,)``."""
        return np.bincount(self.labels, minlength=self.k).astype(np.int64)


def check_ids(ids: Sequence[str]) -> tuple[str, ...]:
    """Return `ids` as a tuple; raise a :class:`DataError` unless they are different strings."""
    ids, seen = tuple(ids), set[str]()
    for id in ids:
        if id in seen:
            raise DataError("an id is given twice", got=repr(id), expected="different ids")
        seen.add(id)
    return ids
