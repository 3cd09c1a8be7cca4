"""How a composition asks its parts, and checks what they return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from alkit.errors import AlkitError, ConfigurationError, SelectionError
from alkit.protocols import DeclaresStart, FeatureExtractor, HasScores, Sampler, Strategy, View
from alkit.values.predictions import Predictions
from alkit.values.selection import Selection

if TYPE_CHECKING:
    from alkit.protocols import Reduction, Score
    from alkit.values.clusters import Clusters
from alkit.strategies.functions import as_strategy, check_selection, innermost, name_in_words


class Ranking(Strategy, HasScores, Protocol):
    """A strategy that selects by one number for each candidate; higher is more informative."""


class Among:
    """A view of fewer candidates: the rest of the state is that of the view below.

    Parameters
    ----------
    view:
        The whole view.
    candidates:
        Some of its candidates.
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
        """Ids that have a label, in the order they were chosen."""
        return self._view.labelled

    @property
    def round(self) -> int:
        """The round that is being selected for."""
        return self._view.round

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row per image of :attr:`ids`."""
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
    """Return the ranking's number for each candidate; one of no other image is looked at."""
    with blamed(ranking):
        scores = ranking.scores(view)
    if not isinstance(scores, Mapping):
        raise SelectionError(
            f"{name_in_words(ranking)} returned no scores by id",
            got=type(scores).__name__,
            expected="{id: number, ...}",
        )
    if without := [id for id in view.candidates if id not in scores]:
        raise SelectionError(
            f"{name_in_words(ranking)} gave {len(without)} candidates no score",
            got=without[:3],
            expected="one for each of view.candidates",
        )
    return {id: scores[id] for id in view.candidates}


def select_from(part: Strategy, view: View, n: int, rng: np.random.Generator) -> Selection:
    """Return what a part chooses of what it is offered, if that is `n` of these and nothing else."""
    with blamed(part):
        selection = part.select(view, n, rng)
    return check_selection(name_in_words(part), selection, view, n)


@contextmanager
def blamed(part: object) -> Iterator[None]:
    """Turn whatever else than an error of alkit comes out of a part's code into one that names the part.

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
        from alkit.configuration.registry import whose

        raise SelectionError(
            f"{name_in_words(part)}{whose(innermost(part))} failed ({type(reason).__name__}: {reason})",
            hint="see the traceback, which alkit --debug shows",
        ) from reason


def remaining_pseudo_labels(trusted: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
    """Return, once each, the ids to be trusted that are not chosen."""
    asked = set(chosen)
    return tuple(id for id in dict.fromkeys(trusted) if id not in asked)


def check_n(view: View, n: int) -> None:
    """Raise a :class:`SelectionError` unless the view has at least `n` candidates."""
    if not 0 <= n <= len(view.candidates):
        raise SelectionError("there are not so many images", got=n, expected=f"0 to {len(view.candidates)}")


def check_ranking(ranking: object) -> None:
    """Raise a :class:`ConfigurationError` unless `ranking` has a method ``scores(view)``."""
    if isinstance(ranking, type) or not isinstance(ranking, HasScores):
        raise ConfigurationError(
            "this gives no scores",
            got=repr(ranking),
            expected="an object with a method scores(view)",
            hint="alkit.strategies.Uncertainty(alkit.scores.entropy)",
        )


def check_features(features: object) -> None:
    """Raise a :class:`ConfigurationError` unless `features` has a method ``fit``."""
    if isinstance(features, type) or not isinstance(features, FeatureExtractor):
        raise ConfigurationError(
            "features is no feature extractor", got=repr(features), expected="such as alkit.Reconstruction()"
        )


def convert_functions(whole: Any, *names: str) -> None:
    """Turn the parts of these names that are functions into strategies."""
    for name in names:
        object.__setattr__(whole, name, as_strategy(name, getattr(whole, name)))


def start_cold(*parts: object) -> bool:
    """Whether all parts can choose before there is a model."""
    return all(part.starts_cold for part in parts if isinstance(part, DeclaresStart))
