"""How a composition calls its parts and checks their results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from alkit.errors import AlkitError, ConfigurationError, SelectionError
from alkit.protocols import (
    DeclaresStart,
    FeatureExtractor,
    HasDigests,
    HasLimits,
    HasScores,
    HasSeconds,
    Sampler,
    Strategy,
    View,
)
from alkit.strategies.functions import as_strategy, check_selection, extractors_in, innermost, name_in_words
from alkit.values.predictions import Predictions
from alkit.values.selection import Selection

if TYPE_CHECKING:
    from alkit.protocols import Reduction, Score
    from alkit.values.clusters import Clusters
    from alkit.values.limit import Limit


class Ranking(Strategy, HasScores, Protocol):
    """A strategy that selects by one score for each candidate; higher is more informative."""


class Among:
    """A view with fewer candidates; everything else is that of the whole view.

    Parameters
    ----------
    view:
        The whole view.
    candidates:
        The candidates that remain, a subset of those of `view`.
    """

    def __init__(self, view: View, candidates: Sequence[str]) -> None:
        self._view = view
        self.candidates: Sequence[str] = tuple(sorted(candidates))

    @property
    def ids(self) -> Sequence[str]:
        """All ids of the pool, sorted."""
        return self._view.ids

    @property
    def labelled(self) -> Sequence[str]:
        """Ids that have a label, in the order they were selected."""
        return self._view.labelled

    @property
    def round(self) -> int:
        """Number of the round that the selection is for."""
        return self._view.round

    @property
    def limits(self) -> Sequence[Limit]:
        """Limits on the number of images of a group, those of the view."""
        return self._view.limits if isinstance(self._view, HasLimits) else ()

    def digests(self) -> Mapping[str, str]:
        """Return a text for each id whose content is known; equal texts mean identical images."""
        return self._view.digests() if isinstance(self._view, HasDigests) else {}

    def seconds(self) -> Mapping[str, float]:
        """Return the expected seconds for a label of each of these candidates; empty if no time is known."""
        known = self._view.seconds() if isinstance(self._view, HasSeconds) else {}
        return {id: known[id] for id in self.candidates} if known else {}

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row of features per image of :attr:`ids`."""
        return self._view.features(extractor)

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the whole pool."""
        return self._view.clusters(extractor, k)

    def scores(
        self, score: Score, sampler: Sampler | None = None, reduction: Reduction | None = None
    ) -> Mapping[str, float]:
        """Return the acquisition score of each of these candidates."""
        scores = self._view.scores(score, sampler, reduction)
        return {id: scores[id] for id in self.candidates}

    def predictions(self) -> Iterator[Predictions]:
        """Yield the last model's predictions of these candidates, in batches."""
        wanted = set(self.candidates)
        for batch in self._view.predictions():
            rows = [row for row, id in enumerate(batch.ids) if id in wanted]
            if rows:
                yield Predictions(tuple(batch.ids[row] for row in rows), batch.probabilities[rows])


def scores_by(ranking: Ranking, view: View) -> dict[str, float]:
    """Return the ranking's score of each candidate, after a check that none is missing.

    Raises
    ------
    SelectionError
        The ranking failed, did not return a mapping, or left out a candidate.
    """
    with name_on_failure(ranking):
        scores = ranking.scores(view)
    if not isinstance(scores, Mapping):
        raise SelectionError(
            f"{name_in_words(ranking)}.scores must return a mapping from id to score", got=type(scores).__name__
        )
    if missing := [id for id in view.candidates if id not in scores]:
        raise SelectionError(
            f"{name_in_words(ranking)}.scores must return a score for each of view.candidates",
            got=f"no score for {len(missing)} of them, such as {missing[:3]}",
        )
    return {id: scores[id] for id in view.candidates}


def select_from(part: Strategy, view: View, n: int, rng: np.random.Generator) -> Selection:
    """Return the selection of a part, after a check that it holds `n` candidates of `view`."""
    with name_on_failure(part):
        selection = part.select(view, n, rng)
    return check_selection(name_in_words(part), selection, view, n)


@contextmanager
def name_on_failure(part: object) -> Iterator[None]:
    """Turn an exception from a part's code into an error of alkit that names the part; alkit's own errors pass.

    Raises
    ------
    SelectionError
        The part failed; the cause is kept.
    """
    try:
        yield
    except AlkitError:
        raise
    except Exception as reason:
        from alkit.configuration.registry import owner_of

        raise SelectionError(
            f"{name_in_words(part)}{owner_of(innermost(part))} failed ({type(reason).__name__}: {reason})",
            hint="see the traceback",
        ) from reason


def remaining_pseudo_labels(trusted: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
    """Return the pseudo-label requests without those of selected images, each id once."""
    selected = set(chosen)
    return tuple(id for id in dict.fromkeys(trusted) if id not in selected)


def check_ranking(ranking: object) -> None:
    """Check that `ranking` has a method ``scores(view)``.

    Raises
    ------
    ConfigurationError
        It has none.
    """
    if isinstance(ranking, type) or not isinstance(ranking, HasScores):
        raise ConfigurationError(
            "ranking must have a method scores(view)",
            got=repr(ranking),
            expected="for example alkit.strategies.Uncertainty(alkit.scores.entropy)",
        )


def convert_functions(whole: Any, *names: str) -> None:
    """Turn those of the named attributes that are functions into strategies."""
    for name in names:
        object.__setattr__(whole, name, as_strategy(name, getattr(whole, name)))


def start_cold(*parts: object) -> bool:
    """Whether all parts, and the feature extractors among their parameters, work without a trained model."""
    inside = [extractor for part in parts for extractor in extractors_in(part)]
    return all(part.starts_cold for part in (*parts, *inside) if isinstance(part, DeclaresStart))
