"""Random selection: what every other strategy must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alkit import Selection, View
from alkit.errors import SelectionError


@dataclass(frozen=True)
class Random:
    """Uniform sampling of the candidates, without replacement.

    Notes
    -----
    A smaller `n` gives the beginning of what a larger one gives from the same generator.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(candidates=["a", "b", "c", "d"])
    >>> len(set(Random().select(view, 3, np.random.default_rng(0)).ids))
    3
    """

    starts_cold: ClassVar[bool] = True

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the first `n` of a random permutation of the candidates.

        Raises
        ------
        SelectionError
            There are fewer candidates.
        """
        candidates = view.candidates
        if not 0 <= n <= len(candidates):
            raise SelectionError("there are not so many images", got=n, expected=f"0 to {len(candidates)}")
        return Selection(tuple(candidates[i] for i in rng.permutation(len(candidates))[:n]))
