"""Strategies made of strategies: each part and each whole keeps the one protocol, so they nest.

Two kinds of parts. A *strategy* chooses: it has ``select(view, n, rng)``, or is a plain function of these three that
returns ids. A *ranking* is a strategy that also gives every candidate a number, by ``scores(view)``:
:class:`Uncertainty` is one, and so is whatever has that verb.

References
----------
Kirsch et al. "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning". TMLR 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from alkit.draws import DETERMINISTIC, Dropout, Members
from alkit.errors import ConfigurationError, SelectionError
from alkit.protocols import FeatureExtractor, Sampler, Strategy, View
from alkit.selection import largest_remainder, top_k
from alkit.types import Predictions, Selection

if TYPE_CHECKING:
    from alkit.clustering import Clusters
    from alkit.scores import Reduction, Score

Choice = Callable[[View, int, np.random.Generator], Selection | Sequence[str]]
"""The smallest strategy: a function that returns exactly n of ``view.candidates``, the most wanted first."""


class Ranking(Strategy, Protocol):
    """A strategy that gives every candidate a number; higher is more wanted."""

    def scores(self, view: View) -> Mapping[str, float]:
        """Return one finite number for each of ``view.candidates``."""


@dataclass(frozen=True)
class FromFunction:
    """A strategy that is a plain function of view, n and rng.

    Wherever a strategy is taken, the function itself will do; this is what it becomes.

    Parameters
    ----------
    function:
        Returns ids, or a :class:`Selection`. Its attributes ``starts_cold`` and ``needs`` count, as any strategy's do.

    Examples
    --------
    >>> def first(view, n, rng):
    ...     return view.candidates[:n]
    >>> from types import SimpleNamespace
    >>> FromFunction(first).select(SimpleNamespace(candidates=["a", "b"]), 1, np.random.default_rng(0)).ids
    ('a',)
    """

    function: Choice

    def __repr__(self) -> str:
        return f"FromFunction({_name(self.function)})"

    @property
    def starts_cold(self) -> bool:
        """Whether the function says that it can choose before there is a model; it can where it says nothing."""
        return bool(getattr(self.function, "starts_cold", True))

    @property
    def needs(self) -> tuple[str, ...]:
        """What the function says it relies on."""
        return tuple(getattr(self.function, "needs", ()))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the function returns."""
        chosen = self.function(view, n, rng)
        if isinstance(chosen, Selection):
            return chosen
        if isinstance(chosen, str) or not isinstance(chosen, Sequence | np.ndarray):
            raise SelectionError(
                f"{getattr(self.function, '__name__', 'the function')} chose nothing that is a list of ids",
                got=type(chosen).__name__,
                expected=f"{n} of view.candidates",
            )
        return Selection(tuple(chosen))


def as_strategy(name: str, part: object) -> Strategy:
    """Return a strategy as it is, and a function as a strategy.

    Raises
    ------
    ConfigurationError
        It is neither; `name` says which argument it was.
    """
    if isinstance(part, type):
        raise ConfigurationError(
            f"{name} is no strategy", got=f"the class {part.__name__}", hint=f"make one: {part.__name__}()"
        )
    if callable(getattr(part, "select", None)):
        return cast(Strategy, part)
    if callable(part):
        return FromFunction(part)
    raise ConfigurationError(
        f"{name} is no strategy",
        got=repr(part),
        expected="an object with a method select(), or a function of view, n and rng",
        hint="alkit.strategy(NAME)" if isinstance(part, str) else None,
    )


