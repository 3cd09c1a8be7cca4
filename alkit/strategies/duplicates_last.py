"""Near-duplicates after all other images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit.errors import ConfigurationError, SelectionError
from alkit.features.duplicates import find_duplicates
from alkit.protocols import FeatureExtractor, Strategy, View
from alkit.values.selection import Selection

if TYPE_CHECKING:
    pass
from alkit.strategies.asking import (
    Among,
    check_features,
    check_n,
    convert_functions,
    remaining_pseudo_labels,
    select_from,
    start_cold,
)
from alkit.strategies.functions import needs_of


@dataclass(frozen=True)
class DuplicatesLast:
    """Leave near-duplicates out as long as there is anything else.

    A candidate is a near-duplicate where its features are nearly those of an image that has a label, or of another
    candidate, of which the one with the lowest id counts as the original. The strategy chooses among the others;
    only when these do not suffice is the batch filled up with near-duplicates, and the selection says so.

    Parameters
    ----------
    strategy:
        Chooses.
    features:
        What the images are compared by.
    similarity:
        From which cosine of two images' features on they are near-duplicates, in (-1, 1]. The features are centred at
        the pool's mean first. Which value is right depends on the features: look at some pairs. Identical features
        are always near-duplicates.

    Notes
    -----
    Inside a :class:`Mix` it does not see what the earlier parts took, and may choose near-duplicates of their picks;
    around the mix it sees to all of them.

    Examples
    --------
    >>> import alkit
    >>> strategy = DuplicatesLast(alkit.strategy("random"), alkit.Reconstruction(epochs=20), similarity=0.98)
    >>> strategy.needs
    ('features',)
    """

    strategy: Strategy
    features: FeatureExtractor
    similarity: float = 0.98

    def __post_init__(self) -> None:
        convert_functions(self, "strategy")
        check_features(self.features)
        if isinstance(self.similarity, bool) or not isinstance(self.similarity, int | float):
            raise ConfigurationError("similarity is no number", got=repr(self.similarity))
        if not -1 < self.similarity <= 1:
            raise ConfigurationError("there is no such cosine", got=self.similarity, expected="-1 < similarity <= 1")

    @property
    def starts_cold(self) -> bool:
        """Whether the strategy can choose before there is a model."""
        return start_cold(self.strategy)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the strategy relies on, and features."""
        return tuple(dict.fromkeys([*needs_of(self.strategy), "features"]))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the strategy's choice of originals and, if these are too few, of near-duplicates after them."""
        check_n(view, n)
        known = self._originals(view)
        unlike = [id for id in view.candidates if id not in known]
        first = Selection(())
        if unlike and n:
            first = select_from(self.strategy, Among(view, unlike), min(n, len(unlike)), rng)
        missing = n - len(first.ids)
        if not missing:
            return first
        rest = select_from(self.strategy, Among(view, sorted(known)), missing, rng)
        words = [*(first.stands_for or [""] * len(first.ids))]
        words += [f"nothing else is left: near-duplicate of {known[id]}" for id in rest.ids]
        ids = first.ids + rest.ids
        pseudo = remaining_pseudo_labels(first.pseudo_labels + rest.pseudo_labels, ids)
        return Selection(ids, stands_for=tuple(words), pseudo_labels=pseudo)

    def _originals(self, view: View) -> dict[str, str]:
        """Return for each near-duplicate among the candidates the image that it is a duplicate of."""
        features = view.features(self.features)
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise SelectionError(f"the features of {view.ids[int(np.argmin(finite))]!r} are not finite")
        return find_duplicates(features, view.ids, view.labelled, view.candidates, self.similarity)
