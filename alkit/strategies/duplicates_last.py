"""A strategy that selects near-duplicates only after all other images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_number
from alkit.errors import SelectionError
from alkit.features.duplicates import find_duplicates
from alkit.features.named import check_extractor
from alkit.protocols import FeatureExtractor, Strategy, View
from alkit.strategies.asking import (
    Among,
    convert_functions,
    remaining_pseudo_labels,
    select_from,
    start_cold,
)
from alkit.strategies.functions import needs_of
from alkit.strategies.ordering import check_n
from alkit.values.selection import Selection


@checked_except("similarity")
@dataclass(frozen=True)
class DuplicatesLast:
    """Select near-duplicates only if nothing else is left.

    A candidate is a near-duplicate if its features are nearly those of a labelled image or of another candidate.
    Among similar candidates, the one with the lowest id counts as the original. The strategy selects among the
    originals; if there are too few, near-duplicates fill the batch, and the selection says so.

    Parameters
    ----------
    strategy:
        Strategy that selects, first among the originals and then among the near-duplicates.
    features:
        Feature extractor whose features are compared.
    similarity:
        Least cosine similarity of near-duplicates, in (-1, 1]. The pool's mean is subtracted from the features first.
        The right value depends on the features: look at some pairs. Images with identical features are always
        near-duplicates.

    Raises
    ------
    ConfigurationError
        `strategy` is not a strategy, `features` is not a feature extractor, or `similarity` is out of range.

    Notes
    -----
    Inside a :class:`Mix` this strategy does not see the selections of earlier parts, and may select near-duplicates of
    them. Put it around the mix instead.

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
        check_extractor("features", self.features)
        check_number("similarity", self.similarity, -1, 1, open_ends="(")

    @property
    def starts_cold(self) -> bool:
        """Whether the strategy can select without a trained model."""
        return start_cold(self.strategy)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the strategy needs, and features."""
        return tuple(dict.fromkeys([*needs_of(self.strategy), "features"]))

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the strategy's selection of originals, followed by near-duplicates if there are too few originals."""
        check_n(n, view.candidates)
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
        """Map each near-duplicate among the candidates to the image that it duplicates."""
        features = view.features(self.features)
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise SelectionError(f"the features of {view.ids[int(np.argmin(finite))]!r} are not finite")
        return find_duplicates(features, view.ids, view.labelled, view.candidates, self.similarity)