@dataclass(frozen=True)
class Uncertainty:
    """The candidates with the highest acquisition score: sampler x score x reduction, and the plainest batch rule.

    Parameters
    ----------
    score:
        One of :mod:`alkit.scores`, as a function or by name such as ``"bald"``, or any function of the same kind.
    sampler:
        What draws predictions; by default the prediction itself is the one draw.
    reduction:
        From an image's pixels to one number; default: their mean.

    Examples
    --------
    >>> import alkit
    >>> Uncertainty(alkit.scores.bald, alkit.Dropout(draws=10)).needs
    ('dropout',)
    """

    score: str | Score
    sampler: Sampler = DETERMINISTIC
    reduction: Reduction | None = None

    def __post_init__(self) -> None:
        from alkit.scores import named

        named(self.score)
        if not callable(getattr(self.sampler, "sample", None)):
            raise ConfigurationError("sampler is no sampler", got=repr(self.sampler), hint="such as alkit.Dropout(20)")

    def __repr__(self) -> str:
        parts = [_name(self.score), *([] if self.sampler == DETERMINISTIC else [repr(self.sampler)])]
        parts += [] if self.reduction is None else [f"reduction={_name(self.reduction)}"]
        return f"Uncertainty({', '.join(parts)})"

    @property
    def starts_cold(self) -> bool:
        """No: there is nothing to be uncertain before there is a model."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """What the sampler and the score rely on."""
        from alkit.scores import moments_of, named

        moments = moments_of(named(self.score))
        drawn = {"mean", "mean_entropy", "variance"}.intersection(moments)
        sampled = {Dropout: "dropout", Members: "members"}.get(type(self.sampler)) if drawn else None
        return tuple(name for name in (sampled, "heads" if "heads" in moments else None) if name is not None)

    def scores(self, view: View) -> Mapping[str, float]:
        """Return the score of each candidate."""
        from alkit.scores import named

        return view.scores(named(self.score), self.sampler, self.reduction)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` highest; equal scores go by id."""
        return _highest(self.scores(view), n)


@dataclass(frozen=True)
class Then:
    """Begin with one strategy and go on with another.

    Parameters
    ----------
    cold:
        Chooses while there are fewer than `after` labels; it should be able to start without a model.
    warm:
        Chooses from then on.
    after:
        How many labels, at least 1. A selection is made by one of the two: one that begins below `after` is the cold
        one's to the end.

    Examples
    --------
    >>> import alkit
    >>> both = Then(alkit.strategy("random"), alkit.strategy("mc-dropout"), after=300)
    >>> both.starts_cold
    True
    """

    cold: Strategy
    warm: Strategy
    after: int

    def __post_init__(self) -> None:
        _adopt(self, "cold", "warm")
        _whole("after", self.after, 1)

    @property
    def starts_cold(self) -> bool:
        """Whether the first of the two can choose before there is a model."""
        return _cold(self.cold)

    @property
    def needs(self) -> tuple[str, ...]:
        """What either of the two relies on."""
        return _needs(self.cold, self.warm)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the strategy whose turn it is chooses."""
        return (self.cold if len(view.labelled) < self.after else self.warm).select(view, n, rng)


@dataclass(frozen=True)
class Filter:
    """Let a ranking offer the best candidates, and another strategy choose among them.

    ``Filter(Uncertainty(scores.entropy), then=alkit.strategy("ssl-cluster"))``: uncertain, and diverse among those.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    then:
        Chooses from the ``factor * n`` highest; the other candidates are hidden from it.
    factor:
        At least 1. With fewer candidates than that all are offered.

    Examples
    --------
    >>> import alkit
    >>> both = Filter(Uncertainty(alkit.scores.entropy), then=alkit.strategy("random"), factor=5)
    >>> both.starts_cold
    False
    """

    ranking: Ranking
    then: Strategy
    factor: int = 10

    def __post_init__(self) -> None:
        _check_ranking(self.ranking)
        _adopt(self, "then")
        _whole("factor", self.factor, 1)

    @property
    def starts_cold(self) -> bool:
        """Whether both can choose before there is a model."""
        return _cold(self.ranking, self.then)

    @property
    def needs(self) -> tuple[str, ...]:
        """What either of the two relies on."""
        return _needs(self.ranking, self.then)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the second strategy chooses of what the ranking offers."""
        _check_n(view, n)
        scores = self.ranking.scores(view)
        offered = top_k(list(scores), list(scores.values()), min(self.factor * n, len(scores)))
        return _without_strangers(self.then.select(Among(view, offered), n, rng), view)


@dataclass(frozen=True)
class Mix:
    """Several strategies share each batch in given proportions.

    Parameters
    ----------
    parts:
        By strategy its share, positive; what they sum to does not matter. The batch is shared by largest remainder.

    Notes
    -----
    The strategies choose one after the other, in the order given, each among what the earlier ones have left. Their
    picks are then interleaved, so that the beginning of the batch has nearly the same proportions. A batch of fewer
    images than strategies goes to those with the largest shares.

    Examples
    --------
    >>> import alkit
    >>> half = Mix({alkit.strategy("random"): 1, Uncertainty(alkit.scores.margin): 1})
    >>> half.starts_cold
    False
    """

    parts: Mapping[Strategy, float]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Mapping) or not self.parts:
            raise ConfigurationError("a mix has parts", got=repr(self.parts), expected="{strategy: share, ...}")
        adopted = {as_strategy("a part of the mix", part): share for part, share in self.parts.items()}
        for share in adopted.values():
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < float("inf"):
                raise ConfigurationError("a share is a positive number", got=repr(share))
        object.__setattr__(self, "parts", adopted)

    def __hash__(self) -> int:
        return hash(tuple(self.parts.items()))

    @property
    def starts_cold(self) -> bool:
        """Whether all can choose before there is a model."""
        return _cold(*self.parts)

    @property
    def needs(self) -> tuple[str, ...]:
        """What any of them relies on."""
        return _needs(*self.parts)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the interleaved picks, each with what its own strategy says of it."""
        _check_n(view, n)
        left, picked = list(view.candidates), list[tuple[float, str, str]]()
        trusted: list[str] = []
        for part, share in zip(self.parts, _shares(n, list(self.parts.values())), strict=True):
            if share == 0:
                continue
            chosen = _without_strangers(part.select(Among(view, left), share, rng), view)
            meanings = chosen.stands_for or ("",) * len(chosen.ids)
            picked += [
                ((rank + 0.5) / share, id, meaning)
                for rank, (id, meaning) in enumerate(zip(chosen.ids, meanings, strict=True))
            ]
            trusted += chosen.pseudo_labels
            left = [id for id in left if id not in set(chosen.ids)]
        picked.sort(key=lambda pick: pick[0])  # stable: of equals the earlier strategy's comes first
        ids = tuple(id for _, id, _ in picked)
        words = tuple(meaning for _, _, meaning in picked)
        pseudo = tuple(id for id in dict.fromkeys(trusted) if id not in set(ids))
        return Selection(ids, stands_for=words if any(words) else None, pseudo_labels=pseudo)


@dataclass(frozen=True)
class Stochastic:
    """A batch drawn at random, the likelier the higher the score, instead of the very highest.

    Images are drawn without replacement with probability proportional to ``score ** power``, by taking the highest of
    ``power * log(score) + Gumbel noise`` (Kirsch et al. 2023, "power" acquisition). A batch of the very highest scores
    tends to be the same image many times over; a drawn one is not.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    power:
        0 is uniform; the higher, the closer to the very highest. Default: 1.

    Notes
    -----
    Scores of 0 or less are never drawn while there are others, and then at random.

    Examples
    --------
    >>> import alkit
    >>> Stochastic(Uncertainty(alkit.scores.bald, alkit.Dropout(10)), power=2.0).power
    2.0
    """

    ranking: Ranking
    power: float = 1.0

    def __post_init__(self) -> None:
        _check_ranking(self.ranking)
        if isinstance(self.power, bool) or not isinstance(self.power, int | float) or not 0 <= self.power < 1e9:
            raise ConfigurationError("there is no such power", got=repr(self.power), expected="0 or more")

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can be had before there is a model."""
        return _cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking relies on."""
        return _needs(self.ranking)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return `n` drawn candidates with their scores."""
        scores = self.ranking.scores(view)
        ids = sorted(scores)
        values = np.array([scores[id] for id in ids], np.float64)
        top_k(ids, values, n)  # checks them
        noise = rng.gumbel(size=len(ids))
        positive = values > 0
        keys = np.where(positive, self.power * np.log(np.where(positive, values, 1)) + noise, 0)
        order = np.lexsort((-noise, -keys, ~positive))[:n]
        return Selection(tuple(ids[i] for i in order), scores=tuple(values[order]))


@dataclass(frozen=True)
class PerCluster:
    """From each cluster of the pool its share of the batch, the highest scores of the cluster first.

    Parameters
    ----------
    ranking:
        Gives every candidate a number.
    features:
        What the images are clustered by.
    clusters:
        K of K-means, at least 1. The clusters belong to the experiment: every round sees the same.

    Notes
    -----
    Shares are in proportion to the candidates that are left in each cluster, by largest remainder.

    Examples
    --------
    >>> import alkit
    >>> pretext = alkit.Reconstruction(epochs=20)
    >>> both = PerCluster(Uncertainty(alkit.scores.entropy, alkit.Dropout(10)), pretext, clusters=10)
    >>> both.needs
    ('dropout', 'features')
    """

    ranking: Ranking
    features: FeatureExtractor
    clusters: int = 10

    def __post_init__(self) -> None:
        _check_ranking(self.ranking)
        _check_features(self.features)
        _whole("clusters", self.clusters, 1)

    @property
    def starts_cold(self) -> bool:
        """Whether the ranking can be had before there is a model."""
        return _cold(self.ranking)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the ranking relies on, and features."""
        return tuple(dict.fromkeys([*_needs(self.ranking), "features"]))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the shares of all clusters, ordered by score, and which cluster each image stands for."""
        _check_n(view, n)
        found, scores = view.clusters(self.features, self.clusters), self.ranking.scores(view)
        label = dict(zip(found.ids, found.labels.tolist(), strict=True))
        groups: list[list[str]] = [[] for _ in range(found.k)]
        for id in view.candidates:
            groups[label[id]].append(id)
        chosen: list[str] = []
        for members, share in zip(groups, largest_remainder(n, [len(group) for group in groups]), strict=True):
            chosen += top_k(members, [scores[id] for id in members], share)
        ids = top_k(chosen, [scores[id] for id in chosen], len(chosen))
        return Selection(
            ids,
            scores=tuple(scores[id] for id in ids),
            stands_for=tuple(
                f"cluster {label[id] + 1} of {found.k}, {len(groups[label[id]])} candidates" for id in ids
            ),
        )


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
        the pool's mean first. Which value is right depends on the features: look at some pairs.

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
        _adopt(self, "strategy")
        _check_features(self.features)
        if isinstance(self.similarity, bool) or not isinstance(self.similarity, int | float):
            raise ConfigurationError("similarity is no number", got=repr(self.similarity))
        if not -1 < self.similarity <= 1:
            raise ConfigurationError("there is no such cosine", got=self.similarity, expected="-1 < similarity <= 1")

    @property
    def starts_cold(self) -> bool:
        """Whether the strategy can choose before there is a model."""
        return _cold(self.strategy)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the strategy relies on, and features."""
        return tuple(dict.fromkeys([*_needs(self.strategy), "features"]))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the strategy's choice of originals and, if these are too few, of near-duplicates after them."""
        _check_n(view, n)
        originals = self._originals(view)
        unlike = [id for id in view.candidates if id not in originals]
        first = self.strategy.select(Among(view, unlike), min(n, len(unlike)), rng) if unlike and n else Selection(())
        first = _without_strangers(first, view)
        missing = n - len(first.ids)
        if not missing:
            return first
        rest = _without_strangers(self.strategy.select(Among(view, sorted(originals)), missing, rng), view)
        words = [*(first.stands_for or [""] * len(first.ids))]
        words += [f"nothing else is left: near-duplicate of {originals[id]}" for id in rest.ids]
        ids = first.ids + rest.ids
        pseudo = [id for id in dict.fromkeys(first.pseudo_labels + rest.pseudo_labels) if id not in set(ids)]
        return Selection(ids, stands_for=tuple(words), pseudo_labels=tuple(pseudo))

    def _originals(self, view: View) -> dict[str, str]:
        """Return for each near-duplicate among the candidates the image that it is a duplicate of."""
        features = view.features(self.features)
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise SelectionError(f"the features of {view.ids[int(np.argmin(finite))]!r} are not finite")
        rows = _directions(features)
        place = {id: row for row, id in enumerate(view.ids)}
        kept = [id for id in view.labelled if id in place]
        originals: dict[str, str] = {}
        table = np.empty((len(kept) + len(view.candidates), rows.shape[1]), np.float32)
        table[: len(kept)] = rows[[place[id] for id in kept]]
        for id in sorted(view.candidates):
            alike = table[: len(kept)] @ rows[place[id]]
            nearest = int(alike.argmax()) if kept else -1
            if kept and alike[nearest] >= self.similarity - 1e-6:
                originals[id] = kept[nearest]
            else:
                table[len(kept)] = rows[place[id]]
                kept.append(id)
        return originals


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
        self, score: Score, sampler: Sampler = DETERMINISTIC, reduction: Reduction | None = None
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


def _name(part: object) -> str:
    return getattr(part, "__name__", None) or repr(part)


def _highest(scores: Mapping[str, float], n: int) -> Selection:
    ids = top_k(list(scores), list(scores.values()), n)
    return Selection(ids, scores=tuple(scores[id] for id in ids))


def _directions(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the rows as unit vectors from the pool's mean; a row at the mean itself stays 0 and is like no other."""
    centred = features - features.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    return unit


def _shares(n: int, weights: Sequence[float]) -> list[int]:
    """Share `n` in proportion to positive weights, by largest remainder; ties go to the earlier one.

    >>> _shares(10, [0.7, 0.3]), _shares(1, [1, 1, 5])
    ([7, 3], [0, 0, 1])
    """
    exact = [n * weight / sum(weights) for weight in weights]
    whole = [int(share + 1e-9) for share in exact]
    by_need = sorted(range(len(exact)), key=lambda i: (whole[i] - exact[i], i))
    for i in by_need[: n - sum(whole)]:
        whole[i] += 1
    return whole


def _without_strangers(selection: Selection, view: View) -> Selection:
    """Check that an inner strategy chose candidates; that it chose as many as asked shows in the whole."""
    if strangers := {*selection.ids, *selection.pseudo_labels} - set(view.candidates):
        raise SelectionError("a part of the strategy chose images it was not offered", got=sorted(strangers)[:3])
    return selection


def _check_n(view: View, n: int) -> None:
    if not 0 <= n <= len(view.candidates):
        raise SelectionError("there are not so many images", got=n, expected=f"0 to {len(view.candidates)}")


def _check_ranking(ranking: object) -> None:
    if isinstance(ranking, type) or not callable(getattr(ranking, "scores", None)):
        raise ConfigurationError(
            "this gives no scores",
            got=repr(ranking),
            expected="an object with a method scores(view)",
            hint="alkit.Uncertainty(alkit.scores.entropy)",
        )


def _check_features(features: object) -> None:
    if isinstance(features, type) or not callable(getattr(features, "fit", None)):
        raise ConfigurationError(
            "features is no feature extractor", got=repr(features), expected="such as alkit.Reconstruction()"
        )


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} cannot be this", got=repr(value), expected=f"a whole number, {least} or more")


def _adopt(whole: Any, *names: str) -> None:
    """Turn the parts of these names that are functions into strategies."""
    for name in names:
        object.__setattr__(whole, name, as_strategy(name, getattr(whole, name)))


def _cold(*parts: object) -> bool:
    return all(getattr(part, "starts_cold", True) for part in parts)


def _needs(*parts: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(need for part in parts for need in getattr(part, "needs", ())))
